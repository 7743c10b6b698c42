"""
Tickets through the real handler, ledger and outbox to a ticket service that fails as badly as it may.

`python -m tests.service.exactly_once [--requests 2000] [--seed 1]` runs the long form and prints what came of it.
"""

import argparse
import asyncio
import dataclasses
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from core.clock import SystemClock
from core.identity import Caller, CallerKind
from core.ids import derived_id, receipt_for
from core.messages import ActionStatus, MessageRole
from core.records import Recognition
from core.resilience.breaker import BreakerPolicy
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.outbox import OutboxEntry, SqlOutbox
from state.store import IncomingMessage
from tests.ticket_service import HttpTicketDesk, TicketService
from tests.tool_world import FakeChannel, FakeDirectory, FakeKnowledge
from tools.handler import ToolErrorHandler
from tools.protocol import ToolCall, ToolOutcome
from tools.registry import standard_tools

_AT_ONCE = 8
_STEADY_WORKERS = 5
_CALL_SECONDS = 0.4
_SETTLE_SECONDS = 1.5
_LONGEST_THOUGHT_SECONDS = 0.2
_RERUN_SHARE = 0.1
_PATIENCE_SECONDS = 90.0
_POLICY = DispatchPolicy(
    poll_seconds=0.05,
    first_wait_seconds=0.05,
    longest_wait_seconds=_SETTLE_SECONDS,
    settle_seconds=_SETTLE_SECONDS,
    lease_seconds=2.0,  # shorter than some take, so that two workers meet
    most_attempts=1000,
)


@dataclass
class Outcome:
    """What a run left behind. `told` is by key what the customer heard of it, `tickets` by key how many there are."""

    told: dict[str, list[str]] = field(default_factory=dict)
    first: dict[str, ActionStatus] = field(default_factory=dict)
    tickets: dict[str, int] = field(default_factory=dict)
    queue: dict[str, OutboxEntry] = field(default_factory=dict)
    ledger: dict[str, str | None] = field(default_factory=dict)
    kills: int = 0
    _answered: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def heard(self, key: str, outcome: ToolOutcome) -> None:
        async with self._answered:
            self.first[key] = outcome.action.status
            self.told[key] = [outcome.summary]
            self._answered.notify_all()

    async def asked(self, count: int) -> None:
        """Once so many have been answered."""
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.first) >= count)

    @property
    def uncertain(self) -> list[str]:
        """In the hands of an operator."""
        return [key for key, entry in self.queue.items() if entry.status == "dead"]

    def shown(self) -> str:
        first = ", ".join(f"{name} {count}" for name, count in sorted(Counter(self.first.values()).items()))
        twice = sum(count > 1 for count in self.tickets.values())
        missing = [key for key in self.first if not self.tickets.get(key) and key not in self.uncertain]
        return (
            f"{len(self.first)} requests, {self.kills} kills; at first: {first}; tickets {len(self.tickets)}, "
            f"twice {twice}, missing {len(missing)}, with an operator {len(self.uncertain)}"
        )


class Shop:
    """A customer's conversation, the record, and the handler in front of the service."""

    def __init__(self, database: Database, desk: HttpTicketDesk, *, seed: int) -> None:
        self.clock = SystemClock()
        self.store = SqlConversationStore(database, owner="test", lease_seconds=30.0)
        self.outbox = SqlOutbox(database)
        self.desk = desk
        self.rng = random.Random(seed)
        breaker = BreakerPolicy(minimum_calls=20, shortest_open_seconds=0.1, longest_open_seconds=0.2)
        policy = GuardPolicy(
            attempt_seconds=2 * _CALL_SECONDS, retry=RetryPolicy(attempts=1), breaker=breaker
        )
        self.guards = {
            name: Guard(name, policy, clock=self.clock, rng=self.rng)
            for name in ("sql", "knowledge", "tickets", "customers", "notifications")
        }
        registry = standard_tools(
            knowledge=FakeKnowledge(),
            desk=desk,
            directory=FakeDirectory(),
            channels={"email": FakeChannel()},
            guards=self.guards,
            clock=self.clock,
        )
        self.handler = ToolErrorHandler(
            registry,
            guards=self.guards,
            ledger=self.store,
            clock=self.clock,
            errors=StructuredErrorLogger(get_logger("tests")),
        )
        self.conversation_id = ""

    async def begin(self) -> None:
        taken = await self.store.intake(
            IncomingMessage(
                tenant="default",
                principal="customer:cust_anna",
                customer_id="cust_anna",
                conversation_id=None,
                client_message_id="c1",
                text="Hello",
                locale="en",
                channel="api",
                at=datetime(2026, 11, 28, tzinfo=UTC),
            )
        )
        self.conversation_id = taken.conversation_id

    async def ask(self, number: int) -> tuple[str, ToolOutcome]:
        """One wish, sometimes in a turn that is run again; what it promises is stored as a turn's commit would store it."""
        key = derived_id("effect", "default", str(number))
        call = ToolCall(
            call_id=f"call_{number}",
            key=key,
            step=1,
            caller=Caller(
                kind=CallerKind.CUSTOMER, customer_id=f"cust_{number}", email="anna@alvarez.example"
            ),
            conversation_id=self.conversation_id,
            turn_id=f"turn_{number}",
            locale="en",
            deadline=Deadline(self.clock, 20.0),
        )
        wanted = {"subject": f"Wish {number}", "description": f"The lamp number {number} is broken."}
        outcome = await self.handler.call("open_ticket", wanted, call)
        if self.rng.random() < _RERUN_SHARE:
            outcome = await self.handler.call(
                "open_ticket", wanted, dataclasses.replace(call, call_id=f"again_{number}")
            )
        for item in outcome.outbox:
            await self.outbox.put(item)
        return key, outcome

    def dispatcher(self, owner: str) -> OutboxDispatcher:
        return OutboxDispatcher(
            self.outbox,
            self.store,
            desk=self.desk,
            channels={},
            guards=self.guards,
            clock=self.clock,
            rng=self.rng,
            owner=owner,
            policy=_POLICY,
        )


