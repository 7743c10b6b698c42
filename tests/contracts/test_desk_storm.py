"""
A desk that writes and then times out, is busy, and is killed: one ticket per key all the same.

`CARELINE_STORM_TICKETS=2000 python -m pytest tests/contracts/test_desk_storm.py` is the long form.
"""

import asyncio
import os
import random
from collections import Counter

import pytest

from core.errors import DependencyError
from tests.contracts.desks import VENDORS, VendorWorld, wish

TICKETS = int(os.environ.get("CARELINE_STORM_TICKETS", "30"))
AT_ONCE = 12
KILLED_TIMES = 2


async def _open_at_last(world: VendorWorld, number: int, places: asyncio.Semaphore) -> tuple[str, int]:
    """What an outbox does, without its waits: the same key, until there is a ticket."""
    wanted = wish(f"k{number}", subject=f"Lamp {number}", customer_id=f"cust_{number}")
    async with places:
        for attempt in range(1, 60):
            try:
                return (await world.open(wanted)).reference, attempt
            except DependencyError:
                await asyncio.sleep(0.01 * attempt)
    raise AssertionError(f"{wanted.subject} was never opened")


async def _kill_and_restart(world: VendorWorld) -> None:
    for _ in range(KILLED_TIMES):
        await asyncio.sleep(0.3)
        await world.server.__aexit__(None, None, None)
        await asyncio.sleep(0.1)
        await world.server.__aenter__()


@pytest.mark.parametrize("vendor", ["zendesk", "intercom", "jira", "github"])
async def test_in_a_storm_every_key_becomes_one_ticket(vendor: str) -> None:
    async with VENDORS[vendor]() as world:
        world.server.luck = random.Random(7)
        places = asyncio.Semaphore(AT_ONCE)

        killing = asyncio.create_task(_kill_and_restart(world))
        opened = await asyncio.gather(*(_open_at_last(world, number, places) for number in range(TICKETS)))
        await killing

        assert Counter(world.vendor.subjects) == Counter(f"Lamp {number}" for number in range(TICKETS))
        assert len({reference for reference, _ in opened}) == TICKETS
        assert max(attempts for _, attempts in opened) > 1  # it did storm
        assert world.server.refused == []
        assert world.server.mistakes == []
