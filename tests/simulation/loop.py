"""
An event loop with virtual time that runs many processes: each in its own order, against each other in the seed's.

Nothing waits: when no process has anything to do, time moves to the next timer. A process is whatever runs in its context; it can
be paused, which holds all that it would do, and killed, after which nothing of it happens, not even a `finally`.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from core.virtual_time import NothingLeftToDo, NumberedTask

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STEPS_AT_ONE_TIME = 200_000
_EPOCH = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Process:
    """What runs, stops and dies together. `skew_seconds` is how wrong its wall clock is."""

    def __init__(self, loop: "SimulatedLoop", name: str, *, skew_seconds: float = 0.0) -> None:
        self.name = name
        self.skew_seconds = skew_seconds
        self.is_alive = True
        self.is_paused = False
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(_PROCESS.set, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._context.copy().run(self._loop.create_task, work)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        return self._loop.call_at(when, callback, *args, context=self._context)

    def kill(self) -> None:
        """As by SIGKILL: what it would have done next is never done."""
        self.is_alive = False
        self._loop.look_again(self)

    def pause(self) -> None:
        self.is_paused = True
        self._loop.look_again(self)

    def go_on(self) -> None:
        self.is_paused = False
        self._loop.look_again(self)

    def exhume(self) -> None:
        """So that its tasks can be ended: a coroutine that is thrown away unfinished makes a noise."""
        self.is_alive = True
        self.go_on()


_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


def current_process() -> Process:
    return _PROCESS.get()


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Every order in which processes can get ahead of each other is drawn from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Process]] = []
        self._order = itertools.count()
        self._busy: list[Process] = []
        self.failures: list[dict[str, Any]] = []
        """What nobody caught, as asyncio describes it."""
        self.world = Process(self, "world")
        """Where servers, clients and faults live: never paused, never killed."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        asyncio._set_running_loop(self)
        try:
            return self._run(self.world.spawn(work))
        finally:
            asyncio._set_running_loop(None)

    def _run(self, task: asyncio.Task[T]) -> T:
        steps = 0
        while not task.done():
            if self._busy:
                self._step()
                steps += 1
                if steps > _STEPS_AT_ONE_TIME:
                    raise NothingLeftToDo(f"busy for ever at {self._now:.3f}")
            elif self._timers:
                steps = 0
                self._move_on()
            else:
                raise NothingLeftToDo(f"at {self._now:.3f}")
        return task.result()

    def _step(self) -> None:
        busy = self._busy
        process = busy[0] if len(busy) == 1 else busy[int(self._rng.random() * len(busy))]
        handle = process.ready.popleft()
        if not process.ready:
            busy.remove(process)
        if not handle.cancelled():
            handle._run()

    def _move_on(self) -> None:
        when, _, handle, process = heapq.heappop(self._timers)
        if handle.cancelled() or not process.is_alive:
            return
        self._now = max(self._now, when)
        self._enqueue(process, handle)

    def _enqueue(self, process: Process, handle: asyncio.Handle) -> None:
        if not process.is_alive:
            return
        if not process.ready and not process.is_paused:
            self._busy.append(process)
        process.ready.append(handle)

    def look_again(self, process: Process) -> None:
        """Whether it may run has changed."""
        is_busy = bool(process.ready) and process.is_alive and not process.is_paused
        if is_busy and process not in self._busy:
            self._busy.append(process)
        elif not is_busy and process in self._busy:
            self._busy.remove(process)

    # -- what asyncio asks of a loop ---------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        context = context if context is not None else contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(context.get(_PROCESS, self.world), handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = context if context is not None else contextvars.copy_context()
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer, context.get(_PROCESS, self.world)))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        task = NumberedTask(coro, loop=self, name=name, context=context)
        task.number = next(self._order)
        current = context.get(_PROCESS, self.world) if context is not None else _PROCESS.get(self.world)
        current.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass


class SimulatedClock:
    """A `core.clock.Clock` of one process: seconds pass alike everywhere, wall clocks differ."""

    def __init__(self, loop: SimulatedLoop, process: Process) -> None:
        self._loop = loop
        self._process = process

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self._loop.time() + self._process.skew_seconds)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
