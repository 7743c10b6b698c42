"""
Tell other processes at once what has been promised, and hear of it, over a message broker.

The outbox stays the truth: a message only names an item. Losing one, or the broker, costs the time until somebody polls.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from core.clock import Clock
from core.errors import CarelineError
from core.records import OutboxItem
from core.telemetry.logging import get_logger

if TYPE_CHECKING:
    from taskiq import AsyncBroker

_TASK = "careline.outbox"
_MOST_WAITING = 10_000
_AT_ONCE = 10
_PAUSE_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0

MakeBroker = Callable[[], "AsyncBroker"]

_log = get_logger(__name__)


def _let_go(task: "asyncio.Future[Any]") -> None:
    """Nobody may ask any more what became of it, and nobody shall be warned of that."""
    if not task.cancelled():
        task.exception()


async def _apart(work: Coroutine[Any, Any, object], *, seconds: float) -> None:
    """
    Wait for what a driver does, in a task of its own: a cancellation that the driver swallows must not become ours.

    Raises:
        TimeoutError: it takes longer than `seconds`, and is left to itself.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_let_go)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            raise TimeoutError
        if task.cancelled():
            raise ConnectionError
        task.result()
    finally:
        task.cancel()


async def can_be_reached(broker: "AsyncBroker", *, seconds: float) -> None:
    """Raises whatever the broker's driver raises, or TimeoutError."""
    try:
        await _apart(broker.startup(), seconds=seconds)
    finally:
        with contextlib.suppress(Exception):
            await _apart(broker.shutdown(), seconds=_GOODBYE_SECONDS)


class _Link:
    """A connection to the broker that may break: said once, and once when it is back."""

    def __init__(self, make: MakeBroker, *, role: str, wait_seconds: float) -> None:
        self._make = make
        self._role = role
        self._wait_seconds = wait_seconds
        self._is_lost = False

    @asynccontextmanager
    async def open(self, prepare: Callable[["AsyncBroker"], None]) -> AsyncIterator["AsyncBroker"]:
        broker = self._make()
        prepare(broker)
        try:
            await _apart(broker.startup(), seconds=self._wait_seconds)
            if self._is_lost:
                _log.info("broker.is_back", role=self._role)
                self._is_lost = False
            yield broker
        finally:
            with contextlib.suppress(Exception):
                await _apart(broker.shutdown(), seconds=_GOODBYE_SECONDS)

    def lost(self, exc: Exception) -> None:
        """Without its text, which may hold the broker's password."""
        log = _log.debug if self._is_lost else _log.warning
        log("broker.unreachable", role=self._role, error=type(exc).__name__)
        self._is_lost = True


class Announcements:
    """`announce` neither waits nor fails; `run` carries it out."""

    def __init__(self, make: MakeBroker, *, wait_seconds: float, clock: Clock) -> None:
        self._link = _Link(make, role="announces", wait_seconds=wait_seconds)
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()

    def announce(self, items: Iterable[OutboxItem]) -> None:
        self._waiting.extend((item.tenant, item.key) for item in items)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._link.open(lambda _: None) as broker:
                    await self._carry(broker)
            except Exception as exc:  # whatever a broker's driver raises; the loop must outlive it
                self._link.lost(exc)
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _carry(self, broker: "AsyncBroker") -> None:
        from taskiq.kicker import AsyncKicker

        kicker: AsyncKicker[[str, str], None] = AsyncKicker(_TASK, broker, {})
        while True:
            self._news.clear()
            while self._waiting:
                await _apart(kicker.kiq(*self._waiting[0]), seconds=self._wait_seconds)
                self._waiting.popleft()
            await self._news.wait()


class Intake:
    """`work_on` is called with the tenant and key of what was announced, for several at a time."""

    def __init__(
        self,
        make: MakeBroker,
        work_on: Callable[[str, str], Awaitable[int]],
        *,
        wait_seconds: float,
        clock: Clock,
    ) -> None:
        self._link = _Link(make, role="listens", wait_seconds=wait_seconds)
        self._work_on = work_on
        self._clock = clock
        self._leaving = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()

    def leave(self) -> None:
        """Take nothing more."""
        self._leaving.set()

    async def run(self) -> None:
        """Until cancelled, or told to leave."""
        try:
            while not self._leaving.is_set():
                try:
                    async with self._link.open(self._prepare) as broker:
                        await self._listen(broker)
                except Exception as exc:  # whatever a broker's driver raises; the loop must outlive it
                    self._link.lost(exc)
                if not self._leaving.is_set():
                    await self._clock.sleep(_PAUSE_SECONDS)
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    def _prepare(self, broker: "AsyncBroker") -> None:
        async def carry_out(tenant: str, key: str) -> None:  # taskiq takes no method
            await self._carry_out(tenant, key)

        broker.is_worker_process = True
        broker.register_task(carry_out, task_name=_TASK)

    async def _listen(self, broker: "AsyncBroker") -> None:
        """A message is acknowledged when its item has been worked on: a worker that dies before leaves it to another."""
        from taskiq.acks import AcknowledgeType
        from taskiq.receiver import Receiver

        receiver = Receiver(
            broker, max_async_tasks=_AT_ONCE, run_startup=False, ack_type=AcknowledgeType.WHEN_EXECUTED
        )
        listening = asyncio.ensure_future(receiver.listen(self._leaving))
        listening.add_done_callback(_let_go)
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait((listening, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                listening.result()
            elif self._working:
                await asyncio.wait(self._working)
            # redis-py may swallow what should end its read: the connection is closed all the same.
            await asyncio.wait((listening,), timeout=_GOODBYE_SECONDS)
        finally:
            leaving.cancel()
            listening.cancel()

    async def _carry_out(self, tenant: str, key: str) -> None:
        """In a task of its own: taskiq takes a cancellation for one more result."""
        work = asyncio.ensure_future(self._look(tenant, key))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        await asyncio.wait((work,))

    async def _look(self, tenant: str, key: str) -> None:
        try:
            await self._work_on(tenant, key)
        except CarelineError as exc:
            _log.debug("broker.item_left", error=type(exc).__name__)
