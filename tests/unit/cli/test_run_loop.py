"""A process ends when its work has ended, whatever a driver's task makes of being cancelled."""

import asyncio
import contextlib
import threading

import pytest

from agent.cli.common import run_loop

_BUSY: set[asyncio.Task[None]] = set()


async def _outlives(cancellations: int) -> None:
    for _ in range(cancellations):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(60)


def test_what_outlives_a_cancellation_is_cancelled_again() -> None:
    async def work() -> None:
        _BUSY.add(asyncio.create_task(_outlives(3)))
        await asyncio.sleep(0.01)

    process = threading.Thread(target=lambda: run_loop(work()), daemon=True)
    process.start()
    process.join(20)

    assert not process.is_alive()


def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ValueError("the work's own")

    with pytest.raises(ValueError, match="the work's own"):
        run_loop(work())
