"""
What the service works on and for: a ticket desk and a mail channel that act and then say nothing, and a brain that counts.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from core.clock import Clock
from core.errors import DependencyTimeout, DependencyUnavailable
from core.messages import BrainName, DegradedPart, TurnResult
from core.records import Customer, NewTicket, Notification, Recognition, Ticket, TicketStatus

SEEN = "seen"
"""The brain's note: the ids of all customer messages that it has answered, in the order of its turns."""


class Unreliable:
    """Fails before, or after, it did what it was asked for; by `chance` each."""

    dependency = ""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.chance = 0.0

    async def _before(self) -> None:
        await asyncio.sleep(self._rng.random() * 0.01)
        if self._rng.random() < self.chance:
            raise DependencyUnavailable(self.dependency, "refused")

    async def _after(self) -> None:
        if self._rng.random() < self.chance:
            await asyncio.sleep(0.4)
            raise DependencyTimeout(self.dependency, "no answer", may_have_happened=True)


class SimulatedDesk(Unreliable):
    """Implements `tools.ports.TicketDesk`."""

    dependency = "tickets"
    recognition = Recognition.KEY
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        super().__init__(rng)
        self._clock = clock
        self.by_key: dict[str, Ticket] = {}
        self.subjects: Counter[str] = Counter()

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        await self._before()
        if ticket.key not in self.by_key:
            self.subjects[ticket.subject] += 1
            self.by_key[ticket.key] = Ticket(
                reference=f"T-{len(self.by_key) + 1}",
                receipt=ticket.receipt,
                customer_id=ticket.customer_id,
                subject=ticket.subject,
                description=ticket.description,
                status=TicketStatus.OPEN,
                created_at=self._clock.now(),
                updated_at=self._clock.now(),
            )
        await self._after()
        return self.by_key[ticket.key]

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        return self.by_key.get(key)

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        await self._before()
        return ()


class SimulatedChannel(Unreliable):
    """Implements `tools.ports.NotificationChannel`; it knows no keys, so what it is given twice is sent twice."""

    dependency = "notifications"
    name = "email"
    recognises_repeats = False

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.sent: Counter[str] = Counter()

    def is_valid_address(self, address: str) -> bool:
        return True

    async def send(self, notification: Notification) -> str:
        await self._before()
        self.sent[notification.subject] += 1
        await self._after()
        return f"mail-{sum(self.sent.values())}"


class SimulatedDirectory:
    """Implements `tools.ports.CustomerDirectory`."""

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        return Customer(customer_id=customer_id, name="Ada", email="ada@example.org")


class CountingBrain:
    """
    Does what the messages say: `think` waits, `ticket` opens a ticket, `notify` writes to the customer.

    Each reply differs, also between two runs of one turn, so that two answers are never taken for one.
    """

    name: BrainName = "embedded"

    def __init__(self, runs: Counter[str], at: str) -> None:
        self._runs = runs
        self._at = at

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        self._runs["turns run"] += 1
        self._runs[turn.turn_id] += 1
        run = self._runs[turn.turn_id]
        seen = [*turn.state.notes.get(SEEN, ()), *(message.message_id for message in turn.fresh)]
        for message in turn.fresh:
            await self._obey(message.text, tools)
        text = f"{self._at} answers {len(turn.fresh)}, {len(seen)} in all, run {run} of {turn.turn_id}"
        await out.text(text)
        return BrainReply(text=text, state=msgspec.structs.replace(turn.state, notes={SEEN: seen}))

    async def _obey(self, text: str, tools: ToolCaller) -> None:
        name, *orders = text.split()
        for order in orders:
            if order == "ticket":
                await tools.call(
                    "open_ticket", {"subject": f"Ticket {name}", "description": f"Please mend {name}."}
                )
            elif order == "notify":
                await tools.call("notify", {"subject": f"Mail {name}", "body": "As you wished."})
            elif order.startswith("think="):
                await asyncio.sleep(float(order.removeprefix("think=")))


class NothingIsDown:
    def is_down(self, dependency: str) -> bool:
        return False

    def parts(self, pairs: Sequence[tuple[str, str]], locale: str, **_: object) -> tuple[DegradedPart, ...]:
        return ()


class NoMetrics:
    def turn_finished(self, result: TurnResult, *, seconds: float) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_facts: None
