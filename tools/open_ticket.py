"""
Tool: open a support ticket for the customer in this conversation, or promise to open it.

The receipt number is made from the call's key, so the customer has it even when the desk cannot be reached.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import msgspec

from core.clock import Clock
from core.errors import DuplicateFound, FieldError, ValidationFailed
from core.identity import CallerKind
from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import NewTicket, OutboxItem, OutboxKind, Ticket, TicketStatus
from tools.addresses import is_email_address
from tools.ports import TicketDesk
from tools.protocol import ToolCall, ToolResult
from tools.sentences import result_sentence

_DUPLICATE_WITHIN = timedelta(days=1)
_COMPARED_TICKETS = 20
_WORD = re.compile(r"\w+")


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
                description="E-mail address to answer to, as given. Only for visitors without an account.",
            ),
        ]
        | None
    ) = None


class OpenTicket:
    name = "open_ticket"
    description = (
        "Open a support ticket for the customer in this conversation. Ask for subject and description first."
    )
    arguments = OpenTicketArguments
    intent = NewTicket
    feature = "tickets"
    dependency: str | None = "tickets"
    needs_account = False
    has_effect = True
    is_repeatable = True

    def __init__(self, desk: TicketDesk, *, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    async def plan(self, arguments: OpenTicketArguments, call: ToolCall) -> NewTicket:
        subject = " ".join(arguments.subject.split())
        description = arguments.description.strip()
        if not _WORD.search(subject):
            raise _wrong("subject", "needs words")
        if not _WORD.search(description):
            raise _wrong("description", "needs words")
        return NewTicket(
            key=call.key,
            receipt=receipt_for(call.key),
            customer_id=call.caller.customer_id,
            conversation_id=call.conversation_id,
            subject=subject,
            description=description,
            contact=_contact(arguments.contact, call),
        )

    async def carry_out(self, intent: NewTicket, call: ToolCall) -> ToolResult:
        if intent.customer_id is not None:
            known = await self._desk.find_tickets(call.tenant, intent.customer_id, limit=_COMPARED_TICKETS)
            self._refuse_a_duplicate(intent, known)
        ticket = await self._desk.open_ticket(call.tenant, intent)
        return ToolResult(
            value={"receipt": intent.receipt, "reference": ticket.reference, "status": ticket.status.value},
            summary=result_sentence(
                "ticket_opened", call.locale, reference=ticket.reference, receipt=intent.receipt
            ),
            receipt=intent.receipt,
            reference=ticket.reference,
        )

    def put_off(self, intent: NewTicket, call: ToolCall) -> ToolResult:
        return ToolResult(
            value={"receipt": intent.receipt, "reference": None, "status": "queued"},
            summary=result_sentence("ticket_queued", call.locale, receipt=intent.receipt),
            status=ActionStatus.QUEUED,
            receipt=intent.receipt,
            outbox=(
                OutboxItem(
                    key=intent.key,
                    kind=OutboxKind.TICKET,
                    tenant=call.tenant,
                    conversation_id=call.conversation_id,
                    payload=msgspec.to_builtins(intent),
                    locale=call.locale,
                ),
            ),
            degraded=(("tickets", "tickets"),),
        )

    def unsure(self, intent: NewTicket, call: ToolCall) -> ToolResult:
        """The desk recognises the key, so the ticket is simply asked for again."""
        return self.put_off(intent, call)

    def _refuse_a_duplicate(self, intent: NewTicket, known: Sequence[Ticket]) -> None:
        content = _content(intent.subject, intent.description)
        not_before = self._clock.now() - _DUPLICATE_WITHIN
        for ticket in known:
            if (
                ticket.customer_id == intent.customer_id
                and ticket.status is not TicketStatus.SOLVED
                and ticket.receipt != intent.receipt  # else this is the very ticket, opened before a crash
                and ticket.created_at >= not_before
                and _content(ticket.subject, ticket.description) == content
            ):
                raise DuplicateFound("an open ticket says the same", existing=ticket.reference)


def _contact(given: str | None, call: ToolCall) -> str | None:
    """
    Where to answer. A known customer's address comes from the credentials: a model may not divert the answer.
    """
    if call.caller.kind not in (CallerKind.VISITOR, CallerKind.LOCAL):
        return call.caller.email
    if given is None:
        if call.caller.kind is CallerKind.VISITOR:
            raise ValidationFailed(
                "a visitor's ticket needs an address",
                fields=(FieldError(("arguments", "contact"), "is needed from a visitor", "missing"),),
                reason="contact_missing",
            )
        return call.caller.email
    address = given.strip()
    if not is_email_address(address):
        raise ValidationFailed(
            "the contact is no e-mail address",
            fields=(FieldError(("arguments", "contact"), "must be one e-mail address", "value_error"),),
            reason="invalid_address",
        )
    return address


def _content(subject: str, description: str) -> tuple[str, str]:
    """Case, punctuation and spacing do not make a new problem."""
    return " ".join(_WORD.findall(subject.casefold())), " ".join(_WORD.findall(description.casefold()))


def _wrong(field: str, why: str) -> ValidationFailed:
    return ValidationFailed(f"{field} {why}", fields=(FieldError(("arguments", field), why, "value_error"),))
