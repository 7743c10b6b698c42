"""
What goes wrong, when and for how long: drawn from the seed, and all mended at the end.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tests.simulation.network import Faults, Server, Trace
from tests.simulation.outside import Unreliable
from tests.simulation.redis_server import TinyRedis
from tests.simulation.replica import Replica

Fault = Callable[[], Awaitable[None]]

_CALLS = (
    "",
    "intake",
    "load",
    "commit",
    "absorb",
    "begin_effect",
    "finish_effect",
    "outbox",
    "note",
    "EVALSHA",
    "LRANGE",
)
"""At which a replica dies: any, or those whose names begin so."""

_COPIES = (b"careline:copy", b"careline:log", b"careline:customer")


class Stage(Protocol):
    """What the nemesis can reach."""

    names: list[str]
    replicas: dict[str, Replica]
    sql: Server
    redis: Server
    tiny: TinyRedis
    faults: Faults
    trace: Trace
    outside: list[Unreliable]

    def start(self, name: str) -> None: ...


class Nemesis:
    """`kinds` are the faults to draw from; any, where there are none."""

    def __init__(self, stage: Stage, rng: random.Random, kinds: Sequence[str] = ()) -> None:
        self._stage = stage
        self._rng = rng
        self._running: list[asyncio.Task[None]] = []
        self._is_over = False
        named: dict[str, Fault] = {
            "kill replica": self._kill_replica,
            "kill replica at a call": self._kill_replica_at_a_call,
            "pause replica": self._pause_replica,
            "kill sql": self._kill_sql,
            "kill redis": self._kill_redis,
            "stall sql": self._stall_sql,
            "stall redis": self._stall_redis,
            "cut from sql": self._cut_from_sql,
            "cut from redis": self._cut_from_redis,
            "dual partition": self._dual_partition,
            "kill both": self._kill_both,
            "lose copies": self._lose_copies,
            "damage copy": self._damage_copy,
            "bad network": self._bad_network,
            "bad outside": self._bad_outside,
        }
        drawn = list(named.values())
        rng.shuffle(drawn)
        self._kinds = [named[kind] for kind in kinds] or drawn[: rng.randint(1, 5)]

    async def run(self, seconds: float) -> None:
        """One fault after the other, often before the last one is over; then heal."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self._rng.uniform(0.1, 1.6))
            self._running.append(asyncio.ensure_future(self._rng.choice(self._kinds)()))
        self._heal()
        await asyncio.gather(*self._running)
        self._heal()

    def _heal(self) -> None:
        stage = self._stage
        self._is_over = True
        for server in (stage.sql, stage.redis):
            server.start()
            server.go_on()
        for each in stage.outside:
            each.chance = 0.0
        stage.faults.lost = stage.faults.reply_lost = stage.faults.delayed = 0.0
        for name in stage.names:
            replica = stage.replicas[name]
            if not replica.process.is_alive:
                stage.start(name)
            replica = stage.replicas[name]
            replica.process.go_on()
            for link in (replica.sql, replica.redis):
                link.is_cut, link.deadly_call = False, None

    def _victim(self) -> Replica:
        return self._stage.replicas[self._rng.choice(self._stage.names)]

    async def _lasting(self, name: str, shortest: float, longest: float) -> None:
        if self._is_over:
            return
        seconds = self._rng.uniform(shortest, longest)
        self._stage.trace.counts[f"fault: {name}"] += 1
        self._stage.trace.note(asyncio.get_running_loop().time(), f"# {name} for {seconds:.2f} s")
        await asyncio.sleep(seconds)

    async def _kill_replica(self) -> None:
        victim = self._victim()
        if not victim.process.is_alive or self._is_over:
            return
        victim.process.kill()
        await self._lasting(f"{victim.name[0]} killed", 0.1, 2.0)
        self._start_again(victim)

    async def _kill_replica_at_a_call(self) -> None:
        """Between two steps of the protocol: as it sends a call, or when that has been carried out and before it hears so."""
        victim = self._victim()
        if not victim.process.is_alive or self._is_over:
            return
        name, is_heard = self._rng.choice(_CALLS), self._rng.random() < 0.7
        for link in (victim.sql, victim.redis):
            link.deadly_call, link.is_deadly_call_heard = name, is_heard
        await self._lasting("replica killed at a call", 0.3, 2.5)
        for link in (victim.sql, victim.redis):
            link.deadly_call = None
        self._start_again(victim)

    def _start_again(self, victim: Replica) -> None:
        if not victim.process.is_alive and self._stage.replicas[victim.name] is victim:
            self._stage.start(victim.name)

    async def _pause_replica(self) -> None:
        victim = self._victim()
        if not self._is_over:
            victim.process.pause()
            await self._lasting("replica paused", 0.3, 6.0)
            victim.process.go_on()

    async def _kill(self, server: Server, name: str) -> None:
        if self._is_over:
            return
        server.kill()
        if server is self._stage.redis:
            self._stage.tiny.restart()
        await self._lasting(name, 0.3, 4.0)
        server.start()

    async def _kill_sql(self) -> None:
        await self._kill(self._stage.sql, "sql killed")

    async def _kill_redis(self) -> None:
        await self._kill(self._stage.redis, "redis killed")

    async def _kill_both(self) -> None:
        await asyncio.gather(
            self._kill(self._stage.sql, "sql killed"), self._kill(self._stage.redis, "redis killed")
        )

    async def _stall(self, server: Server, name: str) -> None:
        if not self._is_over:
            server.pause()
            await self._lasting(name, 0.3, 4.0)
            server.go_on()

    async def _stall_sql(self) -> None:
        await self._stall(self._stage.sql, "sql paused")

    async def _stall_redis(self) -> None:
        await self._stall(self._stage.redis, "redis paused")

    async def _cut_from_sql(self) -> None:
        if not self._is_over:
            link = self._victim().sql
            link.is_cut = True
            await self._lasting("replica cut from sql", 0.3, 6.0)
            link.is_cut = False

    async def _cut_from_redis(self) -> None:
        if not self._is_over:
            link = self._victim().redis
            link.is_cut = True
            await self._lasting("replica cut from redis", 0.3, 6.0)
            link.is_cut = False

    async def _dual_partition(self) -> None:
        if not self._is_over:
            one, other = self._rng.sample(self._stage.names, 2)
            links = (self._stage.replicas[one].sql, self._stage.replicas[other].redis)
            for link in links:
                link.is_cut = True
            await self._lasting("dual partition", 1.0, 6.0)
            for link in links:
                link.is_cut = False

    async def _lose_copies(self) -> None:
        tiny = self._stage.tiny
        for place in [place for place in tiny.keys if place.startswith(_COPIES)]:
            if self._rng.random() < 0.5:
                tiny.do_del(place)
        await self._lasting("copies evicted", 0.1, 0.5)

    async def _damage_copy(self) -> None:
        tiny = self._stage.tiny
        for place in [place for place in tiny.keys if place.startswith(b"careline:copy")]:
            if self._rng.random() < 0.5:
                tiny.do_hset(place, b"copy", b"\xc1 not msgpack")
        await self._lasting("copies damaged", 0.1, 0.5)

    async def _bad_network(self) -> None:
        if self._is_over:
            return
        faults = self._stage.faults
        faults.lost, faults.reply_lost, faults.delayed = (self._rng.uniform(0.0, 0.15) for _ in range(3))
        await self._lasting("bad network", 0.5, 4.0)
        faults.lost = faults.reply_lost = faults.delayed = 0.0

    async def _bad_outside(self) -> None:
        for each in self._stage.outside:
            each.chance = 0.0 if self._is_over else 0.3
        await self._lasting("desk and mail unreliable", 1.0, 5.0)
