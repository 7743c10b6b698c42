"""
The new messages of a conversation as server-sent events: the customer's, the agent's, a person's and the system's.

They are asked of the record by their seq, so it matters neither which replica wrote one nor which tells it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec

from agent.api.eventlog import EventLog
from agent.api.stream import HEARTBEAT, HEARTBEAT_SECONDS
from agent.api.wire import view_of_message
from agent.turn.inputs import Drain, Turns
from core.clock import Clock
from core.errors import CarelineError
from state.store import ConversationRecord

_POLL_SECONDS = (0.2, 0.4, 0.7, 1.0)
"""How often a quiet conversation is asked, growing to the last value."""
_PAGE = 100
_DRAIN = msgspec.json.encode(Drain(retry_ms=500))


class SseConversation:
    """One reader of one conversation; `after` is the seq last heard."""

    def __init__(
        self,
        turns: Turns,
        record: ConversationRecord,
        *,
        after: int,
        clock: Clock,
        log: EventLog,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._turns = turns
        self._record = record
        self._after = after
        self._clock = clock
        self._log = log
        self._heartbeat_seconds = heartbeat_seconds
        self._is_failing = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Begins with a comment, so that a listener knows that it is heard; ends with `drain` when the server goes away."""
        quiet = 0
        yield HEARTBEAT
        told_at = self._clock.monotonic()
        while not self._turns.leaving.is_set():
            chunk = await self._news()
            if chunk or self._clock.monotonic() - told_at >= self._heartbeat_seconds:
                told_at = self._clock.monotonic()
                yield chunk or HEARTBEAT
            quiet = 0 if chunk else quiet + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS[min(quiet, len(_POLL_SECONDS) - 1)]):
                    await self._turns.leaving.wait()
        yield _event("drain", self._after, _DRAIN)

    async def _news(self) -> bytes:
        """Empty where there is nothing, and while nothing can be asked: the reader is told when it can again."""
        try:
            found = await self._turns.messages(
                self._record.tenant, self._record.conversation_id, after=self._after, limit=_PAGE
            )
        except CarelineError as exc:
            if not self._is_failing:
                self._log.warning("conversation_events.not_read", error=type(exc).__name__)
            self._is_failing = True
            return b""
        self._is_failing = False
        pieces = [_event("message", each.seq, msgspec.json.encode(view_of_message(each))) for each in found]
        if found:
            self._after = found[-1].seq
        return b"".join(pieces)


def _event(name: str, seq: int, payload: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, name.encode(), payload)
