"""
A shop with promised tickets: a real SQLite outbox and ledger, a desk in memory, and the team's mailbox on a real mail server.
"""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy

import pytest

from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from agent.workers.ticket_fallback import TicketFallback
from core.clock import Clock, SystemClock
from core.errors import (
    CarelineError,
    DependencyForbidsUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    RateLimited,
    ToolMisconfigured,
)
from core.ids import receipt_for
from core.records import EffectRecord, OutboxItem
from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.sql.operator_queue import SqlOperatorQueue, Verdict
from state.sql.outbox import SqlOutbox
from tests.service.test_outbox_dispatcher import Place, place  # noqa: F401
from tests.smtp_server import MailServer
from tests.tool_world import FakeDesk, ToolWorld
from tools.adapters.desks.mail import MailTicketDesk
from tools.adapters.smtp import SmtpChannel, SmtpServer
from tools.handler import ToolErrorHandler
from tools.ports import TicketDesk
from tools.registry import standard_tools

TEAM = "team@shop.example"
ATTEMPTS = 4
ATTEMPT_SECONDS = 5.0
RECEIPT = receipt_for("effect_t")
TICKET = {"subject": "Lamp is broken", "description": "It flickers, then it goes out."}


class NotingOutbox(SqlOutbox):
    """Remembers how long each postponed item was to wait; can be lost when it shall note what became of one."""

    waits: list[float]
    is_lost = False

    async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
        if self.is_lost:
            self.is_lost = False
            raise DependencyUnavailable("sql")
        return await super().done(item, reference=reference)

    async def dead(self, item: OutboxItem, *, error: str) -> bool:
        if self.is_lost:
            self.is_lost = False
            raise DependencyUnavailable("sql")
        return await super().dead(item, error=error)

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
        self.waits.append(wait_seconds)
        await super().retry(item, wait_seconds=0.0, error=error)


@dataclass(slots=True)
class Office:
    """The outbox of a shop, its desk, and the team's mailbox."""

    place: Place
    mail: MailServer
    outbox: NotingOutbox

    def mailbox(self) -> MailTicketDesk:
        channel = SmtpChannel(
            SmtpServer.parse(f"smtp://127.0.0.1:{self.mail.port}"),
            sender="agent@shop.example",
            step_seconds=0.5,
        )
        return MailTicketDesk(channel, address=TEAM, clock=SystemClock())

    def dispatcher(
        self, desk: TicketDesk, *, has_fallback: bool = False, clock: Clock | None = None
    ) -> OutboxDispatcher:
        clock = clock or SystemClock()
        never_opens = GuardPolicy(
            retry=RetryPolicy(attempts=1),
            breaker=BreakerPolicy(minimum_calls=10_000),
            attempt_seconds=ATTEMPT_SECONDS,
        )
        guards = {
            name: Guard(name, never_opens, clock=clock, rng=random.Random(1))
            for name in ("tickets", "notifications")
        }
        return OutboxDispatcher(
            self.outbox,
            self.place.store,
            desk=desk,
            channels={},
            guards=guards,
            clock=clock,
            rng=random.Random(1),
            owner="one",
            policy=DispatchPolicy(
                poll_seconds=30.0, first_wait_seconds=0.0, longest_wait_seconds=60.0, most_attempts=3
            ),
            fallback=TicketFallback(desk=self.mailbox(), guard=guards["notifications"], attempts=ATTEMPTS)
            if has_fallback
            else None,
        )

    def letters(self) -> list[tuple[str, str, str]]:
        """(Message-ID, subject, body) of what the mail server took."""
        read = [
            message_from_bytes(raw.removesuffix(b".\r\n"), policy=policy.default)
            for raw in self.mail.messages
        ]
        return [
            (str(each["Message-ID"]), str(each["Subject"]), each.get_content().replace("\r\n", "\n"))
            for each in read
        ]

    async def operator_says_it_never_happened(self) -> None:
        await SqlOperatorQueue(self.place.database).decide("default", "effect_t", Verdict.RETRY)

    async def turn_left_in_doubt(self) -> None:
        await self.place.store.finish_effect(
            EffectRecord(
                tenant="default",
                key="effect_t",
                turn_id="turn",
                step=1,
                tool="open_ticket",
                arguments={},
                status="unknown",
            )
        )

    async def status(self) -> tuple[str, str | None]:
        entry = await self.place.only_entry()
        return entry.status, entry.reference if entry.status == "done" else entry.error


@pytest.fixture
async def office(place: Place) -> AsyncIterator[Office]:  # noqa: F811
    outbox = NotingOutbox(place.database)
    outbox.waits = []
    async with MailServer() as mail:
        yield Office(place, mail, outbox)


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk(SystemClock())


REFUSALS: Sequence[CarelineError] = (
    DependencyForbidsUs("tickets"),
    DependencyRejectedInput("tickets"),
    ToolMisconfigured("no such project"),
)
OUTAGES: Sequence[CarelineError] = (
    DependencyUnavailable("tickets"),
    DependencyTimeout("tickets", may_have_happened=True),
    RateLimited(dependency="tickets"),
)


def world_with(desk: TicketDesk) -> ToolWorld:
    world = ToolWorld()
    tools = standard_tools(
        knowledge=world.knowledge,
        desk=desk,
        directory=world.directory,
        channels={"email": world.channel},
        guards=world.guards,
        clock=world.clock,
    )
    world.registry = tools
    world.handler = ToolErrorHandler(
        tools,
        guards=world.guards,
        ledger=world.ledger,
        clock=world.clock,
        errors=StructuredErrorLogger(get_logger("tests")),
    )
    return world
