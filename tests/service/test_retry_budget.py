"""
How often a provider that fails all the time is asked: through the tool handler, the guards, an HTTP connector and the outbox.
"""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from structlog.testing import capture_logs

from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from core.clock import SystemClock
from core.errors import DependencyUnavailable, NotFound
from core.http import make_client, raise_for_answer, translate
from core.records import NewTicket, Recognition, Ticket
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryBudget, RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.outbox import SqlOutbox
from tests.fakes import FakeClock
from tests.service.status_server import StatusServer
from tests.tool_world import (
    ANNA,
    DEPENDENCIES,
    FakeChannel,
    FakeDirectory,
    FakeKnowledge,
    MemoryLedger,
    ToolWorld,
)
from tools.handler import ToolErrorHandler
from tools.protocol import ToolCall
from tools.registry import standard_tools

REQUESTS = 1_000
ASKED = {"subject": "Lamp", "description": "It is broken."}


class HttpDesk:
    """A help desk as a connector sees it: one request a ticket, no repeats of its own."""

    recognition = Recognition.KEY
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        raise AssertionError("a desk that knows the key is not looked at")

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        try:
            response = await self._client.post("/tickets", json={"subject": ticket.subject})
        except Exception as exc:
            raise translate("tickets", exc) from exc
        raise_for_answer("tickets", response)
        raise AssertionError("this provider never takes a ticket")

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        return ()  # it has no search, so that each request is one call


class NoNotes(MemoryLedger):
    async def append_note(self, *_: object, **__: object) -> None:
        raise AssertionError("nothing is settled while the provider is down")


@asynccontextmanager
async def outbox_on(url: str) -> AsyncIterator[SqlOutbox]:
    upgrade(url)
    database = Database(url, timeout_seconds=20.0)
    yield SqlOutbox(database)
    await database.close()


@pytest.mark.parametrize(
    "breaker", [CircuitState.DISABLED, CircuitState.CLOSED], ids=["budget_alone", "with_breaker"]
)
async def test_a_provider_that_always_fails_is_asked_at_most_12_times_for_10_requests(
    breaker: CircuitState, sqlite_url: str
) -> None:
    clock = SystemClock()
    policy = GuardPolicy(
        retry=RetryPolicy(attempts=3, base_seconds=0.0), breaker=BreakerPolicy(starts_as=breaker)
    )
    guards = {name: Guard(name, policy, clock=clock, rng=random.Random(3)) for name in DEPENDENCIES}
    with capture_logs():  # a thousand tracebacks take their time
        asked, promised, worked = await _ask_a_thousand_times(guards, clock, sqlite_url)

    assert promised == REQUESTS
    assert worked >= 250
    assert asked <= 1.2 * REQUESTS
    if breaker is CircuitState.DISABLED:
        assert asked > 1.15 * REQUESTS, "the budget is there to be used"
    else:
        assert asked < 0.2 * REQUESTS


async def _ask_a_thousand_times(
    guards: Mapping[str, Guard], clock: SystemClock, sqlite_url: str
) -> tuple[int, int, int]:
    """How often the provider was asked, how many tickets were promised, how many deliveries tried."""
    async with (
        StatusServer(503) as server,
        make_client("tickets", base_url=server.url, timeout_seconds=5.0) as client,
        outbox_on(sqlite_url) as outbox,
    ):
        desk, channels = HttpDesk(client), {"email": FakeChannel()}
        handler = ToolErrorHandler(
            standard_tools(
                knowledge=FakeKnowledge(),
                desk=desk,
                directory=FakeDirectory(ANNA),
                channels=channels,
                guards=guards,
                clock=clock,
            ),
            guards=guards,
            ledger=MemoryLedger(),
            clock=clock,
            errors=StructuredErrorLogger(get_logger("tests")),
        )
        dispatcher = OutboxDispatcher(
            outbox,
            NoNotes(),
            desk=desk,
            channels=channels,
            guards=guards,
            clock=clock,
            rng=random.Random(3),
            owner="one",
            policy=DispatchPolicy(first_wait_seconds=0.0, longest_wait_seconds=0.0),
        )
        world = ToolWorld()
        promised = worked = 0
        for n in range(REQUESTS):
            call = world.tool_call(turn=f"turn_{n}")
            outcome = await handler.call("open_ticket", ASKED, _with_time(call, clock))
            assert outcome.outbox, outcome
            promised += len(outcome.outbox)
            for item in outcome.outbox if n % 10 == 0 else ():
                await outbox.put(item)
            if n % 50 == 49:
                worked += await dispatcher.work_once()

        return server.asked, promised, worked


def _with_time(call: ToolCall, clock: SystemClock) -> ToolCall:
    return replace(call, deadline=Deadline(clock, 20.0))


async def test_what_the_outbox_repeats_and_succeeds_with_does_not_use_the_budget_up() -> None:
    clock = SystemClock()
    budget = RetryBudget(reserve=1, clock=clock)
    guard = Guard("tickets", GuardPolicy(), clock=clock, rng=random.Random(3), retry_budget=budget)

    async def answer() -> str:
        return "opened"

    assert [await guard.run(answer, is_repeat=True) for _ in range(50)] == ["opened"] * 50


async def test_a_used_up_budget_lets_one_repeat_through_each_quiet_while() -> None:
    clock = FakeClock()
    budget = RetryBudget(reserve=1, clock=clock, quiet_seconds=10.0)
    guard = Guard("tickets", GuardPolicy(), clock=clock, rng=random.Random(3), retry_budget=budget)
    asked = 0

    async def fail() -> None:
        nonlocal asked
        asked += 1
        raise NotFound

    for _ in range(61):
        with pytest.raises((NotFound, DependencyUnavailable)):
            await guard.run(fail, is_repeat=True)
        clock.advance(1.0)

    assert asked == 7
