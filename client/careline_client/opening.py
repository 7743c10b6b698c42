"""
What both clients share: how a connection is set up, and how a generator of steps is carried on.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import httpx

from careline_client.steps import Send, Step, Steps

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
_CONNECT_SECONDS = 5.0


def http_settings(
    base_url: str, *, key: str | None, headers: Mapping[str, str] | None, timeout_seconds: float
) -> dict[str, Any]:
    """
    A key in the address (`https://user:KEY@host`) works too.

    Raises:
        ValueError: the address is no HTTP URL.
    """
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url must begin with http:// or https://, got {base_url!r}")
    sent = {"Accept": "application/json", "User-Agent": "careline-client/0.1"} | dict(headers or {})
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    return {
        "base_url": base_url.rstrip("/"),
        "headers": sent,
        "timeout": timeouts(timeout_seconds),
    }


def timeouts(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))


def requested(
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None,
    body: Any,
    headers: Mapping[str, str] | None,
    is_repeatable: bool | None,
) -> Send:
    given = dict(headers or {})
    has_key = any(name.lower() == "idempotency-key" for name in given)
    return Send(
        method=method,
        path=path,
        query=query or {},
        body=body,
        headers=given,
        is_repeatable=method != "POST" or has_key if is_repeatable is None else is_repeatable,
    )


class Ran(Generic[T]):
    """Steps under way: the driver asks for the next one, and says what came of each request."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._answer: httpx.Response | None = None
        self._error: BaseException | None = None
        self._result: T | None = None

    def next_step(self) -> Step | None:
        """None when there is a `result`. Raises what the steps raise."""
        answer, error, self._answer, self._error = self._answer, self._error, None, None
        try:
            if error is not None:
                return self._steps.throw(error)
            return self._steps.send(cast(httpx.Response, answer))
        except StopIteration as end:
            self._result = end.value
            return None

    def answered(self, response: httpx.Response) -> None:
        self._answer = response

    def failed(self, error: BaseException) -> None:
        """An interrupt is the steps' to hear, too: there may be something to take back."""
        self._error = error

    def result(self) -> T:
        return cast(T, self._result)


class Limited(httpx.SyncByteStream):
    """An answer's bytes, given up between two of them when the time is over: httpx limits each read, not their sum."""

    def __init__(self, stream: httpx.SyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._ends_at = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            if time.monotonic() > self._ends_at:
                raise httpx.ReadTimeout("the answer was not whole in time")
            yield piece

    def close(self) -> None:
        self._stream.close()
