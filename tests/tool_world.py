"""
A small company for tests of the tools: customers, a desk, a directory, articles and a mail channel, all in
memory and all able to fail, behind real guards and the real handler.
"""

import dataclasses
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from core.clock import Clock
from core.errors import NotFound
from core.identity import Audience, Caller, CallerKind
from core.ids import derived_id
from core.messages import ActionStatus
from core.records import (
    Customer,
    EffectRecord,
    NewTicket,
    Notification,
    Order,
    Passage,
    Recognition,
    SearchResult,
    Ticket,
    TicketStatus,
)
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from tests.fakes import FakeClock
from tools.addresses import is_email_address
from tools.handler import ToolErrorHandler, ToolObserver
from tools.protocol import AnyTool, ToolCall, ToolOutcome
from tools.registry import ToolRegistry, standard_tools

DEPENDENCIES = ("sql", "knowledge", "tickets", "customers", "notifications")

ANNA = Customer(
    customer_id="cust_anna",
    name="Anna Alvarez",
    email="anna@alvarez.example",
    phone="+34 600 111 222",
    orders=(
        Order(
            order_id="ORD-1001",
            placed_at=datetime(2026, 11, 1, tzinfo=UTC),
            status="shipped",
            items=("Garden lamp",),
            total_cents=4900,
            currency="EUR",
            tracking="TRK-ANNA",
        ),
    ),
)


class Failing:
    """Raises what `failure` holds, `times` times or for ever."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.times: int | None = None
        self.calls = 0

    def _maybe_fail(self) -> None:
        self.calls += 1
        if self.failure is None or self.times == 0:
            return
        if self.times is not None:
            self.times -= 1
        raise self.failure


class FakeDesk(Failing):
    """
    Whether it recognises a key or not, it opens one ticket per key: what a repeat does, is claimed with the ticket service of
    `tests.ticket_service`.
    """

    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, clock: Clock, *, recognition: Recognition = Recognition.KEY) -> None:
        super().__init__()
        self.recognition = recognition
        self.fails_only_to_open = False
        self.additions: list[tuple[str, NewTicket]] = []
        self._clock = clock
        self.by_key: dict[str, Ticket] = {}
        self.tickets: list[tuple[str, Ticket]] = []
        self.contacts: list[str | None] = []
        self.asked_for: list[str] = []

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        self._maybe_fail()
        if ticket.key not in self.by_key:
            opened = Ticket(
                reference=f"T-{len(self.tickets) + 1}",
                receipt=ticket.receipt,
                customer_id=ticket.customer_id,
                subject=ticket.subject,
                description=ticket.description,
                status=TicketStatus.OPEN,
                created_at=self._clock.now(),
                updated_at=self._clock.now(),
            )
            self.by_key[ticket.key] = opened
            self.tickets.append((tenant, opened))
            self.contacts.append(ticket.contact)
        return self.by_key[ticket.key]

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        self._maybe_fail()
        return self.by_key.get(key)

    async def add_to_ticket(self, tenant: str, reference: str, addition: NewTicket) -> Ticket:
        self._maybe_fail()
        if all(addition.key != known.key for _, known in self.additions):
            self.additions.append((reference, addition))
        return next(ticket for _, ticket in self.tickets if ticket.reference == reference)

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        if not self.fails_only_to_open:
            self._maybe_fail()
        self.asked_for.append(customer_id)
        own = [
            ticket for owner, ticket in self.tickets if owner == tenant and ticket.customer_id == customer_id
        ]
        return own[::-1][:limit]


class FakeDirectory(Failing):
    def __init__(self, *customers: Customer) -> None:
        super().__init__()
        self.customers = {customer.customer_id: customer for customer in customers}
        self.asked_for: list[str] = []

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        self._maybe_fail()
        self.asked_for.append(customer_id)
        if customer_id not in self.customers:
            raise NotFound("no such customer")
        return self.customers[customer_id]


class FakeKnowledge(Failing):
    def __init__(self) -> None:
        super().__init__()
        self.result = SearchResult(
            passages=(
                Passage(
                    article_id="returns",
                    title="Returns",
                    url="https://shop.example/returns",
                    heading="",
                    text="You can return anything within 30 days.",
                    score=1.0,
                ),
            )
        )
        self.asked_for: list[tuple[str, str]] = []
        self.asked_as: list[tuple[Audience, tuple[str, ...]]] = []
        self.languages: list[str | None] = []

    async def search(
        self,
        tenant: str,
        words: str,
        *,
        limit: int,
        language: str | None = None,
        context: Sequence[str] = (),
        replies: Sequence[str] = (),
        audience: Audience = Audience.PUBLIC,
        languages: Collection[str] = (),
    ) -> SearchResult:
        self._maybe_fail()
        self.asked_for.append((tenant, words))
        self.asked_as.append((audience, tuple(languages)))
        self.languages.append(language)
        return self.result


class FakeChannel(Failing):
    recognises_repeats = False

    def __init__(self, name: str = "email") -> None:
        super().__init__()
        self.name = name
        self.sent: list[Notification] = []

    def is_valid_address(self, address: str) -> bool:
        return is_email_address(address)

    async def send(self, notification: Notification) -> str:
        self._maybe_fail()
        self.sent.append(notification)
        return derived_id("mail", notification.key)


class MemoryLedger(Failing):
    """`fails_to_finish` leaves plans at `intent`, as a crash would; `is_journal` plans as the journal does."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: dict[tuple[str, str], EffectRecord] = {}
        self.fails_to_finish: Exception | None = None
        self.is_journal = False

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        self._maybe_fail()
        planned = dataclasses.replace(effect, is_journaled=self.is_journal)
        return self.effects.setdefault((effect.tenant, effect.key), planned)

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        self._maybe_fail()
        return self.effects.get((tenant, key))

    async def finish_effect(self, effect: EffectRecord) -> None:
        if self.fails_to_finish is not None:
            raise self.fails_to_finish
        self.effects[(effect.tenant, effect.key)] = effect


