"""
A turn as it is streamed: events put together from bytes, and what to ask for when the connection is cut.

The events of the service are those of its contract: `accepted`, `status`, `delta`, `reset`, `message`, `error`, `drain`, `done`.
"""

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx

from careline_client.errors import CarelineError, ConnectionError, StreamError, error_of, failure_of
from careline_client.hooks import Call, Hook, Watched
from careline_client.resources import Answer
from careline_client.retries import RetryPolicy
from careline_client.steps import Send, segment

_ENDS = frozenset({"done", "error"})


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is `<turn_id>:<n>`, empty where the service gave none; `data` is the event's JSON object."""

    name: str
    data: Mapping[str, Any]
    id: str = ""


class Decoder:
    """Server-sent events (WHATWG HTML, 9.2) from bytes that may be cut anywhere; what no blank line has ended is no event."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._text = ""
        self._name = ""
        self._id = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        self._text += self._decode(piece)
        # A carriage return at the end may be half of a line's end.
        whole = self._text[:-1] if self._text.endswith("\r") else self._text
        lines = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._text = lines.pop() + self._text[len(whole) :]
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield self._event()

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id":
            self._id = value

    def _event(self) -> Event:
        data = json.loads("\n".join(self._data))
        event = Event(self._name or "message", data, self._id)
        self._data, self._name = [], ""
        return event


class Resumed:
    """
    The state of one stream over any number of connections: each event once, in order, whatever was cut.

    A driver sends `request()`, gives the bytes to `feed`, and says `cut` when there are no more or the connection failed; then it
    waits that long and begins again, until `is_over`. All that happens while it is `watched`.
    """

    def __init__(self, policy: RetryPolicy, hooks: Sequence[Hook] = ()) -> None:
        self._policy = policy
        self._hooks = hooks
        self._watched: Watched | None = None
        self._decoder = Decoder()
        self._failures = 0
        self._wait_seconds: float | None = None
        self.last_id = ""
        self.is_over = False

    def next_request(self) -> Send:
        raise NotImplementedError

    def apply(self, event: Event) -> None:
        """What the event changes, beside `last_id`."""
        raise NotImplementedError

    def watched(self) -> Watched:
        first = self.next_request()
        self._watched = Watched(Call(first.method, first.path, self._policy.new_request_id()), self._hooks)
        return self._watched

    def request(self) -> Send:
        self._decoder = Decoder()
        request = self.next_request()
        told = self._watched.headers if self._watched is not None else {}
        headers = {"Accept": "text/event-stream"} | told | dict(request.headers)
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        return replace(request, headers=headers)

    def feed(self, piece: bytes) -> Iterator[Event]:
        """
        Raises:
            StreamError: the service says that the turn failed.
        """
        for event in self._decoder.feed(piece):
            if event.name == "drain":
                self._wait_seconds = float(event.data.get("retry_ms", 0)) / 1000
            if self.is_over or not self._is_new(event):
                continue
            self._failures = 0
            self.last_id = event.id or self.last_id
            self.apply(event)
            yield event
            if event.name == "error":
                raise StreamError(event.data)

    def opened(self, response: httpx.Response) -> bool:
        """Whether the answer is a stream."""
        if self._watched is not None:
            self._watched.status = response.status_code
        return response.is_success and response.headers.get("Content-Type", "").startswith(
            "text/event-stream"
        )

    def refused(self, response: httpx.Response) -> float:
        """How long to wait after an answer that is no stream, whose body was read. Raises what it was."""
        if response.is_success:
            raise CarelineError(f"{response.request.url} answered {response.status_code} without a stream")
        return self._paused(error_of(response))

    def cut(self, error: httpx.RequestError | None = None) -> float:
        """How long to wait before the next connection, if there is one. Raises after too many that told nothing new."""
        if self.is_over:
            return 0.0
        if self._wait_seconds is not None:
            seconds, self._wait_seconds = self._wait_seconds, None
            return seconds
        if error is None:
            return self._paused(ConnectionError("the stream ended in the middle", was_sent=True))
        return self._paused(failure_of(error))

    def _paused(self, failure: CarelineError) -> float:
        self._failures += 1
        pause = self._policy.pause(failure, tries=self._failures, is_repeatable=True)
        if pause is None:
            raise failure
        if self._watched is not None:
            self._watched.repeats(failure, pause)
        return pause

    def _is_new(self, event: Event) -> bool:
        known = _number(self.last_id)
        number = _number(event.id)
        return number is None or known is None or number > known


class TurnStream(Resumed):
    """
    One message and its answer. `text` is the reply so far, without what a `reset` took back; `answer` is the whole answer, once
    `message` has told it. Where no turn is known yet the message is sent again, under the same id.
    """

    def __init__(self, first: Send, policy: RetryPolicy, hooks: Sequence[Hook] = ()) -> None:
        super().__init__(policy, hooks)
        self._first = first
        self._turn_id: str | None = None
        self.text = ""
        self.answer: Answer | None = None

    def next_request(self) -> Send:
        if self._turn_id is None:
            return self._first
        return Send(method="GET", path=f"/v1/turns/{self._turn_id}/events")

    def apply(self, event: Event) -> None:
        if event.name == "accepted":
            self._turn_id = event.data["turn_id"]
        elif event.name == "delta":
            self.text += event.data["text"]
        elif event.name == "reset":
            self.text = ""
        elif event.name == "message":
            self.answer = cast(Answer, event.data)
        self.is_over = event.name in _ENDS


class ConversationStream(Resumed):
    """The messages of a conversation as they come, from behind `after`. It ends with whoever reads it."""

    def __init__(
        self, conversation_id: str, *, after: int, policy: RetryPolicy, hooks: Sequence[Hook] = ()
    ) -> None:
        super().__init__(policy, hooks)
        self._request = Send(
            method="GET",
            path=f"/v1/conversations/{segment(conversation_id)}/events",
            query={"after": after},
        )

    def next_request(self) -> Send:
        return self._request

    def feed(self, piece: bytes) -> Iterator[Event]:
        """A quiet conversation is no failure: whatever the service sends, it is there."""
        self._failures = 0
        yield from super().feed(piece)

    def apply(self, event: Event) -> None:
        """A message changes nothing that is known here."""


def _number(id: str) -> int | None:
    _, _, number = id.rpartition(":")
    return int(number) if number.isdecimal() else None
