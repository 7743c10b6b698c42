"""
Whether this replica goes without SQL: begun by a failure that a second question confirms, ended by the drain alone.

Between the two, turns ask SQL nothing. A SQL that is slow but alive is refused honestly: what it may yet store is told by nobody
else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from core.errors import DependencyError, DependencyTimeout, DependencyUnavailable, NetworkFailed
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger
from state.store import CallGuard

T = TypeVar("T")

Unanswered = (DependencyUnavailable, DependencyTimeout, NetworkFailed)

_BUSY_SECONDS = 0.05
_RETRY_AFTER_SECONDS = 2.0

_log = get_logger(__name__)


class SqlIsDown(DependencyUnavailable):
    """It failed, and did not answer a trivial question either."""


def _is_proof(failed: DependencyError) -> bool:
    """Nobody listens there, so no second question is needed; what was sent before that may still have been heard."""
    return failed.reason == "unreachable" and not failed.may_have_happened


class SqlOutage:
    """
    `ping` asks SQL something trivial on a connection of its own; without one, every failure counts as an outage, which
    never outlasts its call. It has `ping_seconds` to answer; one that `is_local`, a file read by threads of this process, proves
    nothing by its silence but that the machine is busy. `can_go_without` says that there is a journal to use meanwhile.
    """

    def __init__(
        self,
        guard: CallGuard,
        *,
        ping: Callable[[], Awaitable[None]] | None,
        can_go_without: bool,
        ping_seconds: float,
        is_local: bool = False,
    ) -> None:
        self._is_local = is_local
        self._ping_seconds = ping_seconds
        self._guard = guard
        self._ping = ping
        self._can_go_without = can_go_without
        self.is_on = False
        self._is_held = False
        self._asking: asyncio.Task[bool] | None = None
        self.is_down = False
        self.began: Callable[[], None] = lambda: None
        """Called when turns begin to go without SQL."""

    async def ask(self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline | None = None) -> T:
        """
        Raises:
            SqlIsDown: go without it.
            DependencyUnavailable: it is slow or busy; `may_have_happened` as the call said.
        """
        if self.is_on or self._is_held:
            raise SqlIsDown("sql", reason="outage", retry_after=_RETRY_AFTER_SECONDS)
        return await self.ask_anyway(attempt, deadline=deadline)

    async def ask_anyway(self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline | None = None) -> T:
        """
        `ask` for the drain, which finds out when the outage is over: past the guard, whose breaker would tell everybody that
        SQL is back before what was journaled is in it.
        """
        try:
            result = await (attempt() if self.is_on else self._guard.run(attempt, deadline=deadline))
        except Unanswered as failed:
            is_down = _is_proof(failed) or not await self._answers()
            kind = SqlIsDown if is_down else DependencyUnavailable
            if kind is SqlIsDown:
                self._begin(failed.reason)
            raise kind(
                "sql",
                str(failed),
                reason=failed.reason if kind is SqlIsDown else "slow",
                retry_after=failed.retry_after or _RETRY_AFTER_SECONDS,
                may_have_happened=failed.may_have_happened,
            ) from failed
        self.is_down = self.is_on
        return result

    async def look(self) -> None:
        """
        Raises:
            DependencyUnavailable, DependencyTimeout: SQL does not answer yet.
        """
        if self._is_held:
            raise SqlIsDown("sql", reason="held", retry_after=_RETRY_AFTER_SECONDS)
        if self._ping is not None:
            await self._ping()

    async def end(self) -> None:
        """
        By a question through the guard, so that its breaker hears of the recovery too: turns must not meet it open.

        Raises:
            DependencyUnavailable, DependencyTimeout: it goes on.
        """
        if self.is_on and self._ping is not None:
            await self._guard.run(self._ping)
            _log.info("state.sql_used_again")
        self.is_on = self.is_down = False

    def hold(self) -> None:
        """Go without SQL, whatever it answers, until `let_go`: it has not this version's tables."""
        self._is_held = True
        self._begin("held")

    def let_go(self) -> None:
        """It may be asked; where turns go without it, the drain ends that."""
        self._is_held = False

    def _begin(self, reason: str | None) -> None:
        self.is_down = True
        if self._can_go_without and self._ping is not None and not self.is_on:
            self.is_on = True
            _log.warning("state.sql_outage_began", reason=reason)
            self.began()

    async def _answers(self) -> bool:
        """One question at a time, whose answer all hear who wait for it."""
        if self._ping is None:
            return False
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._pinged(self._ping))
        return await asyncio.shield(self._asking)

    async def _pinged(self, ping: Callable[[], Awaitable[None]]) -> bool:
        """A process that is too busy to look at its clock learns nothing about SQL from it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._ping_seconds):
                await ping()
        except (TimeoutError, DependencyTimeout):
            return self._is_local or loop.time() - began > self._ping_seconds + _BUSY_SECONDS
        except Unanswered:
            return False
        return True
