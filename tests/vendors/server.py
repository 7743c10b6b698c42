"""
A vendor's HTTP service on a real socket: keeps state, checks every request and every answer of its own against the vendor's
description, and fails as it is told to.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.vendors.description import Description

_LOST = 0.15
_BUSY = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """In place of `body`: what no vendor should send."""

    @property
    def content(self) -> bytes:
        return json.dumps(self.body).encode() if self.raw is None else self.raw


class VendorServer:
    """
    `refused` names each request that the description does not allow, `mistakes` each answer of ours; tests want both empty.

    `fails_with` answers are given first, in place of carrying out the next requests of which `fails_when` is true. So many of
    the requests that make something as `loses_answers` says are carried out and never answered.
    """

    def __init__(self, described: Description) -> None:
        self.described = described
        self.asked: list[Asked] = []
        self.refused: list[str] = []
        self.mistakes: list[str] = []
        self.fails_with: deque[Answer] = deque()
        self.fails_when: Callable[[Asked], bool] = lambda _: True
        self.loses_answers = 0
        self.luck: random.Random | None = None
        """Where set: 15 % of the answers to what makes something are lost, and 5 % of all requests get 503."""
        self.absent: frozenset[str] = frozenset()
        """Paths of another version of the interface, which this one answers with 404."""
        self.port = 0
        self._runner: web.ServerRunner | None = None
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, asked: Asked) -> Answer:
        """Each vendor's own business: what a valid request does, and what it gets."""
        raise NotImplementedError

    def makes_something(self, asked: Asked) -> bool:
        """Whether it is one whose answer may be lost."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(
            request.method, request.path, dict(request.query), dict(request.headers), await request.read()
        )
        self.asked.append(asked)
        if self.fails_with and self.fails_when(asked):
            return _response(self.fails_with.popleft())
        if self.luck is not None and self.luck.random() < _BUSY:
            return _response(Answer(503, {"error": "busy"}, {"Retry-After": "0"}))
        if asked.path in self.absent:
            return _response(Answer(404, {"error": "not found"}))
        problem = self.described.problem_of_request(
            asked.method, asked.path, asked.query, asked.headers, asked.body
        )
        if problem is not None:
            self.refused.append(f"{asked.method} {asked.path}: {problem}")
            return _response(Answer(400, {"error": problem}))
        answer = self.handle(asked)
        mistake = self.described.problem_of_answer(asked.method, asked.path, answer.status, answer.content)
        if mistake is not None:
            self.mistakes.append(f"{asked.method} {asked.path} {answer.status}: {mistake}")
            return _response(Answer(500, {"error": mistake}))
        if self.makes_something(asked) and self._loses_it():
            await self._closing.wait()
        return _response(answer)

    def _loses_it(self) -> bool:
        if self.loses_answers:
            self.loses_answers -= 1
            return True
        return self.luck is not None and self.luck.random() < _LOST


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.content,
        content_type="application/json",
        headers=dict(answer.headers),
    )