class ToolWorld:
    """`guard` makes the guard of a dependency; without it, nothing is tried twice. `tools` are there beside the standard ones."""

    def __init__(
        self,
        *customers: Customer,
        observer: ToolObserver | None = None,
        guard: Callable[[str, Clock], Guard] | None = None,
        tools: Sequence[AnyTool] = (),
    ) -> None:
        self.clock = FakeClock()
        self.desk = FakeDesk(self.clock)
        self.directory = FakeDirectory(*(customers or (ANNA,)))
        self.knowledge = FakeKnowledge()
        self.channel = FakeChannel()
        self.ledger = MemoryLedger()
        once = GuardPolicy(retry=RetryPolicy(attempts=1), attempt_seconds=1.0)
        self.guards: Mapping[str, Guard] = {
            name: guard(name, self.clock)
            if guard is not None
            else Guard(name, once, clock=self.clock, rng=random.Random(7))
            for name in DEPENDENCIES
        }
        standard = standard_tools(
            knowledge=self.knowledge,
            desk=self.desk,
            directory=self.directory,
            channels={"email": self.channel},
            guards=self.guards,
            clock=self.clock,
        )
        self.registry = ToolRegistry((*standard, *tools))
        self.handler = ToolErrorHandler(
            self.registry,
            guards=self.guards,
            ledger=self.ledger,
            clock=self.clock,
            errors=StructuredErrorLogger(get_logger("tests")),
            observer=observer,
        )

    def caller(self, customer_id: str = ANNA.customer_id) -> Caller:
        return Caller(kind=CallerKind.CUSTOMER, customer_id=customer_id)

    def visitor(self, customer_id: str = "anon_v1") -> Caller:
        return Caller(kind=CallerKind.VISITOR, customer_id=customer_id)

    def tool_call(self, caller: Caller | None = None, *, step: int = 1, turn: str = "turn_1") -> ToolCall:
        who = caller if caller is not None else self.caller()
        return ToolCall(
            call_id=derived_id("call", turn, str(step)),
            key=derived_id("effect", who.tenant, turn, str(step)),
            step=step,
            caller=who,
            conversation_id="conv_1",
            turn_id=turn,
            locale="en",
            deadline=Deadline(self.clock, 20.0),
        )

    async def call(
        self, tool: str, arguments: Mapping[str, Any], call: ToolCall | None = None, **changes: Any
    ) -> ToolOutcome:
        made = call if call is not None else self.tool_call()
        return await self.handler.call(tool, arguments, dataclasses.replace(made, **changes))


def status_of(outcome: ToolOutcome) -> tuple[ActionStatus, str | None, str | None]:
    """(status, error type, reason): what a test of failures asserts."""
    return outcome.action.status, outcome.action.error_type, outcome.action.reason
