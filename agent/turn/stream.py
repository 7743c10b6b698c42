"""
The events of running turns, kept in memory while they run, for any number of listeners who may come late.
"""

import asyncio
from collections.abc import AsyncIterator

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status, TurnEvent


class TurnStream:
    """One turn's events. It is the brain's `Emitter`; the pipeline adds the end."""

    def __init__(self) -> None:
        self._events: list[TurnEvent] = []
        self._news = asyncio.Event()
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

    def finish(self, end: Finished | Drain) -> None:
        if not self.has_ended:
            self._add(end)

    @property
    def has_ended(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], (Finished, Drain))

    async def listen(self) -> AsyncIterator[tuple[int, TurnEvent]]:
        """Everything from the beginning, then what comes, up to the end. `n` counts from 1."""
        position = 0
        while True:
            while position < len(self._events):
                event = self._events[position]
                position += 1
                yield position, event
                if isinstance(event, (Finished, Drain)):
                    return
            news = self._news
            await news.wait()

    async def end(self) -> Finished | Drain:
        while not self.has_ended:
            await self._news.wait()
        last = self._events[-1]
        assert isinstance(last, (Finished, Drain))  # noqa: S101 -- narrows the type; `has_ended` has just said so
        return last

    def _add(self, event: TurnEvent) -> None:
        self._events.append(event)
        self._news.set()
        self._news = asyncio.Event()
