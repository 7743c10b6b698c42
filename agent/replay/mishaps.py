"""
Make the planned faults happen, between the guards and what they guard: by a seed, in the turns that the plan names.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn, TypeVar

from agent.replay.faults import Fault, FaultKind
from core.clock import Clock
from core.errors import (
    CarelineError,
    DependencyUnavailable,
    ExternalApiFailed,
    InternalFailure,
    NetworkFailed,
    RateLimited,
)

T = TypeVar("T")

_asked_for: ContextVar[bool] = ContextVar("asked_for", default=False)
"""Whether a call is made for a turn that is replayed: set in the task that sends its message, and in those that begin there."""


class Mishaps:
    """
    A `core.resilience.interference.Interference`. Nothing happens before the first `turn`, nor after `calm`.

    `met` are the faults that turns have met since it was last emptied: what fails in the background is nobody's turn.
    """

    def __init__(self, plan: Sequence[Fault], *, clock: Clock, rng: random.Random) -> None:
        self._plan: dict[str, list[Fault]] = {}
        for fault in plan:
            self._plan.setdefault(fault.dependency, []).append(fault)
        self._clock = clock
        self._rng = rng
        self._turn: int | None = None
        self._ends_at: dict[Fault, float] = {}
        self.met: set[str] = set()

    def turn(self, number: int) -> None:
        """The turn that begins; an outage of some seconds begins with its turn."""
        self._turn = number
        _asked_for.set(True)
        for faults in self._plan.values():
            for fault in faults:
                if fault.kind is FaultKind.DOWN and fault.seconds is not None and fault.first_turn == number:
                    self._ends_at[fault] = self._clock.monotonic() + fault.seconds

    def calm(self) -> None:
        self._turn = None
        self._ends_at.clear()

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """For who looks at what has become of the turns."""
        turn, self._turn = self._turn, None
        ends_at, self._ends_at = self._ends_at, {}
        try:
            yield
        finally:
            self._turn, self._ends_at = turn, ends_at

    async def through(self, dependency: str, attempt: Callable[[], Awaitable[T]]) -> T:
        fault = self._due(dependency)
        if fault is None:
            return await attempt()
        if _asked_for.get():
            self.met.add(fault.name)
        if (refusal := _refusal(fault)) is not None:
            raise refusal
        if fault.kind is FaultKind.TIMEOUT:
            await _silence()
        result = await attempt()
        if fault.kind is FaultKind.WRITE_THEN_TIMEOUT:
            await _silence()
        if fault.kind is FaultKind.LOST:
            raise NetworkFailed(dependency, f"{dependency}: the connection broke", may_have_happened=True)
        await self._clock.sleep(fault.seconds or 0.0)
        return result

    def _due(self, dependency: str) -> Fault | None:
        if dependency not in self._plan or (self._turn is None and not self._ends_at):
            return None
        for fault in self._plan[dependency]:
            if fault.kind is FaultKind.DOWN and fault.seconds is not None:
                if self._clock.monotonic() < self._ends_at.get(fault, -math.inf):
                    return fault
            elif self._turn is None or not fault.is_on_in(self._turn):
                continue
            elif fault.share == 1.0 or self._rng.random() < fault.share:
                return fault
        return None


def _refusal(fault: Fault) -> CarelineError | None:
    """What the call is told instead of being made; None where it is made, or nobody says anything."""
    name = fault.dependency
    match fault.kind:
        case FaultKind.DOWN | FaultKind.REFUSED:
            return DependencyUnavailable(name, f"{name}: nobody listens (replayed fault)")
        case FaultKind.ERROR:
            return ExternalApiFailed(name, f"{name}: 500 (replayed fault)", answered_status=500)
        case FaultKind.RATE_LIMITED:
            return RateLimited(
                f"{name}: 429 (replayed fault)", dependency=name, retry_after=fault.retry_after
            )
        case _:
            return None


async def _silence() -> NoReturn:
    """Until whoever waits gives up."""
    await asyncio.get_running_loop().create_future()
    raise InternalFailure("silence was broken")
