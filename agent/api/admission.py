"""
Refuse new messages at once while as many are being answered as this process can answer in good time.

Pure ASGI and before credentials and bodies are read: a refusal costs microseconds, and nothing has been stored. Only what begins
a turn is counted; health, metrics, reading and what was accepted before are never refused here.
"""

import random

from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.problems import problem_of, respond
from core.errors import DependencyUnavailable
from core.settings import Settings
from core.telemetry.metrics import Metrics

_BEGIN_A_TURN = frozenset({"/v1/chat"})
_RETRY_SECONDS = (1, 5)
"""Spread, so that those who were refused together do not come back together; Retry-After counts whole seconds."""


class Admission:
    """
    `most_turns` requests that begin turns may be open at a time, waiting ones and streams included. A request leaves when its
    answer has ended or its caller has gone, so a permit cannot be lost.
    """

    def __init__(self, app: ASGIApp, *, most_turns: int, rng: random.Random, metrics: Metrics) -> None:
        self._app = app
        self._most = most_turns
        self._rng = rng
        self._metrics = metrics
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _BEGIN_A_TURN:
            await self._app(scope, receive, send)
            return
        if self._open >= self._most:
            self._metrics.message_shed()
            busy = DependencyUnavailable("capacity", retry_after=self._rng.randint(*_RETRY_SECONDS))
            request_id = scope["state"]["request_id"]
            await respond(problem_of(busy), request_id=request_id, stored=False)(scope, receive, send)
            return
        self._open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1


def most_turns(settings: Settings) -> int:
    """Turns of a language model wait for it; those of the built-in brain all want the processor."""
    if settings.max_turns is not None:
        return settings.max_turns
    return 200 if settings.model_url is not None else 16
