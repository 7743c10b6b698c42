"""
What a ticket at a vendor carries so that it is found again: marks made of its key and its customer, and a foot under its text.

A mark is a digest: it says nothing of the customer, and no customer can make another's.
"""

from dataclasses import dataclass

from core.ids import derived_id
from core.records import NewTicket

LABEL = "careline"
_FOOT = "\n\n-- \nReceipt: "
_CONTACT = "Answer to: "
_CONVERSATION = "Conversation: "
_MARKS = "Careline: "


@dataclass(frozen=True, slots=True)
class Marks:
    """`ticket` names one ticket of one tenant, `owner` whoever asked for it: letters, digits and `_`, 29 at most."""

    ticket: str
    owner: str

    @classmethod
    def of(cls, tenant: str, ticket: NewTicket) -> "Marks":
        owner = ticket.customer_id or ticket.conversation_id
        return cls(ticket_mark(tenant, ticket.key), owner_mark(tenant, owner))


def ticket_mark(tenant: str, key: str) -> str:
    return derived_id("tk", tenant, key)


def owner_mark(tenant: str, customer_id: str) -> str:
    return derived_id("cust", tenant, customer_id)


def text_with_foot(tenant: str, ticket: NewTicket) -> str:
    """The description, and under it what whoever works on the ticket must know; `read_text` takes it apart."""
    marks = Marks.of(tenant, ticket)
    lines = [ticket.receipt]
    if ticket.contact is not None:
        lines.append(f"{_CONTACT}{ticket.contact}")
    lines.append(f"{_CONVERSATION}{ticket.conversation_id}")
    lines.append(f"{_MARKS}{marks.ticket} {marks.owner}")
    return ticket.description + _FOOT + "\n".join(lines)


@dataclass(frozen=True, slots=True)
class ReadText:
    description: str
    receipt: str
    marks: Marks


def read_text(text: str) -> ReadText | None:
    """
    None for a text that we did not write, or of which somebody has cut the foot off. Of several feet the last counts: it is
    ours, and whatever stands above it is the customer's.
    """
    if _FOOT not in text:  # a desk's own editor may have stored it with its line ends
        text = text.replace("\r\n", "\n")
    description, found, foot = text.rpartition(_FOOT)
    receipt, *lines = foot.splitlines()[:10] or [""]
    named = [line.removeprefix(_MARKS).split() for line in lines if line.startswith(_MARKS)]
    if not found or len(named) != 1 or len(named[0]) != 2:
        return None
    return ReadText(description, receipt, Marks(*named[0]))
