"""
A Careline service in memory, for tests of programs that use this library.

```python
fake = FakeCareline()
with Careline("http://fake", transport=fake.transport, sleep=fake.sleep) as careline:
    careline.agent_classes.create(name="support")
```

It keeps resources as the control plane does (defaults, unique class names, references that must exist, newest first, keys that
make a creation happen once), answers messages with `reply`, and fails when it is told to: `fake.fails(503, times=2)`.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from careline_client.fake_plane import FakePlane, Refused, details_of

Failure = int | httpx.TransportError


@dataclass
class _Planned:
    failure: Failure
    times: int
    method: str | None
    path: str | None
    headers: Mapping[str, str]
    is_after_the_write: bool

    def meets(self, request: httpx.Request) -> bool:
        return (
            self.times > 0
            and self.method in (None, request.method)
            and (self.path is None or self.path in request.url.path)
        )


@dataclass(kw_only=True)
class FakeCareline(FakePlane):
    """
    `reply` is what every message is answered with: a text, or what makes one of the customer's. `requests` are those that came,
    `slept` the pauses that the client made. `meanwhile` is called before each answer: for what others do at the same time, by
    `create` and `delete`, or for an interrupt.
    """

    reply: str | Callable[[str], str] = "Hello! How can I help you?"
    meanwhile: Callable[[httpx.Request], object] | None = None
    requests: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    _answers: dict[str, tuple[str, httpx.Response]] = field(default_factory=dict)
    _said: dict[str, dict[str, Any]] = field(default_factory=dict)
    _planned: list[_Planned] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        """For `Careline(transport=…)` and `AsyncCareline(transport=…)`."""
        return httpx.MockTransport(self._answer)

    def sleep(self, seconds: float) -> None:
        """For `Careline(sleep=…)`: no time passes."""
        self.slept.append(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """For `AsyncCareline(sleep=…)`."""
        self.slept.append(seconds)

    def fails(
        self,
        failure: Failure,
        *,
        times: int = 1,
        method: str | None = None,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
        is_after_the_write: bool = False,
    ) -> None:
        """
        The next `times` requests of that method, with that in their path, get this status, or this error of httpx instead of an
        answer; `is_after_the_write`: once what they ask for has been done.
        """
        self._planned.append(_Planned(failure, times, method, path, headers or {}, is_after_the_write))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.meanwhile is not None:
            self.meanwhile(request)
        planned = next((each for each in self._planned if each.meets(request)), None)
        if planned is not None:
            planned.times -= 1
        if planned is None or planned.is_after_the_write:
            answered = self.serve(request)
        if planned is None:
            return answered
        if isinstance(planned.failure, httpx.TransportError):
            planned.failure.request = request
            raise planned.failure
        return httpx.Response(planned.failure, json={"detail": "as planned"}, headers=dict(planned.headers))

    def serve(self, request: httpx.Request) -> httpx.Response:
        """The answer, whatever was planned."""
        if request.method == "GET":
            return self._fresh(request)
        named = request.headers.get("Idempotency-Key")
        said = hashlib.sha256(request.content).hexdigest()
        key = named or f"{request.headers.get('X-Request-ID')} {said}"
        place = f"{request.method} {request.url.path.rstrip('/')} {key}"
        if place in self._answers:
            before, response = self._answers[place]
            if before == said:
                return _copied(response)
            details = details_of([(("header", "Idempotency-Key"), "key_reused")])
            return httpx.Response(422, json={"detail": details})
        response = self._fresh(request)
        if response.is_success:
            self._answers[place] = said, response
        return _copied(response)

    def _fresh(self, request: httpx.Request) -> httpx.Response:
        try:
            if request.url.path == "/v1/chat":
                return self._answered(request)
            status, content = self.done(request)
        except Refused as refused:
            status, content = refused.status, {"detail": refused.detail}
        return httpx.Response(status) if status == 204 else httpx.Response(status, json=content)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        answer = self._said_to(json.loads(request.content))
        if "text/event-stream" not in request.headers.get("Accept", ""):
            return httpx.Response(200, json=answer)
        return httpx.Response(
            200, content="".join(_events(answer)).encode(), headers={"Content-Type": "text/event-stream"}
        )

    def _said_to(self, body: dict[str, Any]) -> dict[str, Any]:
        known = self._said.get(body["client_message_id"])
        if known is not None:
            return known
        text = self.reply(body["message"]) if callable(self.reply) else self.reply
        turn = uuid.uuid4().hex
        answer: dict[str, Any] = {
            "conversation_id": body.get("conversation_id") or f"conv_{turn}",
            "turn_id": f"turn_{turn}",
            "message_id": f"msg_{turn}",
            "status": "answered",
            "reply": {
                "message_id": f"msg_{turn}_reply",
                "text": text,
                "format": "markdown",
                "citations": [],
                "quick_replies": [],
            },
            "actions": [],
            "degraded": [],
            "brain": "embedded",
            "model": None,
            "durability": "sql",
            "timings_ms": {},
        }
        self._said[body["client_message_id"]] = answer
        return answer


def _copied(response: httpx.Response) -> httpx.Response:
    return httpx.Response(response.status_code, content=response.content, headers=response.headers)


def _events(answer: Mapping[str, Any]) -> Iterator[str]:
    accepted = {name: answer[name] for name in ("conversation_id", "turn_id", "message_id", "durability")}
    told = [
        ("accepted", accepted),
        ("delta", {"text": answer["reply"]["text"]}),
        ("message", answer),
        ("done", {}),
    ]
    for n, (name, data) in enumerate(told):
        yield f"id: {answer['turn_id']}:{n}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
