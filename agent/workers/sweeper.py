"""
Take up what other replicas left: conversations with unanswered messages whose lease ran out.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from core.clock import Clock
from core.errors import CarelineError
from core.telemetry.logging import get_logger
from state.store import Lease

_CLAIMED_AT_ONCE = 8
_NEXT_HANDFUL_SECONDS = 0.5
"""After a crash hundreds may wait: soon, but with room for the customers who are here now."""

log = get_logger(__name__)


class Unanswered(Protocol):
    """The part of the conversation store that knows what waits."""

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]: ...


class Sweeper:
    """`resume` runs the lease's turn in the background."""

    def __init__(
        self, store: Unanswered, resume: Callable[[Lease], None], *, every_seconds: float, clock: Clock
    ) -> None:
        self._store = store
        self._resume = resume
        self._every_seconds = every_seconds
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            is_all = await self._sweep() < _CLAIMED_AT_ONCE
            await self._clock.sleep(self._every_seconds if is_all else _NEXT_HANDFUL_SECONDS)

    async def _sweep(self) -> int:
        """How many turns were taken up."""
        try:
            leases = await self._store.claim_unanswered(limit=_CLAIMED_AT_ONCE)
        except CarelineError as exc:
            log.debug("sweeper.store_unreachable", error=type(exc).__name__)
            return 0
        for lease in leases:
            log.info("sweeper.resumed", conversation_id=lease.conversation_id, turn_id=lease.turn_id)
            self._resume(lease)
        return len(leases)
