"""
Tool: list the tickets of the customer in this conversation, and of nobody else.
"""

from typing import Annotated, Literal

import msgspec

from core.errors import PermissionDenied
from core.records import Ticket
from tools.ports import TicketDesk
from tools.protocol import ToolCall, ToolResult
from tools.sentences import result_sentence

_MOST_ASKED_FOR = 50
_DESCRIPTION_SHOWN = 300


class FindTicketsArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Annotated[
        Literal["any", "open", "pending", "solved"],
        msgspec.Meta(description="Only tickets in this state."),
    ] = "any"
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=20, description="How many tickets at most, newest first.")
    ] = 5


class FindTickets:
    name = "find_tickets"
    description = "List the support tickets of the customer in this conversation, newest first."
    arguments = FindTicketsArguments
    feature = "tickets"
    dependency: str | None = "tickets"
    needs_account = False
    has_effect = False

    def __init__(self, desk: TicketDesk) -> None:
        self._desk = desk

    async def run(self, arguments: FindTicketsArguments, call: ToolCall) -> ToolResult:
        customer_id = call.caller.customer_id
        if customer_id is None:
            raise PermissionDenied("the caller acts for no customer", reason="permission")
        # A visitor's customer id is a random one of his own, so this shows him what he opened himself.
        asked_for = arguments.limit if arguments.status == "any" else _MOST_ASKED_FOR
        tickets = await self._desk.find_tickets(call.tenant, customer_id, limit=asked_for)
        own = [
            ticket
            for ticket in tickets
            if ticket.customer_id == customer_id and arguments.status in ("any", ticket.status)
        ][: arguments.limit]
        return ToolResult(
            value={"tickets": [_shown(ticket) for ticket in own]},
            summary=result_sentence("tickets_found" if own else "tickets_none", call.locale, count=len(own)),
        )


def _shown(ticket: Ticket) -> dict[str, str]:
    return {
        "reference": ticket.reference,
        "receipt": ticket.receipt,
        "subject": ticket.subject,
        "description": ticket.description[:_DESCRIPTION_SHOWN],
        "status": ticket.status.value,
        "created_at": ticket.created_at.isoformat(),
        "updated_at": ticket.updated_at.isoformat(),
    }
