"""
Tell the events of a running turn to other replicas, and read theirs.

Turns that are over sooner than the first share is due tell nothing: their stored answer is told instead.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status
from agent.turn.stream import TurnStream
from core.errors import CarelineError
from core.telemetry.logging import get_logger
from state.store import EventBatch, Lease, TurnEvents

SHARE_SECONDS = 0.1
_ASK_EACH = 3
"""A silent turn asks whether it shall stop at every third occasion to share."""

log = get_logger(__name__)


class Told(msgspec.Struct, frozen=True, tag="text"):
    text: str


class Forget(msgspec.Struct, frozen=True, tag="reset"):
    pass


class Phase(msgspec.Struct, frozen=True, tag="status"):
    phase: str
    tool: str | None = None


class Over(msgspec.Struct, frozen=True, tag="over"):
    """The turn is committed, or its run broke off: the record knows more."""


Wire = Told | Forget | Phase | Over
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Wire])


def encoded(events: Sequence[Status | Delta | Reset | Finished | Drain]) -> bytes:
    return _encoder.encode([_wire(event) for event in events])


def decoded(batch: EventBatch) -> list[Status | Delta | Reset | None]:
    """None stands for the end of the run. What a later version tells is taken for that, too."""
    try:
        return [_event(wire) for wire in _decoder.decode(batch.body)]
    except msgspec.DecodeError:
        return [None]


def _wire(event: Status | Delta | Reset | Finished | Drain) -> Wire:
    match event:
        case Delta():
            return Told(event.text)
        case Reset():
            return Forget()
        case Status():
            return Phase(event.phase, event.tool)
        case _:
            return Over()


def _event(wire: Wire) -> Status | Delta | Reset | None:
    match wire:
        case Told():
            return Delta(wire.text)
        case Forget():
            return Reset()
        case Phase():
            return Status(wire.phase, wire.tool)
        case Over():
            return None


class Sharing:
    """
    One run's side: `occasion` every `SHARE_SECONDS`, then `close` where its answer is stored.

    `is_stop_asked` once somebody has asked the turn to stop, here or elsewhere.
    """

    def __init__(self, events: TurnEvents | None, lease: Lease, stream: TurnStream) -> None:
        self._events = events
        self._lease = lease
        self._stream = stream
        self._shared = 0
        self._place = ""
        self._occasions = 0
        self._task: asyncio.Task[None] | None = None
        self.is_stop_asked = False

    def occasion(self) -> None:
        """Begin to share what is new. Returns at once: a store that is slow must not hold the turn up."""
        if self._events is not None and (self._task is None or self._task.done()):
            self._occasions += 1
            self._task = asyncio.create_task(self._share_news(self._events))

    async def close(self) -> None:
        """The last events and the end, where anything was told before."""
        if self._task is None or self._events is None:
            return
        await asyncio.wait({self._task})
        await self._share_news(self._events)

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    async def _share_news(self, events: TurnEvents) -> None:
        tenant, turn_id = self._lease.tenant, self._lease.turn_id
        try:
            if events.place != self._place:
                self._shared = 0
                self._place = events.place
            upto = self._stream.length
            if upto > self._shared:
                body = encoded(self._stream.since(self._shared))
                batch = EventBatch(run=self._stream.run, last=upto, body=body)
                is_asked = await events.share(tenant, turn_id, batch)
                self._shared = upto
            elif self._occasions % _ASK_EACH == 0:
                is_asked = await events.is_stop_asked(tenant, turn_id)
            else:
                return
            self.is_stop_asked = self.is_stop_asked or is_asked
        except CarelineError as exc:
            self._shared = 0  # what was shared may be lost: the next batch brings all of it again
            log.debug("turn.events_not_shared", turn_id=turn_id, error=type(exc).__name__)
