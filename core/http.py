"""
The one place where HTTP clients are made, and where HTTP's ways to fail become ours.

Adapters get a client, and hand what it raises to `translate` and what it answers to `raise_for_answer`.
"""

import math
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Protocol

import httpx

from core.errors import (
    CarelineError,
    Conflict,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    InternalFailure,
    NetworkFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.http_limits import ENCODINGS, AnswerTooLarge, LimitedTransport
from core.http_stream import Origin, StreamedAnswer, StreamTransport, end_head, head_of, origin_of

_CONNECTOR_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=20.0)
_ONE_USE_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=0)
_CONNECT_SECONDS = 2.0
_ANSWER_BYTES = 8 * 1024 * 1024
MODEL_ANSWER_BYTES = 32 * 1024 * 1024
"""A stream spends a few hundred bytes on each word, hidden ones included."""
_LONGEST_RETRY_AFTER = 86_400.0


def make_client(
    dependency: str,
    *,
    base_url: str,
    timeout_seconds: float,
    connect_seconds: float = _CONNECT_SECONDS,
    headers: Mapping[str, str] | None = None,
    answer_bytes: int = _ANSWER_BYTES,
    keeps_connections: bool = True,
    tls: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """
    For connectors: calls may have effects, so it uses httpx's own transport, whose errors say what was sent.

    Repeats nothing by itself, follows no redirects, keeps no cookies, and reads neither proxies nor credentials from
    the environment. An answer that is larger than `answer_bytes`, or has not ended `connect_seconds` and `timeout_seconds` after
    its request began, is given up. `tls` None: whoever the machine's usual authorities vouch for.
    """
    transport = httpx.AsyncHTTPTransport(
        verify=tls if tls is not None else True,
        limits=_CONNECTOR_LIMITS if keeps_connections else _ONE_USE_LIMITS,
        trust_env=False,
        retries=0,
    )
    return httpx.AsyncClient(
        transport=LimitedTransport(
            transport, total_seconds=timeout_seconds + connect_seconds, answer_bytes=answer_bytes
        ),
        base_url=base_url,
        timeout=_timeout(timeout_seconds, connect_seconds),
        follow_redirects=False,
        trust_env=False,
        headers={"Accept-Encoding": ENCODINGS, **_headers(dependency, headers)},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


def make_model_client(
    dependency: str,
    *,
    base_url: str,
    timeout_seconds: float,
    connect_seconds: float = _CONNECT_SECONDS,
    headers: Mapping[str, str] | None = None,
    answer_bytes: int = MODEL_ANSWER_BYTES,
) -> "StreamingClient":
    """
    For language models: hundreds of slow calls at once, none with an effect, so it uses a leaner transport.

    `timeout_seconds` is the longest silence, not the longest answer; an answer of more than `answer_bytes` is given up. Needs a
    running loop from its first request on.
    """
    return StreamingClient(
        StreamTransport(answer_bytes=answer_bytes),
        base_url=base_url,
        timeout=_timeout(timeout_seconds, connect_seconds),
        headers={"Accept-Encoding": "identity", **_headers(dependency, headers)},
    )


class StreamingClient(httpx.AsyncClient):
    """httpx's client, and a way past it for the one request that is made in every turn."""

    def __init__(
        self,
        transport: StreamTransport,
        *,
        base_url: str,
        timeout: httpx.Timeout,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(
            transport=transport,
            base_url=base_url,
            timeout=timeout,
            headers=headers,
            follow_redirects=False,
            trust_env=False,
        )
        self._streams = transport

    def prepare_post(self, path: str, *, headers: Mapping[str, str]) -> "PreparedPost":
        """
        Raises:
            httpx.UnsupportedProtocol: the base URL is not an http(s) URL.
        """
        request = self.build_request("POST", path, headers={"Accept-Encoding": "identity", **headers})
        return PreparedPost(
            self._streams,
            origin_of(request.url),
            head_of(request),
            connect_seconds=self.timeout.connect or _CONNECT_SECONDS,
        )


class PreparedPost:
    """A request of which only the body changes. Comes as it was sent: no content encoding is undone."""

    def __init__(
        self, transport: StreamTransport, origin: Origin, head: bytes, *, connect_seconds: float
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._head = head
        self._connect_seconds = connect_seconds

    async def send(self, body: bytes, *, silence_seconds: float) -> StreamedAnswer:
        """The answer, once its head is there. Raises what `translate` knows."""
        return await self._transport.send(
            self._origin,
            end_head(self._head, body),
            body,
            connect_seconds=self._connect_seconds,
            read_seconds=silence_seconds,
        )


class Answered(Protocol):
    """httpx's response, or a streamed one."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> httpx.Headers: ...


# One line per way to fail is the shortest way to write this table.
def translate(dependency: str, exc: Exception) -> CarelineError:  # noqa: PLR0911
    """
    What a client of this module raised, in our words. Use as `raise translate("tickets", exc) from exc`.
    """
    match exc:
        case CarelineError():
            return exc
        case httpx.ConnectTimeout():
            return DependencyTimeout(dependency, f"{dependency}: no connection in time", reason="connect")
        case httpx.PoolTimeout():
            return DependencyUnavailable(
                dependency, f"{dependency}: all connections are busy", reason="pool_full"
            )
        case httpx.TimeoutException():
            return DependencyTimeout(dependency, f"{dependency}: no answer in time", may_have_happened=True)
        case httpx.ConnectError() | httpx.ProxyError():
            return _not_connected(dependency, exc)
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return NetworkFailed(dependency, f"{dependency}: the connection broke", may_have_happened=True)
        case AnswerTooLarge():
            return ExternalApiFailed(
                dependency,
                f"{dependency}: the answer is too large",
                reason="answer_too_large",
                may_have_happened=True,
            )
        case httpx.DecodingError() | httpx.TooManyRedirects():
            return ExternalApiFailed(dependency, f"{dependency}: unreadable answer", may_have_happened=True)
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return ToolMisconfigured(f"{dependency}: its address is not an http(s) URL", reason="invalid_url")
        case httpx.HTTPError() | httpx.StreamError():
            return InternalFailure(f"{dependency}: {type(exc).__name__}")
        case _:
            return InternalFailure(f"{dependency}: unforeseen {type(exc).__name__}")


def raise_for_answer(dependency: str, response: Answered, *, now: datetime | None = None) -> None:
    """
    Nothing for a 2xx; for any other status the error that it stands for.

    A 4xx proves that the call was not carried out, a 5xx (but for 501 and 503) leaves it open. `now` is what
    an HTTP date in `Retry-After` is compared with where the answer has no `Date` of its own.
    """
    status = response.status_code
    if 200 <= status < 300:
        return
    said = f"{dependency}: answered {status}"
    wait = _retry_after_of(response, now)
    match status:
        case 401:
            raise DependencyRefusedUs(dependency, said)
        case 403:
            raise DependencyForbidsUs(dependency, said)
        case 404 | 410:
            raise NotFound(said)
        case 408:
            raise DependencyTimeout(dependency, said, reason="request_timeout", retry_after=wait)
        case 409:
            raise Conflict(said)
        case 429:
            raise RateLimited(said, dependency=dependency, retry_after=wait)
        case 503:
            raise DependencyUnavailable(dependency, said, retry_after=wait)
        case 504:
            raise DependencyTimeout(dependency, said, retry_after=wait, may_have_happened=True)
    if 400 <= status < 500:
        raise DependencyRejectedInput(dependency, said)
    raise ExternalApiFailed(
        dependency,
        said,
        answered_status=status,
        retry_after=wait,
        may_have_happened=status >= 500 and status != 501,
    )


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """
    Seconds from `Retry-After`, which holds seconds or an HTTP date; None when it says nothing usable. A day
    at most.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    if math.isnan(seconds):
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)


def _timeout(seconds: float, connect_seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, connect_seconds))


def _headers(dependency: str, own: Mapping[str, str] | None) -> dict[str, str]:
    return {"User-Agent": f"careline/{version('careline')} ({dependency})", **(own or {})}


def _not_connected(dependency: str, exc: BaseException) -> CarelineError:
    """Refused says that nobody is there; a name or certificate that is wrong says that the way is."""
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, ConnectionRefusedError):
            return DependencyUnavailable(
                dependency, f"{dependency}: refused the connection", reason="refused"
            )
        if isinstance(link, socket.gaierror):
            return NetworkFailed(dependency, f"{dependency}: its name cannot be resolved", reason="dns")
        link = link.__cause__ or link.__context__
    return NetworkFailed(dependency, f"{dependency}: no connection", reason="connect")


def _retry_after_of(response: Answered, now: datetime | None) -> float | None:
    if "retry-after" not in response.headers:
        return None
    try:
        # The sender's own clock, so that a skew between the two does not matter.
        now = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        now = now or datetime.now(UTC)
    if now.tzinfo is None:
        now = now.replace(tzinfo=UTC)
    return parse_retry_after(response.headers["retry-after"], now=now)
