"""What is asked on a stranger's word goes to the address that was checked, within its limits: real sockets, real TLS."""

import asyncio
import datetime as dt
import gzip
import ipaddress
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import (
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    ValidationFailed,
)
from core.outward import OutwardClient
from core.outward_addresses import IpAddress
from tests.http_faults import Answer, Asked, FaultyServer

PUBLIC = "127.0.0.2"
"""Stands for an address outside; the rest of this machine's loopback is inside."""


def is_public(address: IpAddress) -> bool:
    return str(address) == PUBLIC


def always(*addresses: str) -> Callable[[str, int], Any]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def client(resolver: Callable[[str, int], Any] | None = None, **changes: Any) -> OutwardClient:
    values: dict[str, Any] = {
        "timeout_seconds": 20.0,
        "answer_bytes": 10_000,
        "resolver": resolver or always(PUBLIC),
        "may_ask": is_public,
    }
    return OutwardClient("webhook", **(values | changes))


def hello(asked: Asked) -> Answer:
    return Answer(body=b"hello")


def to(location: str, status: int = 302) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(status=status, headers={"Location": location})


async def test_the_name_stays_the_host_and_the_connection_goes_to_the_checked_address() -> None:
    async with FaultyServer(hello, host=PUBLIC).listening() as server, client() as outward:
        answer = await outward.request("GET", f"http://shop.de:{server.port}/hook?x=1#part")

    assert (answer.status_code, answer.body) == (200, b"hello")
    assert server.asked[0].target == "/hook?x=1"
    assert server.asked[0].headers["host"] == f"shop.de:{server.port}"


async def test_a_name_that_changes_its_mind_after_the_check_wins_nothing() -> None:
    answers = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with FaultyServer(hello, host=PUBLIC).listening() as outside:
        inside = FaultyServer(hello, host="127.0.0.1", port=outside.port)
        async with inside.listening(), client(rebinding) as outward:
            answer = await outward.request("GET", f"http://shop.de:{outside.port}/")

            assert answer.body == b"hello"
            with pytest.raises(ValidationFailed):
                await outward.request("GET", f"http://shop.de:{outside.port}/")

    assert len(outside.asked) == 1
    assert inside.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_inside_is_refused_before_anything_is_sent_there(status: int) -> None:
    async with FaultyServer(hello, host="127.0.0.1").listening() as inside:
        locations = [
            f"http://127.0.0.1:{inside.port}/admin",
            f"//127.0.0.1:{inside.port}/admin",
            f"http://2130706433:{inside.port}/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_FLUSHALL",
        ]
        for location in locations:
            async with (
                FaultyServer(to(location, status), host=PUBLIC).listening() as outside,
                client() as outward,
            ):
                with pytest.raises(ValidationFailed):
                    await outward.request("GET", f"http://shop.de:{outside.port}/")
            assert len(outside.asked) == 1

    assert inside.asked == []


async def test_a_redirect_by_a_name_that_leads_inside_is_refused() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [PUBLIC] if host == "shop.de" else ["127.0.0.1"]

    async with (
        FaultyServer(to("http://other.de/"), host=PUBLIC).listening() as outside,
        client(resolve) as outward,
    ):
        with pytest.raises(ValidationFailed) as raised:
            await outward.request("GET", f"http://shop.de:{outside.port}/")

    assert raised.value.reason == "inward_address"


async def test_outward_redirects_are_followed_a_few_times_without_the_secrets() -> None:
    server = FaultyServer(hello, host=PUBLIC)

    def answer(asked: Asked) -> Answer:
        return hello(asked) if asked.path == "/end" else to(f"http://other.de:{server.port}/end")(asked)

    server.answer = answer
    async with server.listening(), client() as outward:
        found = await outward.request(
            "POST",
            f"http://shop.de:{server.port}/",
            headers={"Authorization": "Bearer abc", "X-Id": "1", "Host": "evil.de"},
            body=b"{}",
        )

    first, second = server.asked
    assert found.url == f"http://other.de:{server.port}/end"
    assert (first.headers["authorization"], first.headers["host"]) == ("Bearer abc", f"shop.de:{server.port}")
    assert "authorization" not in second.headers
    assert (second.method, second.body, second.headers["x-id"]) == ("GET", b"", "1")


