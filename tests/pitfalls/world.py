"""
The stage of a claim: real servers, as many replicas of one subject as the story needs, and the judgement at its end.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Literal

from core.clock import SystemClock
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.settings import Settings
from state.opening import migrate, open_state
from state.redis.client import open_redis
from tests.pitfalls.naive import Naive
from tests.pitfalls.ours import Conversations, Ours, SkewedClock
from tests.pitfalls.port import Subject
from tests.servers import PostgresServer, RedisServer
from tests.timing import assert_within
from tests.tool_world import FakeDesk

Kind = Literal["careline", "naive"]


class World:
    """`sql` is the server behind `database_url`, where it is one that can be taken away."""

    def __init__(
        self,
        kind: Kind,
        *,
        redis: RedisServer,
        database_url: str,
        sql: PostgresServer | None,
        closing: AsyncExitStack,
    ) -> None:
        self.redis = redis
        self.database_url = database_url
        self.desk = FakeDesk(SystemClock())
        self._kind = kind
        self._sql = sql
        self._closing = closing
        self._known: Conversations = {}
        self._is_migrated = False

    @property
    def sql(self) -> PostgresServer:
        assert self._sql is not None, "this claim asks for `world_on_postgres`"
        return self._sql

    async def replica(
        self,
        owner: str = "a",
        *,
        redis_url: str | None = None,
        lease_seconds: float = 30.0,
        lock_seconds: float | None = None,
        newest_wins: bool = False,
        driver_retries: int = 0,
        clock_ahead: timedelta = timedelta(0),
    ) -> Subject:
        """`lease_seconds` is Careline's; `lock_seconds`, `newest_wins` and `driver_retries` are the naive handler's."""
        redis_url = redis_url or self.redis.url
        if self._kind == "naive":
            naive = Naive(
                self.database_url,
                redis_url,
                self.desk,
                lock_seconds=lock_seconds,
                newest_wins=newest_wins,
                driver_retries=driver_retries,
                clock_ahead=clock_ahead,
            )
            self._closing.push_async_callback(naive.close)
            if not self._is_migrated:
                naive.create_tables()
            self._is_migrated = True
            return naive
        settings = Settings.model_validate(
            {"database_url": self.database_url, "redis_url": redis_url, "lease_seconds": lease_seconds}
        )
        if not self._is_migrated:
            await migrate(settings)
        self._is_migrated = True
        clock = SkewedClock(clock_ahead)
        guards = {
            name: Guard(name, policy, clock=clock, rng=random.Random(1))
            for name, policy in guard_policies(settings).items()
        }
        opened = await self._closing.enter_async_context(
            open_state(settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=owner)
        )
        looking = open_redis(self.redis.url, timeout_seconds=2.0)
        self._closing.push_async_callback(looking.aclose)
        return Ours(opened, looking, known=self._known, guards=guards, desk=self.desk, clock=clock)

    async def heal(self) -> Subject:
        """Every server is back, and a replica that has seen none of it has done what there is to do."""
        self.redis.start()
        if self._sql is not None:
            self._sql.start()
        later = await self.replica("later", lease_seconds=1.5)
        await later.settle()
        return later

    def claim(self, observed: object, expected: object) -> None:
        """
        Careline's handler does what is expected, and the naive one does not: a claim that it also satisfies would say nothing.
        """
        if self._kind == "naive":
            assert observed != expected, f"the naive handler keeps this claim too: {observed!r}"
        else:
            assert observed == expected

    def claim_within(self, seconds: float, limit: float) -> None:
        """`claim` for time that is taken."""
        if self._kind == "naive":
            assert seconds > limit, f"the naive handler keeps this claim too: {seconds:.3f} s"
        else:
            assert_within(seconds, limit)


async def longest_stall(until: "asyncio.Future[None]") -> float:
    """For how long at most the event loop did nothing else, in seconds, until `until` is done."""
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()
    while not until.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, loop.time() - last), loop.time()
    await until
    return longest
