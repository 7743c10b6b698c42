"""
Ask HTTP addresses that others have given: links in data, webhooks set over the API, addresses to ingest.

Nobody may make Careline ask what lies behind its firewall. Each address is resolved once, every answer of the resolver is
checked (`core.outward_addresses`), and the connection goes to one that was checked, so a name that changes its mind between
check and use wins nothing. Addresses from the operator's own settings are not for this module: they may well lie inside.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urljoin

import httpx

from core.errors import DependencyTimeout, ExternalApiFailed, NetworkFailed, ValidationFailed
from core.http import make_client, translate
from core.outward_addresses import IpAddress, host_of, is_outward, parsed

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a name; raises OSError where it has none."""

_LONGEST_URL = 2_048
_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_OWN_HEADERS = frozenset({"host", "connection", "proxy-authorization", "transfer-encoding"})
_SECRET_HEADERS = frozenset({"authorization", "cookie"})


@dataclass(frozen=True, slots=True)
class OutwardAnswer:
    """Whatever its status; `url` is where it came from in the end."""

    url: str
    status_code: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    url: httpx.URL
    addresses: tuple[IpAddress, ...]


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the machine is set up to, /etc/hosts included."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class OutwardClient:
    """
    `timeout_seconds` and `answer_bytes` bound the whole exchange, redirects included.

    `purpose` names it in errors. `resolver`, `may_ask` and `tls` are for tests, and for a company whose own network is meant.
    """

    def __init__(
        self,
        purpose: str,
        *,
        timeout_seconds: float,
        answer_bytes: int,
        redirects: int = _MOST_REDIRECTS,
        resolver: Resolve = resolve,
        may_ask: Callable[[IpAddress], bool] = is_outward,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._purpose = purpose
        self._timeout_seconds = timeout_seconds
        self._redirects = redirects
        self._resolve = resolver
        self._may_ask = may_ask
        # A kept connection would be another host's on the same address, whose certificate nobody has looked at.
        self._client = make_client(
            purpose,
            base_url="",
            timeout_seconds=timeout_seconds,
            connect_seconds=timeout_seconds / 3,  # so that a second address can be tried
            answer_bytes=answer_bytes,
            keeps_connections=False,
            tls=tls,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def check(self, url: str) -> None:
        """
        Whether it could be asked now. Proves nothing for later: names change, so `request` checks again.

        Raises as `request`.
        """
        async with self._in_time():
            await self._target(url)

    async def request(
        self,
        method: Literal["GET", "HEAD", "POST", "PUT"],
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        follow_redirects: bool = True,
    ) -> OutwardAnswer:
        """
        Without `follow_redirects` a redirect is the answer, for whoever has to ask the next place's leave first.

        Raises:
            ValidationFailed: `reason="invalid_url"` for what is no plain http(s) address, `reason="inward_address"` for one that
                leads inside, at once or by a redirect. Nothing was sent there.
            ExternalApiFailed: too many redirects, or `reason="answer_too_large"`.
            DependencyTimeout, DependencyUnavailable, NetworkFailed: as for every connector; so is a certificate that is wrong.
        """
        sent = {name: value for name, value in (headers or {}).items() if name.lower() not in _OWN_HEADERS}
        async with self._in_time():
            for _ in range(self._redirects + 1):
                target = await self._target(url)
                response = await self._sent(target, method, sent, body)
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or location is None or not follow_redirects:
                    return OutwardAnswer(
                        str(target.url), response.status_code, response.headers, response.content
                    )
                if response.status_code not in _KEEPING_METHOD and method != "HEAD":
                    method, body = "GET", None
                url = urljoin(str(target.url), location)
                if _origin(url) != _origin(str(target.url)):
                    sent = {name: each for name, each in sent.items() if name.lower() not in _SECRET_HEADERS}
        raise ExternalApiFailed(self._purpose, f"{self._purpose}: too many redirects", reason="redirects")

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except TimeoutError as late:
            raise DependencyTimeout(
                self._purpose, f"{self._purpose}: no answer in time", may_have_happened=True
            ) from late

    async def _sent(
        self, target: _Target, method: str, headers: Mapping[str, str], body: bytes | None
    ) -> httpx.Response:
        failure: Exception | None = None
        for address in target.addresses[:2]:
            # The name stays in Host, in TLS's server name, and so in what the certificate has to say.
            pinned = target.url.copy_with(host=str(address), fragment=None)
            host = target.url.netloc.decode("ascii")
            extensions = {"sni_hostname": target.url.host} if target.url.scheme == "https" else {}
            try:
                return await self._client.request(
                    method,
                    pinned,
                    headers={**headers, "Host": host, "Connection": "close"},
                    content=body,
                    extensions=extensions,
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                failure = exc
            except httpx.HTTPError as exc:
                raise translate(self._purpose, exc) from exc
        if failure is None:
            raise NetworkFailed(self._purpose, f"{self._purpose}: its name cannot be resolved", reason="dns")
        raise translate(self._purpose, failure) from failure

    async def _target(self, text: str) -> _Target:
        url = _plain_url(text)
        try:
            host = host_of(url.raw_host.decode("ascii"))
        except ValueError as exc:
            raise _inward() from exc
        if not isinstance(host, str):
            if not self._may_ask(host):
                raise _inward()
            return _Target(url, (host,))
        url = url.copy_with(host=host)
        try:
            answers = await self._resolve(host, url.port or _PORTS[url.scheme])
        except OSError as exc:
            raise NetworkFailed(
                self._purpose, f"{self._purpose}: its name cannot be resolved", reason="dns"
            ) from exc
        addresses = tuple(dict.fromkeys(parsed(answer) for answer in answers))
        # One inward address among outward ones is an attack, or a network that nobody outside is meant to know.
        if not all(self._may_ask(address) for address in addresses):
            raise _inward()
        return _Target(url, addresses)


def _plain_url(text: str) -> httpx.URL:
    """Only what every parser reads alike: where two differ, one of them checks and the other connects."""
    if len(text) > _LONGEST_URL:
        raise _invalid("is too long")
    if any(ord(char) <= 0x20 or char in '\\"<>^`{|}' or 0x7F <= ord(char) <= 0xA0 for char in text):
        raise _invalid("holds a character that no address has")
    scheme, separator, rest = text.partition("://")
    if scheme.lower() not in _PORTS or not separator:
        raise _invalid("does not begin with http:// or https://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority:
        raise _invalid("holds a user name")
    if "%" in authority:
        raise _invalid("has an escaped host")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as exc:
        raise _invalid("cannot be read") from exc
    if not url.host or url.userinfo:
        raise _invalid("names no host")
    if url.port is not None and not 0 < url.port < 65_536:
        raise _invalid("has a port that does not exist")
    return url


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = _plain_url(url)
    return parts.scheme, parts.host, parts.port


def _invalid(what: str) -> ValidationFailed:
    return ValidationFailed(f"the address {what}", reason="invalid_url")


def _inward() -> ValidationFailed:
    """Says no more: what a name resolves to inside is nobody's business."""
    return ValidationFailed(
        "the address does not lead to a public place on the internet", reason="inward_address"
    )
