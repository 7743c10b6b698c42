"""
A running turn as server-sent events.

Event names and payloads are those of docs/api.md. The turn belongs to the pipeline: when the reader goes away
it runs on.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import orjson

from agent.api.eventlog import EventLog
from agent.api.problems import problem_of
from agent.turn.inputs import Delta, Drain, Finished, Reset, Status, Submission, TurnEvent, Turns
from core.errors import CarelineError, DependencyUnavailable
from core.messages import TurnResult

HEARTBEAT_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_NUMBERS = 1 << 53
"""What clients that count in doubles tell apart; nobody was ever told more."""
_STEP = 4
"""Ids are so many times an event's number: an end may need a reset and a text before it, and has `done` after it."""
HEARTBEAT = b": still here\n\n"


class SseTurn:
    """One reader of one turn; `after` is the number in the last id that an earlier connection brought, None for none."""

    def __init__(
        self,
        turns: Turns,
        submission: Submission,
        *,
        tenant: str,
        request_id: str,
        log: EventLog,
        after: int | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._turns = turns
        self._submission = submission
        self._tenant = tenant
        self._request_id = request_id
        self._log = log
        self._is_resumed = after is not None
        self._after = (after or 0) // _STEP
        self._latest_id = -1 if after is None else after
        self._is_from_beginning = self._after == 0
        self._heartbeat_seconds = heartbeat_seconds
        self._waiting: list[tuple[int, TurnEvent]] = []
        self._news = asyncio.Event()
        self._shown: list[str] = []

    async def chunks(self) -> AsyncIterator[bytes]:
        taken = self._submission
        accepted = {
            "conversation_id": taken.conversation_id,
            "turn_id": taken.turn_id,
            "message_id": taken.message_id,
            "durability": taken.durability,
        }
        if not self._is_resumed:
            yield self._event("accepted", 0, orjson.dumps(accepted))
        if taken.result is not None and self._is_from_beginning:
            yield self._finish(_STEP, Finished(taken.result))
            return
        follower = asyncio.create_task(self._follow())
        try:
            has_ended = False
            while not has_ended:
                try:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await self._news.wait()
                except TimeoutError:
                    yield HEARTBEAT
                    continue
                self._news.clear()
                ready, self._waiting = self._waiting, []
                chunk, has_ended = self._render(ready)
                yield chunk
        finally:
            follower.cancel()

    async def _follow(self) -> None:
        """Collect what happens while the reader is slow: what is ready together is sent together."""
        n = 0
        last: TurnEvent | None = None
        try:
            async for n, last in self._turns.events(
                self._tenant, self._submission.turn_id, after=self._after
            ):
                self._tell(n, last)
        except Exception as exc:
            # The reader must get an end, whatever became of the events; the turn itself runs on.
            self._log.warning("stream.broken", turn_id=self._submission.turn_id, error=type(exc).__name__)
            self._tell(n + 1, Finished(None, exc))
        else:
            if not isinstance(last, Finished | Drain):
                self._tell(n + 1, Finished(None))

    def _tell(self, n: int, event: TurnEvent) -> None:
        self._waiting.append((n, event))
        self._news.set()

    def _render(self, ready: list[tuple[int, TurnEvent]]) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        texts: list[str] = []
        texts_id = 0
        for n, event in ready:
            event_id = n * _STEP
            if isinstance(event, Delta):
                texts.append(event.text)
                texts_id = event_id
                continue
            if texts:
                pieces.append(self._delta(texts_id, "".join(texts)))
                texts = []
            if isinstance(event, Finished):
                pieces.append(self._finish(event_id, event))
                return b"".join(pieces), True
            if isinstance(event, Drain):
                pieces.append(self._event("drain", event_id, msgspec.json.encode(event)))
                return b"".join(pieces), True
            if isinstance(event, Reset):
                self._shown.clear()
                self._is_from_beginning = True
            name = "reset" if isinstance(event, Reset) else "status"
            pieces.append(self._event(name, event_id, _encoded(event)))
        if texts:
            pieces.append(self._delta(texts_id, "".join(texts)))
        return b"".join(pieces), False

    def _finish(self, event_id: int, end: Finished) -> bytes:
        if end.result is None:
            last = self._event("error", event_id, self._error(end.error))
        else:
            last = self._catch_up(event_id, end.result)
            last += self._event("message", event_id, msgspec.json.encode(end.result))
        return last + self._event("done", event_id + 1, b"{}")

    def _catch_up(self, event_id: int, result: TurnResult) -> bytes:
        """
        The promise that the deltas are the reply holds for a turn that was not watched from its beginning, too. Who breaks off
        here and resumes gets the message; who resumed may have heard of this text before.
        """
        text = result.reply.text if result.reply is not None else ""
        shown = "".join(self._shown)
        if shown == text or not self._is_from_beginning:
            return b""
        before = self._event("reset", event_id - 2, b"{}") if shown or self._is_resumed else b""
        self._shown.clear()
        return before + self._delta(event_id - 1, text)

    def _delta(self, event_id: int, text: str) -> bytes:
        self._shown.append(text)
        return self._event("delta", event_id, orjson.dumps({"text": text}))

    def _error(self, cause: Exception | None) -> bytes:
        exc = cause if isinstance(cause, CarelineError) else DependencyUnavailable("turn")
        return orjson.dumps(problem_of(exc).document(request_id=self._request_id, stored=True))

    def _event(self, name: str, event_id: int, payload: bytes) -> bytes:
        """Ids only grow, whatever this reader has heard before."""
        self._latest_id = max(self._latest_id + 1, event_id)
        return b"id: %s:%d\nevent: %s\ndata: %s\n\n" % (
            self._submission.turn_id.encode(),
            self._latest_id,
            name.encode(),
            payload,
        )


def last_event_number(header: str | None, turn_id: str) -> int | None:
    """The number in a `Last-Event-ID` of this turn; None for anything else: the turn is then told from its beginning."""
    name, _, number = (header or "").rpartition(":")
    if name != turn_id or not number.isascii() or not number.isdecimal() or len(number) > 16:
        return None
    told = int(number)
    return told if told < _NUMBERS else None


def _encoded(event: Status | Reset) -> bytes:
    if isinstance(event, Status) and event.tool is None:
        return orjson.dumps({"phase": event.phase})
    return msgspec.json.encode(event)
