"""Claims about planned faults: they happen below the real guards, in their turns, as often as they are to, and by the seed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from agent.replay.faults import Fault, parse_fault
from agent.replay.mishaps import Mishaps
from core.errors import DependencyTimeout, DependencyUnavailable, NetworkFailed
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.virtual_time import VirtualClock, VirtualLoop

T = TypeVar("T")


class World:
    """One guarded dependency that counts what it did, with mishaps below its guard."""

    def __init__(self, *faults: str, attempts: int = 1, seed: int = 1) -> None:
        self.clock = VirtualClock(datetime(2026, 1, 5, tzinfo=UTC))
        planned: list[Fault] = [parse_fault("desk", text) for text in faults]
        self.mishaps = Mishaps(planned, clock=self.clock, rng=random.Random(seed))
        self.guard = Guard(
            "desk",
            GuardPolicy(attempt_seconds=2.0, total_seconds=10.0, retry=RetryPolicy(attempts=attempts)),
            clock=self.clock,
            rng=random.Random(0),
            interference=self.mishaps,
        )
        self.done = 0

    async def _work(self) -> int:
        self.done += 1
        return self.done

    async def ask(self) -> str:
        try:
            await self.guard.run(self._work)
        except Exception as failed:
            return type(failed).__name__
        return "ok"

    def run(self, work: Callable[["World"], Awaitable[T]]) -> T:
        async def all_of_it() -> T:
            return await work(self)

        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock)) as runner:
            return runner.run(all_of_it())


@pytest.mark.parametrize(
    ("fault", "told", "done", "seconds"),
    [
        ("down", DependencyUnavailable, 0, 0.0),
        ("timeout", DependencyTimeout, 0, 2.0),
        ("write-then-timeout", DependencyTimeout, 1, 2.0),
        ("lost", NetworkFailed, 1, 0.0),
    ],
)
def test_each_fault_reaches_the_caller_as_the_guard_tells_it(
    fault: str, told: type[Exception], done: int, seconds: float
) -> None:
    async def work(world: World) -> str:
        world.mishaps.turn(1)
        return await world.ask()

    world = World(fault)

    assert world.run(work) == told.__name__
    assert world.done == done
    assert world.clock.monotonic() == pytest.approx(seconds)
    assert world.mishaps.met == {f"desk:{fault}"}


def test_a_timeout_after_the_work_says_that_it_may_have_happened() -> None:
    async def work(world: World) -> bool:
        world.mishaps.turn(1)
        with pytest.raises(DependencyTimeout) as late:
            await world.guard.run(world._work)
        return late.value.may_have_happened

    assert World("write-then-timeout").run(work)


def test_nothing_happens_outside_of_the_turns_that_are_named() -> None:
    async def work(world: World) -> list[str]:
        told = [await world.ask()]
        for turn in range(1, 6):
            world.mishaps.turn(turn)
            told.append(await world.ask())
        world.mishaps.calm()
        return [*told, await world.ask()]

    assert World("refused turns 2-3").run(work) == [
        "ok",
        "ok",
        "DependencyUnavailable",
        "DependencyUnavailable",
        "ok",
        "ok",
        "ok",
    ]


def test_an_outage_of_some_seconds_ends_while_its_turn_goes_on() -> None:
    async def work(world: World) -> list[str]:
        world.mishaps.turn(1)
        told = [await world.ask()]
        await world.clock.sleep(8.5)
        return [*told, await world.ask()]

    assert World("down turn 1 for 8 s").run(work) == ["DependencyUnavailable", "ok"]


def test_a_share_is_drawn_by_the_seed() -> None:
    async def work(world: World) -> list[str]:
        world.mishaps.turn(1)
        told = []
        for _ in range(200):
            told.append(await world.ask())
            await world.clock.sleep(20.0)  # the breaker forgets
        return told

    one, again, other = (World("lost 30 %", seed=seed).run(work) for seed in (1, 1, 2))

    assert one == again != other
    assert 35 <= one.count("NetworkFailed") <= 85


def test_the_real_retry_gets_over_what_happens_now_and_then() -> None:
    async def work(world: World) -> list[str]:
        world.mishaps.turn(1)
        told = []
        for _ in range(50):
            told.append(await world.ask())
            await world.clock.sleep(20.0)
        return told

    alone = World("refused 30 %", attempts=1).run(work)
    repeated = World("refused 30 %", attempts=3).run(work)

    assert repeated.count("ok") > alone.count("ok")


def test_what_fails_in_the_background_is_met_by_no_turn() -> None:
    async def work(world: World) -> set[str]:
        ready = asyncio.Event()

        async def probe() -> None:
            await ready.wait()
            await world.ask()

        background = asyncio.create_task(probe())
        world.mishaps.turn(1)
        ready.set()
        await background
        return world.mishaps.met

    assert World("down").run(work) == set()
