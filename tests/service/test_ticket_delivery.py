"""Claims about tickets for desks that know no key, on a real SQLite ledger: workers that meet, and what an operator puts back."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from agent.workers.ticket_fallback import FateUnknown
from agent.workers.tickets import TicketDelivery
from core.errors import DependencyTimeout, DependencyUnavailable
from core.ids import receipt_for
from core.records import EffectRecord, NewTicket, OutboxItem, OutboxKind, Recognition, Ticket
from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.fakes import FakeClock
from tests.tool_world import FakeDesk

KEY = "effect_t"
WANTED = NewTicket(KEY, receipt_for(KEY), "cust_anna", "conv_1", "Lamp", "It is broken.")


class ForgetfulDesk(FakeDesk):
    """Counts what it opens; `answers_late` opens and says nothing."""

    def __init__(self, clock: FakeClock, recognition: Recognition) -> None:
        super().__init__(clock, recognition=recognition)
        self.opened = 0
        self.answers_late = False

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        self._maybe_fail()
        self.opened += 1
        opened = await super().open_ticket(tenant, ticket)
        if self.answers_late:
            raise DependencyTimeout("tickets", may_have_happened=True)
        return opened


class Bench:
    def __init__(self, database: Database, recognition: Recognition) -> None:
        self.clock = FakeClock()
        self.desk = ForgetfulDesk(self.clock, recognition)
        self.ledger = SqlConversationStore(database, owner="test", lease_seconds=30.0)
        policy = GuardPolicy(
            retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(minimum_calls=1000), attempt_seconds=2.0
        )
        guard = Guard("tickets", policy, clock=self.clock, rng=random.Random(1))
        self._delivery = TicketDelivery(
            self.desk, self.ledger, guard=guard, clock=self.clock, settle_seconds=10.0, most_attempts=12
        )

    async def deliver(self, *, attempts: int) -> str:
        item = OutboxItem(KEY, OutboxKind.TICKET, "default", "conv_1", {}, attempts=attempts)
        return (await self._delivery.deliver(item, WANTED)).reference

    async def turn_left(self, status: Literal["queued", "unknown", "intent"]) -> None:
        await self.ledger.finish_effect(
            EffectRecord(
                tenant="default",
                key=KEY,
                turn_id="turn_1",
                step=1,
                tool="open_ticket",
                arguments={"run": "run_a"},
                status=status,
            )
        )


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(upgrade, sqlite_url)
    database = Database(sqlite_url, timeout_seconds=5.0)
    yield database
    await database.close()


@pytest.mark.parametrize("status", ["unknown", "intent"])
async def test_what_a_turn_left_in_doubt_is_looked_up_after_a_while_and_opened_if_it_is_not_there(
    database: Database, status: Literal["unknown", "intent"]
) -> None:
    bench = Bench(database, Recognition.LOOKUP)
    await bench.turn_left(status)

    with pytest.raises(DependencyUnavailable) as early:
        await bench.deliver(attempts=1)
    bench.clock.advance(early.value.retry_after or 0.0)
    reference = await bench.deliver(attempts=2)

    assert early.value.retry_after == 12.0
    assert (reference, bench.desk.opened) == ("T-1", 1)


async def test_what_is_found_is_not_opened_and_the_turns_own_doubt_is_settled(database: Database) -> None:
    bench = Bench(database, Recognition.LOOKUP)
    await bench.turn_left("queued")
    bench.desk.answers_late = True

    with pytest.raises(DependencyUnavailable):
        await bench.deliver(attempts=1)
    bench.clock.advance(12.0)
    reference = await bench.deliver(attempts=2)
    settled = await bench.ledger.effect("default", KEY)

    assert (reference, bench.desk.opened) == ("T-1", 1)
    assert settled is not None
    assert (settled.status, settled.reference) == ("confirmed", "T-1")


@pytest.mark.parametrize("recognition", [Recognition.LOOKUP, Recognition.NONE])
async def test_of_two_workers_that_begin_again_after_a_failure_one_opens(
    database: Database, recognition: Recognition
) -> None:
    bench = Bench(database, recognition)
    bench.desk.failure, bench.desk.times = DependencyUnavailable("tickets"), 1
    with pytest.raises(DependencyUnavailable):
        await bench.deliver(attempts=1)

    await asyncio.gather(*(bench.deliver(attempts=2) for _ in range(4)), return_exceptions=True)

    assert bench.desk.opened == 1


async def test_a_desk_that_cannot_be_looked_at_is_asked_again_only_by_an_operator(database: Database) -> None:
    bench = Bench(database, Recognition.NONE)
    bench.desk.answers_late = True

    for attempts in (1, 2, 1):  # the last is that of a worker whose lease ran out
        with pytest.raises(FateUnknown):
            await bench.deliver(attempts=attempts)
    after_doubt = bench.desk.opened
    bench.desk.answers_late = False
    await bench.deliver(attempts=0)  # put back

    assert after_doubt == 1
    assert bench.desk.opened == 2