async def run(recognition: Recognition, folder: Path, *, requests: int, kills: int, seed: int = 1) -> Outcome:
    """Until nothing is waiting any more."""
    with capture_logs():  # thousands of tracebacks, each of which takes a while to be drawn
        return await _run(recognition, folder, requests=requests, kills=kills, seed=seed)


async def _run(recognition: Recognition, folder: Path, *, requests: int, kills: int, seed: int) -> Outcome:
    url = f"sqlite+aiosqlite:///{folder / 'careline.db'}"
    await asyncio.to_thread(upgrade, url)
    with TicketService(folder, recognition.value, seed=seed) as service:
        database = Database(url, timeout_seconds=10.0)
        desk = HttpTicketDesk(service.url, recognition, timeout_seconds=_CALL_SECONDS)
        shop = Shop(database, desk, seed=seed)
        await shop.begin()
        found = Outcome()
        async with _dispatching(shop):
            killing = asyncio.create_task(_kill(service, kills, found, requests=requests))
            await _ask_all(shop, requests, found)
            await killing
            await _settled(shop.outbox)
        await _look(shop, found)
        found.tickets = service.tickets_per_key()
        found.kills = kills
        await desk.aclose()
        await database.close()
    return found


async def _ask_all(shop: Shop, requests: int, found: Outcome) -> None:
    numbers = iter(range(requests))

    async def customer() -> None:
        for number in numbers:
            await asyncio.sleep(shop.rng.uniform(0.0, _LONGEST_THOUGHT_SECONDS))
            key, outcome = await shop.ask(number)
            await found.heard(key, outcome)

    await asyncio.gather(*(customer() for _ in range(_AT_ONCE)))


async def _kill(service: TicketService, kills: int, found: Outcome, *, requests: int) -> None:
    """Spread over the run by what has been asked."""
    for number in range(kills):
        await found.asked(requests * (number + 1) // (kills + 1))
        await asyncio.to_thread(service.kill)
        await asyncio.to_thread(service.start)


@asynccontextmanager
async def _dispatching(shop: Shop) -> AsyncIterator[None]:
    """Several workers; one leaves every second in the middle of its work, and another comes."""

    async def relay() -> None:
        number = 0
        while True:
            number += 1
            worker = asyncio.create_task(shop.dispatcher(f"relay_{number}").run())
            try:
                await asyncio.sleep(1.0)
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)

    steady = (shop.dispatcher(f"steady_{number}").run() for number in range(_STEADY_WORKERS))
    tasks = [asyncio.create_task(relay()), *map(asyncio.create_task, steady)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _settled(outbox: SqlOutbox) -> None:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while (await outbox.backlog()).waiting:
        assert time.monotonic() < ends_at, "the outbox does not come to an end"
        await asyncio.sleep(0.1)


async def _look(shop: Shop, found: Outcome) -> None:
    for entry in await shop.outbox.entries(limit=100_000):
        found.queue[entry.item.key] = entry
    for key in found.first:
        stored = await shop.store.effect("default", key)
        found.ledger[key] = stored.status if stored is not None else None
    said: list[str] = []
    after = 0
    while page := await shop.store.messages("default", shop.conversation_id, after=after, limit=500):
        said += [message.text for message in page if message.role is MessageRole.SYSTEM]
        after = page[-1].seq
    by_receipt = {receipt_for(key): key for key in found.first}
    for text in said:
        for receipt in by_receipt.keys() & set(text.replace(".", " ").replace(";", " ").split()):
            found.told[by_receipt[receipt]].append(text)


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--requests", type=int, default=2000)
    wanted.add_argument("--kills", type=int, default=5)
    wanted.add_argument("--seed", type=int, default=1)
    given = wanted.parse_args()
    for recognition in Recognition:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            found = asyncio.run(
                run(recognition, Path(folder), requests=given.requests, kills=given.kills, seed=given.seed)
            )
            sys.stdout.write(f"{recognition.value}: {found.shown()}; {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
