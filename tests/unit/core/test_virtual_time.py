"""Claims about virtual time: it passes only when nobody has anything left to do, and everything happens in one order."""

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from core.virtual_time import NothingLeftToDo, VirtualClock, VirtualLoop

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_an_hour_is_slept_through_at_once_and_is_an_hour_for_the_clock() -> None:
    clock = VirtualClock(NOON)
    began = time.monotonic()

    async def sleep() -> None:
        await clock.sleep(3600.0)

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(sleep())

    assert clock.now() == NOON + timedelta(hours=1)
    assert clock.monotonic() == pytest.approx(3600.0)
    assert time.monotonic() - began < 60.0


def test_time_limits_pass_in_the_order_of_their_ends() -> None:
    clock = VirtualClock(NOON)
    seen: list[str] = []

    async def give_up_after(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            seen.append(f"{seconds} at {clock.monotonic():g}")

    async def all_of_them() -> None:
        await asyncio.gather(*(give_up_after(seconds) for seconds in (3.0, 1.0, 2.0)))

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(all_of_them())

    assert seen == ["1.0 at 1", "2.0 at 2", "3.0 at 3"]


def test_work_for_a_thread_takes_no_time_and_is_done_before_anything_else() -> None:
    clock = VirtualClock(NOON)
    seen: list[str] = []

    async def elsewhere(name: str) -> None:
        await asyncio.to_thread(seen.append, name)

    async def both() -> None:
        await asyncio.gather(*(elsewhere(name) for name in "abc"))

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(both())

    assert seen == ["a", "b", "c"]
    assert clock.monotonic() == 0.0


def test_what_fails_in_a_thread_fails_for_who_waits_for_it() -> None:
    clock = VirtualClock(NOON)

    async def ask() -> None:
        await asyncio.to_thread(int, "no number")

    with (
        asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner,
        pytest.raises(ValueError, match="no number"),
    ):
        runner.run(ask())


def test_who_waits_for_what_nobody_will_do_is_told_so() -> None:
    clock = VirtualClock(NOON)

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with (
        asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner,
        pytest.raises(NothingLeftToDo),
    ):
        runner.run(wait())


def test_sets_of_tasks_have_the_same_order_in_every_run() -> None:
    async def nothing() -> None:
        pass

    async def order() -> list[int]:
        tasks = [asyncio.create_task(nothing(), name=str(number)) for number in range(50)]
        found = [int(task.get_name()) for task in set(tasks)]
        await asyncio.gather(*tasks)
        return found

    def once() -> list[int]:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(VirtualClock(NOON))) as runner:
            return runner.run(order())

    assert once() == once()


def test_the_julian_day_is_that_of_sqlite() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        (told,) = database.execute("SELECT julianday('2026-01-05 12:00:00')").fetchone()

    assert VirtualClock(NOON).julian_day() == pytest.approx(told, abs=1e-9)
