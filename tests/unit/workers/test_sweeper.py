"""Interrupted turns are taken up a handful at a time, at once while there are more, and an outage ends nothing."""

import asyncio
from collections.abc import Sequence

from agent.workers.sweeper import Sweeper
from core.errors import DependencyUnavailable
from core.messages import Durability
from state.store import Lease
from tests.fakes import FakeClock


def lease(number: int) -> Lease:
    return Lease(
        tenant="default",
        conversation_id=f"conv_{number}",
        turn_id=f"turn_{number}",
        token=1,
        owner="one",
        after_seq=0,
        upto_seq=1,
        state_version=0,
        durability=Durability.SQL,
    )


class Left:
    """`down` answers are refused before anything is given out."""

    def __init__(self, count: int, *, down: int = 0) -> None:
        self._leases = [lease(number) for number in range(count)]
        self._down = down

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        if self._down:
            self._down -= 1
            raise DependencyUnavailable("sql")
        given, self._leases = self._leases[:limit], self._leases[limit:]
        return given


async def taken_up(left: Left, *, within_seconds: float) -> list[str]:
    clock = FakeClock()
    taken: list[str] = []
    sweeper = Sweeper(left, lambda each: taken.append(each.turn_id), every_seconds=10, clock=clock)
    running = asyncio.create_task(sweeper.run())
    await clock.run_for(within_seconds)
    running.cancel()
    return taken


async def test_a_crash_with_many_turns_is_worked_off_without_waiting_for_the_next_round() -> None:
    assert len(await taken_up(Left(20), within_seconds=2)) == 20


async def test_nothing_is_asked_for_again_before_its_time() -> None:
    assert await taken_up(Left(3, down=1), within_seconds=9) == []


async def test_an_outage_of_the_store_is_outlived() -> None:
    assert await taken_up(Left(3, down=1), within_seconds=11) == ["turn_0", "turn_1", "turn_2"]
