"""
Between a deploy and a real plane: carries each request there, and misbehaves at the one that a test says.

A call is a request with all its repeats, which have one `X-Request-ID`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from tests.deploy.plane_content import client_of
from tests.http_faults import Answer, Asked, FaultyServer, as_json

_OWN = frozenset({"host", "connection", "content-length", "accept-encoding"})


class Kind(StrEnum):
    TOO_MANY = "429"
    BROKEN = "500"
    BROKEN_AFTER = "500 after the write"
    AWAY = "503"
    RESET = "reset"
    RESET_AFTER = "reset after the write"
    TIMEOUT_AFTER = "timeout after the write"

    @property
    def is_late(self) -> bool:
        """Whether the plane has carried out the request by then."""
        return self in (Kind.BROKEN_AFTER, Kind.RESET_AFTER, Kind.TIMEOUT_AFTER)

    def answer(self) -> Answer:
        match self:
            case Kind.TOO_MANY:
                return as_json({"detail": "too many"}, status=429, Retry_After="0")
            case Kind.BROKEN | Kind.BROKEN_AFTER:
                return as_json({"detail": "broken"}, status=500)
            case Kind.AWAY:
                return as_json({"detail": "away"}, status=503)
            case Kind.RESET | Kind.RESET_AFTER:
                return Answer(resets=True)
            case Kind.TIMEOUT_AFTER:
                return Answer(is_silent=True)


class Lasts(StrEnum):
    ONCE = "one request"
    CALL = "a call with all its repeats"
    ON = "everything from there on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """At the n-th call, from 1."""

    at: int
    kind: Kind
    lasts: Lasts


class FaultyPlane(FaultyServer):
    """`refuses` answers 422 to each creation of this kind; `calls` counts those that came."""

    def __init__(self, upstream: str) -> None:
        super().__init__(lambda _: Answer())
        self.fault: Fault | None = None
        self.refuses: str | None = None
        self.met = 0
        self._upstream = upstream
        self._calls: dict[str, int] = {}

    @property
    def calls(self) -> int:
        return len(self._calls)

    def begin(self, fault: Fault | None = None, *, refuses: str | None = None) -> None:
        self.fault, self.refuses, self.met = fault, refuses, 0
        self._calls.clear()

    @asynccontextmanager
    async def between(self) -> AsyncIterator[str]:
        """The URL to use in place of the plane's."""
        async with (
            client_of(self._upstream, path="") as self._client,
            self.listening(),
        ):
            yield self.url

    async def decide(self, asked: Asked) -> Answer:
        call = self._calls.setdefault(asked.headers["x-request-id"], self.calls + 1)
        if self.refuses is not None and (asked.method, asked.path) == ("POST", f"/api/v1/{self.refuses}"):
            detail = [{"loc": ["body", "name"], "msg": "refused", "type": "test"}]
            return as_json({"detail": detail}, status=422)
        fault = self.fault if self._is_met(call) else None
        if fault is None:
            return await self._carried(asked)
        self.met += 1
        if fault.kind.is_late:
            await self._carried(asked)
        return fault.kind.answer()

    def _is_met(self, call: int) -> bool:
        if self.fault is None:
            return False
        match self.fault.lasts:
            case Lasts.ONCE:
                return call == self.fault.at and self.met == 0
            case Lasts.CALL:
                return call == self.fault.at
            case Lasts.ON:
                return call >= self.fault.at

    async def _carried(self, asked: Asked) -> Answer:
        response = await self._client.request(
            asked.method,
            asked.target,
            content=asked.body,
            headers={name: value for name, value in asked.headers.items() if name not in _OWN},
        )
        kind = response.headers.get("content-type", "application/json")
        return Answer(status=response.status_code, body=response.content, headers={"Content-Type": kind})
