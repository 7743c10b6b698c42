"""The guards of all dependencies and the stores behind them, and when a store may be used."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.workers.late_start import LateStart
from core.clock import Clock, SystemClock
from core.errors import CarelineError
from core.ids import new_id
from core.resilience.guard import Guard
from core.resilience.interference import Interference
from core.resilience.policies import guard_policies
from core.settings import Settings
from core.telemetry.logging import get_logger
from core.telemetry.metrics import Metrics
from state.opening import OpenState, migrate, open_state

if TYPE_CHECKING:
    from state.redis.journal import RedisJournal

log = get_logger(__name__)


def make_guards(
    settings: Settings,
    *,
    clock: Clock,
    rng: random.Random,
    metrics: Metrics,
    interference: Interference | None = None,
) -> Mapping[str, Guard]:
    """One per dependency, by its name, for turns and outbox alike: so both repeat from the dependency's one budget."""
    guards = {
        name: Guard(name, policy, clock=clock, rng=rng, observer=metrics, interference=interference)
        for name, policy in guard_policies(settings).items()
    }
    for guard in guards.values():
        guard.breaker.subscribe(lambda change: metrics.breaker_changed(change.name, state=change.after))
    return guards


async def open_records(
    settings: Settings, guards: Mapping[str, Guard], clock: Clock, owner: str, stack: AsyncExitStack
) -> OpenState:
    await migrate(settings)
    return await stack.enter_async_context(
        open_state(settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=owner)
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command has of the service: the stores, the guards before them, and the time."""

    records: OpenState
    guards: Mapping[str, Guard]
    clock: Clock


@asynccontextmanager
async def open_for_command(settings: Settings, owner: str = "operator") -> AsyncIterator[Opened]:
    """While the service runs, or does not. `owner` begins the name under which the command holds leases."""
    clock = SystemClock()
    guards = make_guards(settings, clock=clock, rng=random.Random(), metrics=Metrics())
    async with AsyncExitStack() as stack:
        yield Opened(await open_records(settings, guards, clock, new_id(owner), stack), guards, clock)


def keep_from(
    start: LateStart, guards: Mapping[str, Guard], records: OpenState, *, has_own_desk: bool
) -> None:
    """A database without this version's tables is not asked, even where it answers."""

    def may_be_used(dependencies: Sequence[str]) -> None:
        if "sql" in dependencies:
            records.conversations.let_sql_go()
        for name in isolated.intersection(dependencies):
            guards[name].breaker.reset()

    start.may_be_used = may_be_used
    isolated = set(start.unready)
    if not has_own_desk:
        isolated.discard("tickets")  # the table is not what tickets go to
    if "sql" in start.unready:
        records.conversations.hold_sql()
        if records.journal is not None:
            isolated.remove("sql")  # the drain says when it is back in use
    for name in isolated:
        guards[name].breaker.isolate()


async def check_journal(journal: "RedisJournal | None") -> None:
    """Say at the start what an operator would else learn from the first outage of SQL."""
    if journal is None:
        return
    try:
        if not await journal.is_durable():
            log.warning(
                "journal.redis_not_durable",
                needs="noeviction, and: appendonly yes with appendfsync always, or WAITAOF, or min-replicas-to-write",
            )
    except CarelineError as exc:
        log.warning("journal.not_checked", error=str(exc))
