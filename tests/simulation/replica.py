"""
One replica of the service: everything between HTTP and the stores is the real code, put together as `agent.bootstrap` does.
"""

import random
from collections import Counter
from datetime import timedelta

from agent.turn.inputs import ChatRequest, Submission
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from agent.workers.drain import JournalDrain
from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from agent.workers.supervise import supervised
from agent.workers.sweeper import Sweeper
from core.messages import TurnResult
from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryBudget, RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.recovery import StateRecoveryHandler
from state.redis.copy import RedisStateCopy
from state.redis.durability import RedisDurability
from state.redis.journal import RedisJournal
from state.redis.journal_store import JOURNAL_TAG
from tests.simulation.loop import Process, SimulatedClock, SimulatedLoop
from tests.simulation.network import Faults, Link, Server
from tests.simulation.outside import (
    CountingBrain,
    NoMetrics,
    NothingIsDown,
    SimulatedChannel,
    SimulatedDesk,
    SimulatedDirectory,
)
from tests.simulation.record import SimulatedRecord, SqlTables
from tests.simulation.redis_server import SimulatedRedis, TinyRedis
from tools.handler import ToolErrorHandler
from tools.notify import Notify
from tools.open_ticket import OpenTicket
from tools.registry import ToolRegistry

LEASE_SECONDS = 3.0
_SQL_SECONDS = 1.0
_REDIS_SECONDS = 0.25
_ONCE = RetryPolicy(attempts=1)


class Replica:
    """From its start to its death; a restart is another one."""

    def __init__(
        self,
        name: str,
        *,
        loop: SimulatedLoop,
        rng: random.Random,
        sql: tuple[Server, SqlTables],
        redis: tuple[Server, TinyRedis],
        faults: Faults,
        desk: SimulatedDesk,
        channel: SimulatedChannel,
        runs: Counter[str],
        skew_seconds: float,
    ) -> None:
        self.name = name
        self.process = Process(loop, name, skew_seconds=skew_seconds)
        clock = SimulatedClock(loop, self.process)
        self.sql = Link(sql[0], self.process, rng=rng, faults=faults, timeout_seconds=_SQL_SECONDS)
        self.redis = Link(redis[0], self.process, rng=rng, faults=faults, timeout_seconds=_REDIS_SECONDS)
        record = SimulatedRecord(sql[1], self.sql, owner=name, lease_seconds=LEASE_SECONDS)
        client = SimulatedRedis().over(self.redis, redis[1])
        self.copy = RedisStateCopy(client, timeout_seconds=_REDIS_SECONDS)
        self.journal = RedisJournal(
            client,
            self.copy,
            durability=RedisDurability(client, tag=JOURNAL_TAG, timeout_seconds=_REDIS_SECONDS, clock=clock),
            owner=name,
            lease_seconds=LEASE_SECONDS,
            timeout_seconds=_REDIS_SECONDS,
        )
        guards = _guards(clock, rng)
        self.store = StateRecoveryHandler(
            record,
            sql=guards["sql"],
            clock=clock,
            copy=self.copy,
            journal=self.journal,
            redis=guards["redis"],
            ping_sql=record.ping,
        )
        directory = SimulatedDirectory()
        registry = ToolRegistry(
            (
                OpenTicket(desk, directory, directory_guard=guards["customers"], clock=clock),
                Notify(directory, {channel.name: channel}, directory_guard=guards["customers"]),
            )
        )
        self.turns = TurnPipeline(
            store=self.store,
            brain=CountingBrain(runs, name),
            tools=ToolErrorHandler(
                registry,
                guards=guards,
                ledger=self.store,
                clock=clock,
                errors=StructuredErrorLogger(get_logger("tools")),
            ),
            degradation=NothingIsDown(),
            metrics=NoMetrics(),
            policy=TurnPolicy(
                deadline_seconds=20.0,
                lease_seconds=LEASE_SECONDS,
                history_messages=6,
                handoff_timeout=timedelta(hours=1),
            ),
            clock=clock,
        )
        dispatcher = OutboxDispatcher(
            record,
            self.store,
            desk=desk,
            channels={channel.name: channel},
            guards=guards,
            clock=clock,
            rng=rng,
            owner=name,
            policy=DispatchPolicy(lease_seconds=6.0, longest_wait_seconds=4.0),
        )
        loops = {
            "sweeper": Sweeper(
                self.store, self.turns.resume, every_seconds=LEASE_SECONDS / 3, clock=clock
            ).run,
            "drain": JournalDrain(self.store, drained=dispatcher.wake, clock=clock).run,
            "outbox": dispatcher.run,
        }
        for worker, run in loops.items():
            self.process.spawn(supervised(worker, run, clock=clock))

    async def submit(self, request: ChatRequest) -> Submission:
        return await self.turns.submit(request)

    async def answer(self, submission: Submission, seconds: float) -> TurnResult | None:
        if submission.result is not None:
            return submission.result
        return await self.turns.wait("default", submission.turn_id, seconds=seconds)


def _guards(clock: SimulatedClock, rng: random.Random) -> dict[str, Guard]:
    """As `core.resilience.policies` makes them, with shorter times where only the simulation waits for them."""
    budget = RetryBudget()
    policies = {
        "sql": GuardPolicy(attempt_seconds=_SQL_SECONDS, total_seconds=_SQL_SECONDS, retry=_ONCE),
        "redis": GuardPolicy(
            attempt_seconds=_REDIS_SECONDS,
            total_seconds=_REDIS_SECONDS,
            retry=_ONCE,
            breaker=BreakerPolicy(window_seconds=2.0, minimum_calls=3),
        ),
        "tickets": GuardPolicy(attempt_seconds=1.0, total_seconds=1.0, retry=_ONCE),
        "customers": GuardPolicy(attempt_seconds=1.0, total_seconds=1.0, retry=_ONCE),
        "notifications": GuardPolicy(attempt_seconds=1.0, total_seconds=1.0, retry=_ONCE),
    }
    return {
        name: Guard(name, policy, clock=clock, rng=rng, retry_budget=budget)
        for name, policy in policies.items()
    }
