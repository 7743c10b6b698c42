"""
Rows in which the machine under the service misbehaves: its disk is full, its clock is wrong.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.disk import SmallDisk
from tests.chaos.history import Sent
from tests.chaos.replica import CLOCK_FILE
from tests.chaos.report import Run
from tests.chaos.traffic import Traffic, judge
from tests.chaos.world import World, open_world
from tests.servers import PostgresServer, RedisServer

_RATE = 2.0
_HOUR_SECONDS = 3600
_DESK = "tickets"
_RECOVERED_SECONDS = 5.0


async def sql_disk_full(run: Run) -> None:
    with SmallDisk(megabytes=160) as disk:
        record = PostgresServer(disk.folder)
        await _disk_full(run, disk, record=record, revive=lambda _: record.start())


async def redis_disk_full(run: Run) -> None:
    """A Redis that syncs each write ends when it cannot: what watches over it starts it again, as it would after a crash."""
    with SmallDisk(megabytes=16) as disk:
        cache = RedisServer(place=disk.folder)
        await _disk_full(run, disk, cache=cache, revive=lambda _: cache.start())


async def _disk_full(
    run: Run,
    disk: SmallDisk,
    *,
    revive: Callable[[World], None],
    record: PostgresServer | None = None,
    cache: RedisServer | None = None,
) -> None:
    async with (
        open_world(run, record=record, cache=cache) as world,
        Clients(world.urls, chance=run.chance) as clients,
    ):
        healed = []
        async with Traffic(run, clients, rate=_RATE) as traffic:
            for _ in range(run.times(3, 1)):
                await asyncio.sleep(run.times(3, 1))
                await asyncio.to_thread(disk.fill)
                await asyncio.sleep(run.times(10, 3))
                disk.free()
                await asyncio.to_thread(revive, world)
                healed.append(time.monotonic())
                await asyncio.sleep(run.times(6, 3))
        await judge(run, world, clients.sent)
        refused = [each for sent in traffic.sent for each in sent.attempts if each.status != 200]
        run.figures["refused or unanswered"] = sum(each.status != 202 for each in refused)
        _recovered(run, traffic.sent, healed)


async def clock_off(run: Run) -> None:
    with tempfile.TemporaryDirectory(prefix="careline-clock-") as folder:
        clock = Path(folder) / "ahead"
        clock.write_text("0")
        async with (
            open_world(run, variables=({CLOCK_FILE: str(clock)}, {})) as world,
            Clients(world.urls, chance=run.chance, roaming=0.3) as clients,
        ):
            jumped = []
            async with Traffic(run, clients, rate=_RATE) as traffic:
                await asyncio.sleep(1)
                for ahead in (_HOUR_SECONDS, 0, -_HOUR_SECONDS, 0):
                    clock.write_text(str(ahead))
                    jumped.append(time.monotonic())
                    await asyncio.sleep(run.times(15, 2))
            await judge(run, world, clients.sent)
            _recovered(run, traffic.sent, jumped)
            run.at_most("slowest answer", max(sent.seconds for sent in traffic.sent), 5.0, " s")


def _recovered(run: Run, sent: list[Sent], healed: list[float]) -> None:
    """How long after each healing the last trouble was over that began before the next fault could."""
    longest = 0.0
    for at in healed:
        for each in sent:
            answered_at = each.answered_at or float("inf")
            is_new = at <= each.sent_at < at + _RECOVERED_SECONDS + 1
            if (is_new and _had_trouble(each)) or each.sent_at < at < answered_at:
                longest = max(longest, answered_at - at)
    run.at_most("recovered", longest, _RECOVERED_SECONDS, " s")


def _had_trouble(sent: Sent) -> bool:
    is_degraded = any(name != _DESK for told in sent.told for name in told.degraded)
    return is_degraded or any(each.status not in (200, 202) for each in sent.attempts)
