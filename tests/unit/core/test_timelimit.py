"""Claims about `TimeLimit`: whose cancellation becomes a TimeoutError, and whose does not."""

import asyncio

import pytest

from core.resilience.timelimit import TimeLimit


async def test_what_takes_longer_is_broken_off_and_called_a_timeout() -> None:
    limit = TimeLimit(0.01)

    with pytest.raises(TimeoutError), limit:
        await asyncio.Event().wait()

    assert limit.has_passed
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_done_in_time_is_left_alone_afterwards() -> None:
    with TimeLimit(0.01) as limit:
        await asyncio.sleep(0)

    await asyncio.sleep(0.03)

    assert not limit.has_passed


async def test_the_cancellation_of_somebody_else_passes_through() -> None:
    async def work() -> None:
        with TimeLimit(0.05):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_in_the_moment_the_time_is_over_still_cancels() -> None:
    async def work() -> None:
        with TimeLimit(0.0):
            asyncio.get_running_loop().call_later(0.0, task.cancel)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_of_its_own_keeps_its_name() -> None:
    with pytest.raises(KeyError), TimeLimit(1.0):
        raise KeyError("own")
