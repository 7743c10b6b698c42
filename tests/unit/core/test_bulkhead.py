"""Claims about `Bulkhead`: who runs, who waits, and that no slot is ever lost."""

import asyncio

import pytest

from core.errors import DependencyUnavailable
from core.resilience.bulkhead import Bulkhead


def _bulkhead() -> Bulkhead:
    return Bulkhead("desk", concurrency=1, wait_seconds=5.0)


async def test_a_slot_goes_to_who_waits_and_not_to_who_comes_later() -> None:
    bulkhead = _bulkhead()
    await bulkhead.enter(within_seconds=1.0)
    waiting = asyncio.create_task(bulkhead.enter(within_seconds=1.0))
    await asyncio.sleep(0)

    bulkhead.leave()

    with pytest.raises(DependencyUnavailable):
        await bulkhead.enter(within_seconds=0.0)
    await waiting


async def test_more_than_may_wait_are_refused_at_once() -> None:
    bulkhead = _bulkhead()
    await bulkhead.enter(within_seconds=1.0)
    waiting = asyncio.create_task(bulkhead.enter(within_seconds=1.0))
    await asyncio.sleep(0)

    with pytest.raises(DependencyUnavailable) as refused:
        await bulkhead.enter(within_seconds=1.0)

    assert refused.value.reason == "bulkhead_full"
    bulkhead.leave()
    await waiting


async def test_a_slot_that_is_handed_to_a_task_as_it_is_cancelled_is_not_lost() -> None:
    bulkhead = _bulkhead()
    await bulkhead.enter(within_seconds=1.0)
    waiting = asyncio.create_task(bulkhead.enter(within_seconds=1.0))
    await asyncio.sleep(0)

    bulkhead.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await bulkhead.enter(within_seconds=0.0)


async def test_who_gives_up_waiting_takes_no_slot() -> None:
    bulkhead = _bulkhead()
    await bulkhead.enter(within_seconds=1.0)
    with pytest.raises(DependencyUnavailable):
        await bulkhead.enter(within_seconds=0.01)

    bulkhead.leave()

    await bulkhead.enter(within_seconds=0.0)
