"""
The events of running turns, kept in memory while they run, for any number of listeners who may come late.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status, TurnEvent
from state.fencing import RUNS

RUN = 100_000
"""An event's number is `run * RUN + k`: a run that begins again, under a later lease, goes on with greater numbers."""
RETOLD = RUNS * RUN
"""Numbers from here on tell a stored answer: no run comes after it. Four times as much is exact in JavaScript, too."""


class TurnStream:
    """One run's events. It is the brain's `Emitter`; the pipeline adds the end. `run` is its lease's."""

    def __init__(self, run: int = 0) -> None:
        self.run = run
        self._events: list[TurnEvent] = []
        self._news: asyncio.Event | None = None
        """There is one while somebody listens."""
        self._end: Finished | Drain | None = None
        self._ended = asyncio.Event()
        self.shown = ""
        """The text since the last reset: what the customer has read so far."""

    async def status(self, phase: str, tool: str | None = None) -> None:
        self._add(Status(phase=phase, tool=tool))

    async def text(self, piece: str) -> None:
        if piece:
            self.shown += piece
            self._add(Delta(text=piece))

    async def reset(self) -> None:
        if self.shown:
            self.shown = ""
            self._add(Reset())

    async def become(self, text: str) -> None:
        """Make what was shown exactly `text`."""
        if self.shown != text:
            await self.reset()
            await self.text(text)

    def finish(self, end: Finished | Drain) -> None:
        if not self.has_ended:
            self._add(end)

    @property
    def has_ended(self) -> bool:
        return self._end is not None

    @property
    def length(self) -> int:
        return len(self._events)

    def since(self, position: int) -> Sequence[TurnEvent]:
        return self._events[position:]

    async def listen(self, after: int = 0) -> AsyncIterator[tuple[int, TurnEvent]]:
        """
        What comes after event number `after`, up to the end; who has read of an earlier run is told to forget it first.

        `after` is a number of this run or of an earlier one.
        """
        run, position = divmod(after, RUN)
        if run != self.run:
            position = 0
            if after > 0:
                yield self.run * RUN, Reset()
        while True:
            while position < len(self._events):
                event = self._events[position]
                position += 1
                yield self.run * RUN + position, event
                if isinstance(event, (Finished, Drain)):
                    return
            if self.has_ended:  # and its end has been heard
                return
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()

    async def end(self) -> Finished | Drain:
        """Woken by nothing else: most customers wait for the whole answer."""
        while self._end is None:
            await self._ended.wait()
        return self._end

    def _add(self, event: TurnEvent) -> None:
        self._events.append(event)
        if isinstance(event, (Finished, Drain)):
            self._end = event
            self._ended.set()
        if self._news is not None:
            self._news.set()
            self._news = None
