"""
Tool: open a support ticket for the customer in this conversation, or promise to open it.

The receipt number is made from the call's key, so the customer has it even when the desk cannot be reached. What nearly says
the same as an open ticket is asked about, never merged in silence.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from core.clock import Clock
from core.errors import (
    DependencyError,
    DependencyRejectedInput,
    DuplicateFound,
    FieldError,
    NotFound,
    ValidationFailed,
)
from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import NewTicket, OutboxItem, OutboxKind, Recognition, Ticket, TicketStatus
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from tools.classify import error_type_of, is_for_an_operator, said_of
from tools.ports import CustomerDirectory, TakesAdditions, TicketDesk
from tools.protocol import ToolCall, ToolResult
from tools.questions import question
from tools.sending import SendingRules
from tools.sentences import result_sentence
from tools.ticket_contact import TicketContact
from tools.tickets import put_on_desk, similar_ticket

_COMPARED_TICKETS = 20
_WORD = re.compile(r"\w+")

_log = get_logger(__name__)


class OpenTicketArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: Annotated[
        str, msgspec.Meta(min_length=3, max_length=150, description="The problem in a few words.")
    ]
    description: Annotated[
        str,
        msgspec.Meta(
            min_length=10,
            max_length=5000,
            description="What happened and what is wanted, as the customer told it.",
        ),
    ]
    contact: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=3,
                max_length=254,
                description="E-mail address to answer to, as the customer gave it. Only where this tool asked for one.",
            ),
        ]
        | None
    ) = None
    add_to: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=100,
                description="Reference of the customer's open ticket to add this to. Only where they chose that.",
            ),
        ]
        | None
    ) = None
    is_another: Annotated[
        bool,
        msgspec.Meta(
            description="True only where the customer knows of the similar open ticket and wants another one."
        ),
    ] = False


class OpenTicketIntent(NewTicket, frozen=True):
    """`is_another` says that the customer knows of a similar ticket."""

    is_another: bool = False


class OpenTicket:
    name = "open_ticket"
    description = (
        "Open a support ticket for the customer in this conversation. Ask for subject and description first."
    )
    arguments = OpenTicketArguments
    intent = OpenTicketIntent
    feature = "tickets"
    dependency: str | None = "tickets"
    needs_account = False
    has_effect = True
    asks_first = False

    def __init__(
        self,
        desk: TicketDesk,
        directory: CustomerDirectory,
        *,
        directory_guard: Guard,
        clock: Clock,
        rules: SendingRules | None = None,
    ) -> None:
        self._desk = desk
        self._contact = TicketContact(directory, directory_guard, rules)
        self._clock = clock

    @property
    def is_repeatable(self) -> bool:
        return self._desk.recognition is Recognition.KEY

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        if not isinstance(arguments, OpenTicketArguments):
            raise TypeError("arguments of another tool")
        given = {"subject": arguments.subject, "description": arguments.description}
        if arguments.add_to is not None:
            return question("add_to_ticket", locale, reference=arguments.add_to, **given)
        return question("open_ticket", locale, **given)

    async def plan(self, arguments: OpenTicketArguments, call: ToolCall) -> OpenTicketIntent:
        subject = " ".join(arguments.subject.split())
        description = arguments.description.strip()
        if not _WORD.search(subject):
            raise _wrong("subject", "needs words")
        if not _WORD.search(description):
            raise _wrong("description", "needs words")
        if arguments.add_to is not None and not isinstance(self._desk, TakesAdditions):
            raise _wrong("add_to", "is not possible here: leave it out, or open another ticket")
        return OpenTicketIntent(
            key=call.key,
            receipt=receipt_for(call.key),
            customer_id=call.caller.customer_id,
            conversation_id=call.conversation_id,
            subject=subject,
            description=description,
            contact=await self._contact.for_ticket(
                call, given=arguments.contact, is_needed=arguments.add_to is None
            ),
            adds_to=arguments.add_to,
            is_another=arguments.is_another,
        )

    async def carry_out(self, intent: OpenTicketIntent, call: ToolCall) -> ToolResult:
        if intent.customer_id is not None and not intent.is_another and self._desk.lists_tickets:
            known = await self._known(intent.customer_id, call)
            if intent.adds_to is None:
                self._ask_about_a_similar_one(intent, known)
            elif not any(_is_open(ticket, intent) for ticket in known):
                raise NotFound("no open ticket of this customer has this reference", reason="not_found")
        ticket = await put_on_desk(self._desk, call.tenant, _for_the_desk(intent))
        return ToolResult(
            value={"receipt": intent.receipt, "reference": ticket.reference, "status": ticket.status.value},
            summary=result_sentence(
                "ticket_opened" if intent.adds_to is None else "ticket_added_to",
                call.locale,
                reference=ticket.reference,
                receipt=intent.receipt,
            ),
            receipt=intent.receipt,
            reference=ticket.reference,
        )

    def put_off(self, intent: OpenTicketIntent, call: ToolCall) -> ToolResult:
        return ToolResult(
            value={"receipt": intent.receipt, "reference": None, "status": "queued"},
            summary=result_sentence("ticket_queued", call.locale, receipt=intent.receipt),
            status=ActionStatus.QUEUED,
            receipt=intent.receipt,
            outbox=(_promise(intent, call),),
            degraded=(("tickets", "tickets"),),
        )

    def kept(self, intent: OpenTicketIntent, call: ToolCall, exc: Exception) -> ToolResult | None:
        """
        Due again and again where an operator mends what refuses us; a row for a person where the desk does not want this.
        """
        is_unwanted = isinstance(exc, DependencyRejectedInput)
        if not is_unwanted and not is_for_an_operator(exc):
            return None
        if is_unwanted:
            _log.error(
                "outbox.given_up",
                receipt=intent.receipt,
                kind=OutboxKind.TICKET.value,
                tenant=call.tenant,
                conversation_id=call.conversation_id,
                attempts=0,
                error_type=error_type_of(exc).value,
            )
        return ToolResult(
            value={"receipt": intent.receipt, "reference": None, "status": "queued"},
            summary=result_sentence("ticket_kept", call.locale, receipt=intent.receipt),
            status=ActionStatus.QUEUED,
            receipt=intent.receipt,
            reason="kept_for_a_person",
            outbox=(_promise(intent, call, error=said_of(exc) if is_unwanted else None),),
            degraded=() if is_unwanted else (("tickets", "tickets"),),
        )

    def unsure(self, intent: OpenTicketIntent, call: ToolCall) -> ToolResult:
        """
        A desk that recognises the key is simply asked again. Else the outbox looks the ticket up, or leaves that to a person.
        """
        if self._desk.recognition is Recognition.KEY:
            return self.put_off(intent, call)
        is_looked_up = self._desk.recognition is Recognition.LOOKUP
        return ToolResult(
            value={"receipt": intent.receipt, "reference": None, "status": "unknown"},
            summary=result_sentence(
                "ticket_looked_up" if is_looked_up else "ticket_unknown", call.locale, receipt=intent.receipt
            ),
            status=ActionStatus.UNKNOWN,
            receipt=intent.receipt,
            reason="fate_unknown",
            outbox=(_promise(intent, call),),
            degraded=(("tickets", "tickets"),),
        )

    async def _known(self, customer_id: str, call: ToolCall) -> Sequence[Ticket]:
        try:
            return await self._desk.find_tickets(call.tenant, customer_id, limit=_COMPARED_TICKETS)
        except DependencyError as exc:
            exc.may_have_happened = False  # it only looked
            raise

    def _ask_about_a_similar_one(self, intent: OpenTicketIntent, known: Sequence[Ticket]) -> None:
        similar = similar_ticket(intent, known, now=self._clock.now())
        if similar is None:
            return
        can_add = isinstance(self._desk, TakesAdditions)
        raise DuplicateFound(
            "an open ticket says nearly the same", existing=similar.reference, can_be_added_to=can_add
        )


def _is_open(ticket: Ticket, intent: OpenTicketIntent) -> bool:
    return (
        ticket.reference == intent.adds_to
        and ticket.customer_id == intent.customer_id
        and ticket.status is not TicketStatus.SOLVED
    )


def _for_the_desk(intent: OpenTicketIntent) -> NewTicket:
    return NewTicket(**{name: getattr(intent, name) for name in NewTicket.__struct_fields__})


def _promise(intent: OpenTicketIntent, call: ToolCall, *, error: str | None = None) -> OutboxItem:
    return OutboxItem(
        key=intent.key,
        kind=OutboxKind.TICKET,
        tenant=call.tenant,
        conversation_id=call.conversation_id,
        payload=msgspec.to_builtins(_for_the_desk(intent)),
        locale=call.locale,
        error=error,
    )


def _wrong(field: str, why: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {why}", fields=(FieldError(("arguments", field), why, "value_error"),))
