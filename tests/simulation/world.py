"""
One seed's world: servers, replicas, customers and a nemesis, run until all is quiet, then judged.
"""

import asyncio
import logging
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from unittest.mock import patch

import structlog

from core.ids import ids_from
from core.virtual_time import NothingLeftToDo
from tests.simulation.checker import Checker
from tests.simulation.clients import Conversation, Customer, Sent
from tests.simulation.loop import SimulatedClock, SimulatedLoop
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import Faults, Server, Trace
from tests.simulation.outside import SimulatedChannel, SimulatedDesk, Unreliable
from tests.simulation.record import SqlTables
from tests.simulation.redis_server import TinyRedis
from tests.simulation.replica import Replica

_EPOCH_SECONDS = 1_790_000_000
_TROUBLE_SECONDS = (3.0, 9.0)
_TROUBLE_LASTS_SECONDS = 7.0
"""A breaker may stay open for five."""
_PATIENCE_SECONDS = 120.0
_QUIET_SECONDS = 60.0
"""After the world has healed: leases run out, breakers close, outboxes wait; then everything has to be done."""


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    violations: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return sha256("\n".join(self.trace).encode()).hexdigest()


class World:
    """`faults` are those that the nemesis draws from, where only some are wanted; `is_eager` are all customers."""

    def __init__(
        self, seed: int, *, is_strict: bool = False, faults: Sequence[str] = (), is_eager: bool = False
    ) -> None:
        self._seed = seed
        self._is_strict = is_strict
        rng = self._rng("world")
        # Sockets, signals and threads stay abstract: nobody may ask for them.
        self._kinds = faults
        self._is_eager = is_eager
        self.loop = SimulatedLoop(self._rng("order"))  # type: ignore[abstract]
        self.trace = Trace()
        self.faults = Faults()
        sql_skew, redis_skew = rng.uniform(-5, 5), rng.uniform(-5, 5)
        loop = self.loop
        self.sql = Server("sql", loop, self.trace)
        self.redis = Server("redis", loop, self.trace)
        self.tables = SqlTables(now=lambda: int((_EPOCH_SECONDS + loop.time() + sql_skew) * 1_000_000))
        self.tiny = TinyRedis(now=lambda: loop.time() + redis_skew, is_durable=rng.random() < 0.9)
        self.runs: Counter[str] = Counter()
        self.clock = SimulatedClock(loop, loop.world)
        self.desk = SimulatedDesk(self._rng("desk"), self.clock)
        self.channel = SimulatedChannel(self._rng("mail"))
        self.outside: list[Unreliable] = [self.desk, self.channel]
        self.names = [f"r{n}" for n in range(rng.choice((2, 2, 2, 3)))]
        self._skews = {name: rng.choice((0.0, 0.0, -3600.0, 3600.0)) for name in self.names}
        self.replicas: dict[str, Replica] = {}
        self.started: list[Replica] = []
        self._trouble_at: dict[str, float] = {}
        self.sent: list[Sent] = []
        self._conversations = rng.randint(1, 3)
        self._senders = rng.randint(1, 3)
        self._messages = rng.randint(1, 4)
        self._pause_seconds = rng.choice((0.0, 1.0, 1.0, 1.0, 1.0))
        self._trouble = rng.uniform(*_TROUBLE_SECONDS)

    def start(self, name: str) -> None:
        replica = Replica(
            name,
            loop=self.loop,
            rng=self._rng(f"{name}/{len(self.started)}"),
            sql=(self.sql, self.tables),
            redis=(self.redis, self.tiny),
            faults=self.faults,
            desk=self.desk,
            channel=self.channel,
            runs=self.runs,
            skew_seconds=self._skews[name],
        )
        self.replicas[name] = replica
        self.started.append(replica)

    def run(self) -> Report:
        checker = Checker(
            self.tables,
            self.tiny,
            self.desk,
            self.channel,
            self.sent,
            is_strict=self._is_strict,
            now=self.loop.time,
        )

        def took(conversation_id: str, client_message_id: str, replica: str) -> None:
            could_know = (
                self.loop.time() - self._trouble_at.get(replica, -_TROUBLE_LASTS_SECONDS)
                > _TROUBLE_LASTS_SECONDS
            )
            checker.look()
            checker.overtakes(conversation_id, client_message_id, could_know=could_know)

        self.tables.on_new_message = took
        with _chance_from(self._rng("ids")):
            try:
                self.loop.run(self._run(checker))
            except NothingLeftToDo as stuck:
                checker.violations.append(f"stuck: {stuck}")
            self._end()
        for failure in self.loop.failures:
            checker.violations.append(f"nobody caught {failure.get('exception')!r}: {failure['message']}")
        counts = self.trace.counts + checker.counts + self.tables.seen.counts
        counts["turns run"] = self.runs["turns run"]
        counts["messages"] = len(self.sent)
        return Report(self._seed, checker.violations, counts, self.trace.lines)

    async def _run(self, checker: Checker) -> None:
        for name in self.names:
            self.start(name)
        customers = list(self._customers())
        watching = asyncio.ensure_future(self._watch(checker))
        nemesis = asyncio.ensure_future(Nemesis(self, self._rng("nemesis"), self._kinds).run(self._trouble))
        try:
            async with asyncio.timeout(self._trouble + _PATIENCE_SECONDS):
                await asyncio.gather(*(customer.run() for customer in customers))
        except TimeoutError:
            checker.violations.append("a customer waits for ever")
        await nemesis
        healed = self.loop.time()
        while not checker.is_quiet() and self.loop.time() < healed + _QUIET_SECONDS:
            await self.clock.sleep(0.25)
        watching.cancel()
        for customer in customers:
            checker.violations += customer.violations
        checker.judge()

    async def _watch(self, checker: Checker) -> None:
        while True:
            checker.look()
            for name, replica in self.replicas.items():
                if self._is_troubled(replica):
                    self._trouble_at[name] = self.loop.time()
            await asyncio.sleep(0.2)

    def _is_troubled(self, replica: Replica) -> bool:
        """It cannot be blamed for what it does not know."""
        faults, servers = self.faults, (self.sql, self.redis)
        return (
            replica.redis.is_cut
            or replica.process.is_paused
            or any(server.is_paused or not server.is_up for server in servers)
            or faults.lost + faults.reply_lost + faults.delayed > 0.0
        )

    def _customers(self) -> Iterator[Customer]:
        for c in range(self._conversations):
            conversation = Conversation(f"cust{c % 2}", self.loop.create_future())
            for s in range(self._senders):
                name = f"c{c}s{s}"
                yield Customer(
                    self,
                    conversation,
                    name,
                    messages=self._messages,
                    pause_seconds=0.0 if self._is_eager else self._pause_seconds,
                    is_eager=self._is_eager,
                    opens=s == 0,
                    rng=self._rng(name),
                    log=self.sent,
                )

    def _end(self) -> None:
        """Let every task end, the killed ones' too."""
        processes = [self.loop.world, *(replica.process for replica in self.started)]
        failures = len(self.loop.failures)

        async def end() -> None:
            for _ in range(30):
                left = [task for process in processes for task in process.tasks if not task.done()]
                left = [task for task in left if task is not asyncio.current_task()]
                if not left:
                    return
                for task in left:
                    task.cancel()
                await asyncio.sleep(0.01)

        for replica in self.started:
            replica.sql.is_cut = replica.redis.is_cut = True
            replica.process.exhume()
        self.loop.run(end())
        del self.loop.failures[failures:]

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")


def run_seed(
    seed: int, *, is_strict: bool = False, faults: Sequence[str] = (), is_eager: bool = False
) -> Report:
    return World(seed, is_strict=is_strict, faults=faults, is_eager=is_eager).run()


@contextmanager
def _chance_from(rng: random.Random) -> Iterator[None]:
    """Ids are drawn from the seed too, so that a trace can be compared byte by byte."""
    with (
        ids_from(rng),
        patch.object(secrets, "token_hex", lambda n: rng.randbytes(n).hex()),
    ):
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Thousands of worlds have nothing to say in the log."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
