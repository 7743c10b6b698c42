"""
Hand a turn's events and its answer to whoever waits, whichever replica runs it.

Told from the run's own stream where it runs here, else from what the run shares, and in the end from the record: a stored
answer is told as `reset`, the whole text and the end, which is right whatever was heard before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status, TurnEvent
from agent.turn.sharing import decoded
from agent.turn.stream import RETOLD, RUN, TurnStream
from core.clock import Clock
from core.errors import CarelineError
from core.messages import TurnResult
from core.resilience.timelimit import TimeLimit
from core.telemetry.logging import get_logger
from state.store import ConversationStore, EventBatch, Lease, TurnEvents

_POLL_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""How often the record is asked for a turn that runs on another replica, growing to the last value."""
DRAIN_RETRY_MS = 500
_LOOK_SECONDS = 1.0
_TAKEN_UP_AT_ONCE = 8

log = get_logger(__name__)

Numbered = tuple[int, TurnEvent]


class Listener:
    """One listener's place: the number last heard, and the text since the last reset, None where that was heard elsewhere."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.text: str | None = "" if after == 0 else None

    def hears(self, n: int, event: TurnEvent) -> Numbered:
        self.after = n
        if isinstance(event, Reset):
            self.text = ""
        elif isinstance(event, Delta) and self.text is not None:
            self.text += event.text
        return n, event


class Answers:
    """`streams` are the turns that run here; `leaving` is set when this replica goes away; `take_up` runs what nobody runs."""

    def __init__(
        self,
        store: ConversationStore,
        events: TurnEvents | None,
        *,
        take_up: Callable[[Sequence[Lease]], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._events = events
        self._take_up = take_up
        self._clock = clock
        self._look_again_at = clock.monotonic()
        self.streams: dict[str, TurnStream] = {}
        self.leaving = asyncio.Event()

    async def wait(self, tenant: str, turn_id: str, *, seconds: float) -> TurnResult | None:
        with suppress(TimeoutError), TimeLimit(seconds):
            stream = self.streams.get(turn_id)
            if stream is not None:
                end = await stream.end()
                if isinstance(end, Drain):
                    return None
                if end.error is not None:
                    raise end.error
                if end.result is not None:
                    return end.result
            async for _, event in self._told_elsewhere(tenant, turn_id, Listener(0)):
                if isinstance(event, Finished):
                    if event.error is not None:
                        raise event.error
                    return event.result
        return None

    async def follow(self, tenant: str, turn_id: str, *, after: int) -> AsyncIterator[Numbered]:
        listener = Listener(after)
        async for n, event in self._told_here(turn_id, listener):
            yield n, event
            if isinstance(event, (Finished, Drain)):
                return
        async for n, event in self._told_elsewhere(tenant, turn_id, listener):
            yield n, event

    async def _told_here(self, turn_id: str, listener: Listener) -> AsyncIterator[Numbered]:
        """Nothing where it does not run here, or the listener has heard a later run; stops short where the run is fenced."""
        stream = self.streams.get(turn_id)
        if stream is None or stream.run < listener.after // RUN:
            return
        async for n, event in stream.listen(listener.after):
            if isinstance(event, Finished) and event.result is None and event.error is None:
                return
            yield listener.hears(n, event)

    async def _told_elsewhere(self, tenant: str, turn_id: str, listener: Listener) -> AsyncIterator[Numbered]:
        """What other replicas share of the turn, until the record has its answer or this replica goes away."""
        asked = 0
        cursor = listener.after
        is_over = False
        while True:
            record = await self._store.turn(tenant, turn_id)
            if record is not None and record.result is not None:
                for n, event in _end(record.result, listener, is_over=is_over):
                    yield n, event
                return
            if self.leaving.is_set():
                yield listener.after, Drain(retry_ms=DRAIN_RETRY_MS)
                return
            await self._look_for_abandoned(asked)
            ask_again_at = self._clock.monotonic() + _POLL_SECONDS[min(asked, len(_POLL_SECONDS) - 1)]
            asked += 1
            is_over = False
            while not is_over and (left := ask_again_at - self._clock.monotonic()) > 0:
                async for n, event in self._told_here(turn_id, listener):
                    yield n, event
                    if isinstance(event, (Finished, Drain)):
                        return
                for batch in await self._shared(tenant, turn_id, cursor, seconds=left):
                    cursor = batch.run * RUN + batch.last
                    for n, shared in _news(batch, listener.after):
                        is_over = shared is None
                        if shared is not None:
                            yield listener.hears(n, shared)

    async def _look_for_abandoned(self, asked: int) -> None:
        """A customer who waits for a turn that its replica gave back need not wait for the sweeper."""
        now = self._clock.monotonic()
        if asked < len(_POLL_SECONDS) - 1 or now < self._look_again_at:
            return
        self._look_again_at = now + _LOOK_SECONDS
        try:
            self._take_up(await self._store.claim_unanswered(limit=_TAKEN_UP_AT_ONCE))
        except CarelineError as exc:
            log.debug("turn.abandoned_not_asked", error=type(exc).__name__)

    async def _shared(self, tenant: str, turn_id: str, after: int, *, seconds: float) -> Sequence[EventBatch]:
        """Waits for `seconds` where nothing is to be had."""
        if self._events is not None and after < RETOLD:
            run, last = divmod(after, RUN)
            try:
                return await self._events.after(tenant, turn_id, run=run, last=last, seconds=seconds)
            except CarelineError as exc:
                log.debug("turn.events_not_read", turn_id=turn_id, error=type(exc).__name__)
        await self._clock.sleep(seconds)
        return ()


def _news(batch: EventBatch, after: int) -> Iterator[tuple[int, Status | Delta | Reset | None]]:
    """What of a batch comes after number `after`; nothing where something between is missing: then the end is told whole."""
    events = decoded(batch)
    first = batch.last - len(events) + 1
    run, heard = divmod(after, RUN)
    if batch.run != run:
        heard = 0
    if batch.run < run or first > heard + 1:
        return
    if batch.run != run and after > 0:
        yield batch.run * RUN, Reset()
    for k in range(heard + 1, batch.last + 1):
        yield batch.run * RUN + k, events[k - first]


def _end(result: TurnResult, listener: Listener, *, is_over: bool) -> Iterator[Numbered]:
    """`is_over`: all of the run that answered has been told, so that what a listener heard elsewhere is the reply, too."""
    text = result.reply.text if result.reply is not None else ""
    if listener.text == text or (listener.text is None and is_over):
        yield listener.after + 1, Finished(result=result)
        return
    if listener.text != "" and listener.after < RETOLD:
        yield RETOLD, Reset()
    if listener.after < RETOLD + 1:
        yield RETOLD + 1, Delta(text=text)
    yield max(RETOLD + 2, listener.after + 1), Finished(result=result)