async def test_a_redirect_can_be_the_answer() -> None:
    async with (
        FaultyServer(to("http://127.0.0.1/admin"), host=PUBLIC).listening() as server,
        client() as outward,
    ):
        found = await outward.request("GET", f"http://shop.de:{server.port}/", follow_redirects=False)

    assert (found.status_code // 100, found.headers["location"]) == (3, "http://127.0.0.1/admin")
    assert len(server.asked) == 1


async def test_redirects_that_never_end_are_given_up() -> None:
    async with FaultyServer(to("/again"), host=PUBLIC).listening() as server, client() as outward:
        with pytest.raises(ExternalApiFailed, match="redirects"):
            await outward.request("GET", f"http://shop.de:{server.port}/")

    assert len(server.asked) == 4


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    bodies = {
        "/plain": Answer(body=b"x" * 10_001),
        "/bomb": Answer(body=gzip.compress(b"x" * 50_000_000), headers={"Content-Encoding": "gzip"}),
    }
    async with (
        FaultyServer(lambda asked: bodies[asked.path], host=PUBLIC).listening() as server,
        client() as outward,
    ):
        for path in bodies:
            with pytest.raises(ExternalApiFailed) as raised:
                await outward.request("GET", f"http://shop.de:{server.port}{path}")

            assert raised.value.reason == "answer_too_large"


@pytest.mark.alone
async def test_a_body_that_drips_in_is_given_up_in_time() -> None:
    slow = Answer(body=b"x" * 100, drip_seconds=0.05)
    async with (
        FaultyServer(lambda _: slow, host=PUBLIC).listening() as server,
        client(timeout_seconds=0.3) as outward,
    ):
        started = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await outward.request("GET", f"http://shop.de:{server.port}/")

    assert time.monotonic() - started < 1.5


async def test_redirects_share_one_time() -> None:
    slow = Answer(status=302, headers={"Location": "/again"}, body=b"xxxxx", drip_seconds=0.06)
    async with (
        FaultyServer(lambda _: slow, host=PUBLIC).listening() as server,
        client(timeout_seconds=0.5) as outward,
    ):
        with pytest.raises(DependencyTimeout):
            await outward.request("GET", f"http://shop.de:{server.port}/")

    assert len(server.asked) < 4


async def test_a_resolver_that_never_answers_is_given_up_in_time() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    async with client(never, timeout_seconds=0.2) as outward:
        with pytest.raises(DependencyTimeout):
            await outward.check("http://shop.de/")


async def test_nobody_there_is_unavailable_and_the_second_address_is_tried() -> None:
    async with FaultyServer(hello, host=PUBLIC).listening() as server:
        port = server.port
        async with client(always("127.0.0.9", PUBLIC), may_ask=lambda _: True) as outward:
            assert (await outward.request("GET", f"http://shop.de:{port}/")).body == b"hello"
    async with client() as outward:
        with pytest.raises(DependencyUnavailable):
            await outward.request("GET", f"http://shop.de:{port}/")


async def test_cookies_of_one_answer_are_not_sent_with_the_next_request() -> None:
    cookie = Answer(headers={"Set-Cookie": "session=abc; Path=/"})
    async with FaultyServer(lambda _: cookie, host=PUBLIC).listening() as server, client() as outward:
        for _ in range(2):
            await outward.request("GET", f"http://shop.de:{server.port}/")

    assert "cookie" not in server.asked[1].headers


async def test_a_certificate_has_to_be_the_names_and_vouched_for(tmp_path: Path) -> None:
    server_tls, trusting = _certificate(tmp_path, "shop.de")

    async with FaultyServer(hello, host=PUBLIC, tls=server_tls).listening() as server:
        async with client(tls=trusting) as outward:
            answer = await outward.request("GET", f"https://shop.de:{server.port}/")
            with pytest.raises(NetworkFailed):
                await outward.request("GET", f"https://other.de:{server.port}/")
        async with client() as outward:  # nobody whom the machine trusts has signed it
            with pytest.raises(NetworkFailed):
                await outward.request("GET", f"https://shop.de:{server.port}/")

    assert answer.body == b"hello"
    assert server.server_names == ["shop.de", "other.de", "shop.de"]
    assert len(server.asked) == 1


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's that trusts it): self-signed, made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(
        cadata=certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    return server, trusting
