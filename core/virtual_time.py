"""
An event loop in one thread whose time passes only when nobody has anything left to do, and the clock that tells it.

A minute's backoff costs nothing, and what happens in which order is the same in every run. For work that asks nobody outside of
this process: what others would do in threads is done at once, in line, and sockets are never looked at.
"""

import asyncio
import itertools
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_JULIAN_DAY_OF_YEAR_ONE = 1721425.5
_DAY = timedelta(days=1)
_YEAR_ONE = datetime(1, 1, 1)  # noqa: DTZ001 - only a difference is taken


class NothingLeftToDo(RuntimeError):
    """Somebody waits for what nobody will do."""


class VirtualClock:
    """A `core.clock.Clock` that stands still until `VirtualLoop` moves it on."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def julian_day(self) -> float:
        """As SQLite's julianday('now')."""
        return (self.now().replace(tzinfo=None) - _YEAR_ONE) / _DAY + _JULIAN_DAY_OF_YEAR_ONE


class VirtualLoop(asyncio.SelectorEventLoop):
    """To be run by `asyncio.Runner(loop_factory=...)`. Raises NothingLeftToDo where all wait for ever."""

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual = clock
        super().__init__(_NobodyOutside(clock))
        self._order = itertools.count()
        self.set_task_factory(self._numbered)

    def time(self) -> float:
        return self._virtual.seconds

    def run_in_executor(  # type: ignore[override]  # typeshed spells its arguments as a TypeVarTuple
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as failed:  # whoever awaits it hears of it, as from a thread
            done.set_exception(failed)
        return done

    def _numbered(self, _: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = NumberedTask(coro, loop=self, **options)
        task.number = next(self._order)
        return task


class NumberedTask(asyncio.Task[Any]):
    """Hashed by number, so that a set of tasks has the same order in every run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _NobodyOutside(selectors.DefaultSelector):
    """Where asyncio would wait for sockets until the next timer, time moves on to that timer."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftToDo(f"after {self._clock.seconds:.3f} virtual seconds")
        if timeout > 0.0:
            self._clock.seconds += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return super().get_map() or {}
