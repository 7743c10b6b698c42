"""
Refuse new messages at once while as many are being answered as this process can answer in good time.

Pure ASGI and before anything else looks at a request: a refusal costs microseconds, and nothing has been stored. Only what begins
a turn or runs a tool for an MCP client is counted; health, metrics, reading and what was accepted before are never refused here.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.edge import request_id_from
from agent.api.mcp import PATH as MCP_PATH
from agent.api.openai_errors import PATHS as OPENAI_PATHS
from agent.api.openai_errors import respond_as_openai
from agent.api.origins import Origins
from agent.api.problems import problem_of, respond
from core.errors import DependencyUnavailable
from core.settings import Settings
from core.telemetry.metrics import Metrics

_COUNTED = frozenset({"/v1/chat", "/v1/chat/completions", MCP_PATH})
_RETRY_SECONDS = (1, 5)
"""Spread, so that those who were refused together do not come back together; Retry-After counts whole seconds."""

_DETAIL = "As many requests as can be answered at a time are being answered; nothing of this one was stored."
_ID_HERE = "id-of-the-request"


class Admission:
    """
    `most_turns` requests that begin turns, or come to `/mcp`, may be open at a time, waiting ones and streams included. A request
    leaves when its answer has ended or its caller has gone, so a permit cannot be lost.
    """

    def __init__(
        self, app: ASGIApp, *, most_turns: int, rng: random.Random, origins: Origins, metrics: Metrics
    ) -> None:
        self._app = app
        self._origins = origins
        self._most = most_turns
        self._rng = rng
        self._metrics = metrics
        self._open = 0
        waits = range(_RETRY_SECONDS[0], _RETRY_SECONDS[1] + 1)
        self._refusals = {
            path: [_refusal(seconds, as_openai=path in OPENAI_PATHS) for seconds in waits]
            for path in _COUNTED
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _COUNTED:
            await self._app(scope, receive, send)
            return
        if self._open >= self._most:
            await self._refuse(scope, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1

    async def _refuse(self, scope: Scope, send: Send) -> None:
        headers = Headers(scope=scope)
        refusals = self._refusals[scope["path"]]
        refusal = refusals[int(self._rng.random() * len(refusals))]
        await refusal.send(request_id_from(headers), self._origins.response_headers(headers), send)
        if scope["path"] != MCP_PATH:
            self._metrics.message_shed()
        self._metrics.request_answered(method="POST", route=scope["path"], status=503, seconds=0.0)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Written before it is needed: at 2.5 times what can be answered, refusals are most of what is sent."""

    headers: Sequence[tuple[bytes, bytes]]
    before_id: bytes
    after_id: bytes

    async def send(self, request_id: str, origin_headers: Sequence[tuple[str, str]], send: Send) -> None:
        body = self.before_id + request_id.encode() + self.after_id
        headers = [
            *self.headers,
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            *((name.lower().encode(), value.encode()) for name, value in origin_headers),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _refusal(retry_seconds: int, *, as_openai: bool) -> _Refusal:
    problem = replace(
        problem_of(DependencyUnavailable("capacity", retry_after=retry_seconds)), detail=_DETAIL
    )
    if as_openai:
        answer = respond_as_openai(replace(problem, detail=f"{_DETAIL} Request {_ID_HERE}."))
    else:
        answer = respond(problem, request_id=_ID_HERE, stored=False)
    before, after = bytes(answer.body).split(_ID_HERE.encode())
    return _Refusal([each for each in answer.raw_headers if each[0] != b"content-length"], before, after)


def most_turns(settings: Settings) -> int:
    """Turns of a language model wait for it; those of the built-in brain all want the processor."""
    if settings.max_turns is not None:
        return settings.max_turns
    return 200 if settings.has_model else 32
