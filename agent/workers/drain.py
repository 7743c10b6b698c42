"""
Bring what was journaled during an SQL outage into SQL, as soon as it is back.
"""

from collections.abc import Callable
from typing import Protocol

from core.clock import Clock
from core.errors import CarelineError
from core.telemetry.logging import get_logger

_EVERY_SECONDS = 1.0

log = get_logger(__name__)


class Drainable(Protocol):
    async def drain(self) -> int:
        """Journal entries written to SQL; 0 when there were none."""
        ...


class JournalDrain:
    """`drained` is called after something came in, e.g. to look at the outbox at once."""

    def __init__(self, journal: Drainable, *, drained: Callable[[], None], clock: Clock) -> None:
        self._journal = journal
        self._drained = drained
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if entries := await self._journal.drain():
                    log.info("journal.drained", entries=entries)
                    self._drained()
            except CarelineError as exc:
                log.debug("journal.drain_waits", error=type(exc).__name__)
            await self._clock.sleep(_EVERY_SECONDS)
