"""Nobody makes Careline ask what lies inside: every target of the public lists, every spelling, nothing is sent."""

import ipaddress
import re
import ssl
from collections.abc import Sequence

import msgspec
import pytest

from core.errors import CarelineError, NetworkFailed, ValidationFailed
from core.outward import OutwardClient, Resolve
from core.outward_addresses import is_outward, parsed
from tests.data import shared

OUTSIDE = "93.184.216.34"
_TLS = ssl.create_default_context()
_CLOUDS_OWN_NAMES = {"metadata.google.internal", "instance-data", "metadata", "rancher-metadata", "foo"}
_ADDRESS_IN_NAME = re.compile(r"(\d+\.\d+\.\d+\.\d+)\.nip\.io")

PLAIN_OUTSIDE_LINKS = {
    # The source is a web page about SSRF: these are its further reading, which leads to public sites.
    "www.tcpipguide.com": "further reading",
    "github.com": "further reading, and pictures of the page itself",
    "www.blackhat.com": "further reading",
    # Public services that the page's examples talk to.
    "www.googleapis.com": "Google's public API, with a token that was stolen elsewhere",
    "1.1.1.1": "a public resolver, the harmless half of a parser trick",
    "nicob.net": "a public page that redirects inside: the redirect is refused (test_outward_client)",
}
"""Host by host, why a row of the data set may be asked."""


async def resolver(host: str, port: int) -> Sequence[str]:
    """As the names of the data set would resolve inside a cloud; every other name is a public site."""
    if (inside := _ADDRESS_IN_NAME.fullmatch(host)) is not None:
        return [inside[1]]
    if host in _CLOUDS_OWN_NAMES:
        return ["169.254.169.254"]
    if host.endswith(".example"):
        raise OSError("no such name")
    return [OUTSIDE]


def client(resolver: Resolve) -> OutwardClient:
    return OutwardClient("link", timeout_seconds=1, answer_bytes=1000, resolver=resolver, tls=_TLS)


async def fate(url: str) -> CarelineError | None:
    async with client(resolver) as outward:
        try:
            await outward.check(url)
        except CarelineError as exc:
            return exc
    return None


async def test_every_inward_target_of_the_data_set_is_refused_and_only_plain_links_are_not() -> None:
    lines = shared("security/web_payloads.jsonl").read_bytes().splitlines()
    rows = [row for line in lines if (row := msgspec.json.decode(line))["kind"] == "ssrf"]
    urls: list[str] = [row["payload"] for row in rows]
    must_not: set[str] = {row["payload"] for row in rows if row.get("expect") == "blocked"}

    allowed = [url for url in urls if await fate(url) is None]

    assert len(urls) > 100
    assert len(must_not) == 25
    assert must_not.isdisjoint(allowed)
    hosts = {re.split(r"[/?#:]", url.partition("://")[2])[0] for url in allowed}
    assert hosts == set(PLAIN_OUTSIDE_LINKS)
    # What names an inward address in any of the lists' spellings is refused although its host is not in this table.
    assert [
        url for url in urls if re.search(r"169\.254|127\.0|192\.0\.0|100\.100", url) and url in allowed
    ] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://127.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://0x7f.0.0.1/",
        "http://0x7F000001/",
        "http://2130706433/",
        "http://0/",
        "http://0x/",
        "http://127.0.0.1./",
        "http://127.0.0.1../",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://db.localhost/",
        "http://router.lan/",
        "http://crm.internal/",
        "http://[::1]/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[64:ff9b:1::a00:1]/",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "http://[fd00:ec2::254]/",
        "http://[fec0::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[ff02::1]/",
        "http://[2606:4700::5efe:10.0.0.1]/",
        "http://168.63.129.16/",
        "http://224.0.0.1/",
        "http://192.88.99.1/",
        "http://user@93.184.216.34/",
        "http://93.184.216.34@127.0.0.1/",
        "http://93.184.216.34\\@127.0.0.1/",
        "http://shop.test%2f@127.0.0.1/",
        "http://127.0.0.1%23.shop.de/",
        "http://shop.de\n.evil.de/",
        "http://shop.de\t/",
        " http://shop.de/",
        "http:/127.0.0.1/",
        "http:127.0.0.1",
        "//127.0.0.1/",
        "ftp://shop.de/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "http://",
        "http://:80/",
        "http://shop.de:0x50/",
        "http://shop.de:99999/",
        "http://-shop.de/",
        "http://" + "a" * 64 + ".de/",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
        "http://shop.de/" + "a" * 3000,
    ],
)
async def test_no_spelling_leads_inside(url: str) -> None:
    refusal = await fate(url)

    assert isinstance(refusal, ValidationFailed), url
    assert refusal.reason in {"invalid_url", "inward_address"}
    assert "169.254" not in str(refusal)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.de/",
        "https://shop.de:8443/hook?x=1#part",
        "https://SHOP.de./",
        "https://münchen.de/",
        "http://93.184.216.34/",
        "http://[2606:4700::6810:84e5]/",
        "http://[64:ff9b::5db8:d822]/",
        "https://a_b.shop.de/",
    ],
)
async def test_public_places_may_be_asked(url: str) -> None:
    assert await fate(url) is None


async def test_one_inward_address_among_the_answers_is_enough() -> None:
    async def both(host: str, port: int) -> Sequence[str]:
        return [OUTSIDE, "10.0.0.8"]

    async with client(both) as outward:
        with pytest.raises(ValidationFailed, match="public place"):
            await outward.check("https://shop.de/")


async def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    async def none(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with client(none) as outward:
        with pytest.raises(NetworkFailed) as raised:
            await outward.check("https://shop.de/")

    assert raised.value.reason == "dns"


def test_what_python_does_not_call_global_is_inward() -> None:
    """A second opinion: the standard library's registry, from its first address of each network."""
    networks = [
        ipaddress.ip_network(f"{first}.{second}.0.0/16")
        for first in range(256)
        for second in (0, 64, 100, 168, 254)
    ]
    disagreeing = [net for net in networks if is_outward(parsed(str(net[1]))) and not net[1].is_global]

    assert disagreeing == []
