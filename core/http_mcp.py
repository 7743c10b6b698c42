"""
The HTTP client for MCP servers: the same promises as `core.http`'s clients, made of httpx2, which the MCP library is written for.

It also notes each answer's status, which the library keeps to itself.
"""

from collections.abc import AsyncIterator, Mapping, MutableSequence
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

LONGEST_ANSWER = 4 * 1024 * 1024
"""Bytes of one JSON answer; of an event stream, the library bounds each event."""

answered_statuses: ContextVar[MutableSequence[int] | None] = ContextVar("answered_statuses", default=None)
"""Whoever sets a sequence here finds in it the statuses of the answers that came to the requests it made."""


def make_mcp_client(
    dependency: str,
    *,
    timeout_seconds: float,
    connect_seconds: float,
    headers: Mapping[str, str],
) -> "httpx2.AsyncClient":
    """
    Repeats nothing by itself, and reads neither proxies nor credentials from the environment. Redirects stay on the server's
    origin, which the MCP library sees to.
    """
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = LONGEST_ANSWER
            async for piece in self._stream:
                left -= len(piece)
                if left < 0:
                    raise httpx2.DecodingError(f"an answer of more than {LONGEST_ANSWER} bytes")
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def note(response: httpx2.Response) -> None:
        statuses = answered_statuses.get()
        if statuses is not None:
            statuses.append(response.status_code)
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if not is_stream and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = Bounded(response.stream)

    return httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=20.0),
            trust_env=False,
            retries=0,
        ),
        timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, connect_seconds)),
        follow_redirects=False,
        trust_env=False,
        headers={"User-Agent": f"careline/{version('careline')} ({dependency})", **headers},
        event_hooks={"response": [note]},
    )
