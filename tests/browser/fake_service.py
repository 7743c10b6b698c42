"""
A service on a real socket that keeps docs/api.md as far as the chat window uses it, and fails on request.

It can be stopped and started again on the same port without forgetting what it stored.
"""

import asyncio
import itertools
import socket
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from agent.demo import shop
from agent.widget.demo_pages import ShopWindow, demo_router
from agent.widget.pages import widget_router

NOW = "2026-11-22T10:00:00+00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str
    deltas: tuple[str, ...] = ()
    citations: tuple[Mapping[str, Any], ...] = ()
    quick_replies: tuple[str, ...] = ()
    actions: tuple[Mapping[str, Any], ...] = ()
    degraded: tuple[Mapping[str, Any], ...] = ()
    tool: str | None = "search_knowledge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of `status` instead of a turn; nothing is stored."""

    status: int
    retry_after: str | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Cut:
    """The message is stored, and the stream ends in the middle of the reply."""


@dataclass(frozen=True, slots=True)
class Drained:
    retry_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """The stream stays open after the first delta until the service is told to go on."""


Fault = Refusal | Cut | Drained | Held


@dataclass
class FakeService:
    answers: dict[str, Answer] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[float, dict[str, Any], Mapping[str, str]]] = field(default_factory=list)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    pages: dict[str, str] = field(default_factory=dict)
    visitor_tokens: list[str] | None = None
    """None: local mode. A list: the tokens that are valid now."""
    renewals: list[str | None] = field(default_factory=list)
    can_resume: bool = False
    """Whether a message that is sent again with the last event's id is told from there on."""
    resumed: list[str] = field(default_factory=list)
    """The Last-Event-ID of each time that one was."""
    go_on: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __post_init__(self) -> None:
        self._turns: dict[str, dict[str, Any]] = {}
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, message: str) -> list[dict[str, Any]]:
        return [body for _, body, _ in self.requests if body["message"] == message]

    def stored(self, message: str) -> int:
        return sum(each["text"] == message for kept in self.messages.values() for each in kept)

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app(), log_level="critical", lifespan="off", timeout_graceful_shutdown=1, ws="none"
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
            self._server = self._thread = None

    def _app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)
        app.include_router(widget_router())
        app.include_router(
            demo_router(
                ShopWindow(
                    company=shop.COMPANY,
                    contact=shop.CONTACT,
                    articles=shop.articles(),
                    questions=shop.questions(),
                    customers=shop.customers(datetime.fromisoformat(NOW)),
                )
            )
        )
        app.add_api_route("/v1/chat", self._chat, methods=["POST"], response_model=None)
        app.add_api_route("/v1/visitors", self._visitor, methods=["POST"], response_model=None)
        app.add_api_route(
            "/v1/conversations/{conversation_id}/messages",
            self._history,
            methods=["GET"],
            response_model=None,
        )
        app.add_api_route("/page/{name}", self._page, methods=["GET"], response_model=None)
        return app

    async def _page(self, name: str) -> Response:
        return HTMLResponse(self.pages[name])

    async def _visitor(self, request: Request) -> Response:
        assert self.visitor_tokens is not None
        self.renewals.append(request.headers.get("Authorization"))
        token = f"vis_{len(self.renewals)}"
        self.visitor_tokens.append(token)
        return JSONResponse({"token": token, "customer_id": "anon_1", "expires_at": NOW})

    def _is_known(self, request: Request) -> bool:
        if self.visitor_tokens is None:
            return True
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.visitor_tokens

    async def _history(
        self, request: Request, conversation_id: str, after: int = 0, limit: int = 100
    ) -> Response:
        if not self._is_known(request):
            return _problem(401, retryable=False)
        if conversation_id not in self.messages:
            return _problem(404, retryable=False)
        found = [each for each in self.messages[conversation_id] if each["seq"] > after]
        page = found[:limit]
        following = page[-1]["seq"] if len(found) > limit else None
        return JSONResponse({"messages": page, "next": following})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((time.monotonic(), body, dict(request.headers)))
        if not self._is_known(request):
            return _problem(401, retryable=False)
        faults = self.faults[body["message"]]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, Refusal):
            return _problem(fault.status, retryable=fault.retryable, retry_after=fault.retry_after)
        if body.get("conversation_id") and body["conversation_id"] not in self.messages:
            return _problem(404, retryable=False)
        turn = self._intake(body)
        heard = request.headers.get("Last-Event-ID", "")
        if self.can_resume and heard.startswith(f"{turn['turn_id']}:"):
            self.resumed.append(heard)
            told = [event async for event in self._stream(turn, None)]
            after = int(heard.rpartition(":")[2])
            return Response(b"".join(told[after + 1 :]), media_type="text/event-stream")
        return StreamingResponse(self._stream(turn, fault), media_type="text/event-stream")

    def _intake(self, body: dict[str, Any]) -> dict[str, Any]:
        known = self._turns.get(body["client_message_id"])
        if known is not None:
            return known
        number = len(self._turns) + 1
        conversation_id = body.get("conversation_id") or f"conv_{body['client_message_id']}"
        answer = self.answers.get(body["message"], Answer(text=f"You said: {body['message']}"))
        turn = {
            "conversation_id": conversation_id,
            "turn_id": f"turn_{number}",
            "message_id": f"msg_c{number}",
            "status": "answered",
            "reply": {
                "message_id": f"msg_a{number}",
                "text": answer.text,
                "format": "markdown",
                "citations": list(answer.citations),
                "quick_replies": list(answer.quick_replies),
            },
            "actions": list(answer.actions),
            "degraded": list(answer.degraded),
            "brain": "embedded",
            "model": None,
            "durability": "sql",
            "timings_ms": {"total": 1, "load": 0, "brain": 1, "tools": 0, "save": 0},
        }
        self._turns[body["client_message_id"]] = turn
        self.add(conversation_id, "customer", body["message"], client_message_id=body["client_message_id"])
        self.add(
            conversation_id,
            "agent",
            answer.text,
            message_id=f"msg_a{number}",
            citations=list(answer.citations),
            degraded=list(answer.degraded),
        )
        return turn

    def add(self, conversation_id: str, role: str, text: str, **more: Any) -> None:
        kept = self.messages[conversation_id]
        seq = len(kept) + 1
        base = {"message_id": f"{conversation_id}-{seq}", "seq": seq, "role": role, "text": text, "at": NOW}
        kept.append(base | {"turn_id": None} | more)

    async def _stream(self, turn: dict[str, Any], fault: Fault | None) -> AsyncIterator[bytes]:
        names = ("conversation_id", "turn_id", "message_id", "durability")
        n = itertools.count()

        def event(name: str, data: Mapping[str, Any]) -> bytes:
            return b"event: %s\nid: %s:%d\ndata: %s\n\n" % (
                name.encode(),
                turn["turn_id"].encode(),
                next(n),
                orjson.dumps(data),
            )

        yield event("accepted", {name: turn[name] for name in names})
        if isinstance(fault, Drained):
            yield event("drain", {"retry_ms": fault.retry_ms})
            return
        answer = next((each for each in self.answers.values() if each.text == turn["reply"]["text"]), None)
        yield event("status", {"phase": "tool", "tool": answer.tool if answer else None})
        deltas: Sequence[str] = (answer.deltas if answer else ()) or (turn["reply"]["text"],)
        for index, delta in enumerate(deltas):
            yield event("delta", {"text": delta})
            if index == 0 and isinstance(fault, Cut):
                return
            if index == 0 and isinstance(fault, Held):
                await asyncio.to_thread(self.go_on.wait, 30)
        yield event("message", turn)
        yield event("done", {})


def _problem(status: int, *, retryable: bool, retry_after: str | None = None) -> Response:
    return JSONResponse(
        {
            "type": "urn:careline:problem:test",
            "title": "Test",
            "status": status,
            "code": "test",
            "detail": "as asked",
            "errors": [],
            "request_id": "req_1",
            "retryable": retryable,
            "user_action": "",
            "stored": False,
        },
        status_code=status,
        headers={"Retry-After": retry_after} if retry_after else None,
        media_type="application/problem+json",
    )
