"""
The ticket dialogue: what is known, what to ask next, and what a customer's words put where.

Pure values; calling the tool and saying the questions is left to `agent.brain.embedded`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from state.models import OpenFlow
from tools.addresses import is_email_address

TICKET = "ticket"

Slot = Literal["subject", "description", "contact"]

_SUBJECT_CHARACTERS = 150
_DESCRIPTION_CHARACTERS = 5000
_LEAST_DESCRIPTION = 10
_LEAST_SUBJECT = 3

_ABOUT = re.compile(
    r"\b(?:tickets?|cases?|complaints?|complain)\b(?:\s+(?:please|now|for\s+me|with\s+you))*\s*"
    r"(?::|[-–]\s|,|\b(?:about|because|that\s+says|saying|regarding|concerning|since|as|for|on)\b)\s*(.+)$"
    r"|\breport\s+(?:a|an|the|my)\s+\w+\s*(?::|[-–]\s|\b(?:with|about|of)\b)\s*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_POINTS_BACK = re.compile(
    r"^\W*(?:it|that|this|them|these|those|the\s+above|my\s+(?:problem|question|issue))\W*$", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_EMAIL = re.compile(r"[^\s<>,;()\"@]{1,64}@[^\s<>,;()\"]{1,255}")


def subject_in(text: str) -> str | None:
    """What a request for a ticket already says that it is about: "open a ticket: my lamp flickers"."""
    found = _ABOUT.search(text)
    about = (found[1] or found[2]).strip() if found else ""
    return about if re.search(r"\w", about) and not _POINTS_BACK.match(about) else None


def points_back(text: str) -> bool:
    """ "Open a ticket about it": what it is about was said before."""
    found = _ABOUT.search(text)
    return found is not None and _POINTS_BACK.match((found[1] or found[2]).strip()) is not None


def opened(*, about: str, at: datetime) -> OpenFlow:
    """`about` may be empty, a subject, or the whole story."""
    flow = OpenFlow(name=TICKET, asked="subject", started_at=at)
    return filled(flow, about) if about else flow


def next_slot(flow: OpenFlow, *, needs_contact: bool) -> Slot | None:
    """What to ask for next; None when the ticket can be opened."""
    if len(flow.slots.get("subject", "")) < _LEAST_SUBJECT:
        return "subject"
    if len(_description(flow.slots)) < _LEAST_DESCRIPTION:
        return "description"
    if needs_contact and "contact" not in flow.slots:
        return "contact"
    return None


def asking(flow: OpenFlow, slot: Slot | None) -> OpenFlow:
    return msgspec.structs.replace(flow, asked=slot)


def filled(flow: OpenFlow, text: str) -> OpenFlow:
    """
    The asked slot filled from a customer's words; unchanged when they do not fit.

    A subject of several sentences is a description too: its first sentence becomes the subject.
    """
    text = text.strip()
    if flow.asked == "contact":
        found = _EMAIL.search(text)
        address = found[0].rstrip(".!?:") if found else ""
        return _with(flow, contact=address) if is_email_address(address) else flow
    if flow.asked == "description":
        known = flow.slots.get("description")
        return _with(flow, description=(f"{known}\n{text}" if known else text)[:_DESCRIPTION_CHARACTERS])
    if not re.search(r"\w", text):
        return flow
    subject = _shortened(text)
    flow = _with(flow, subject=subject)
    return flow if subject == text else _with(flow, description=text[:_DESCRIPTION_CHARACTERS])


def without_description(flow: OpenFlow) -> OpenFlow:
    """The customer has nothing to add: the subject says it all."""
    return _with(flow, description=flow.slots.get("subject", ""))


def without_contact(flow: OpenFlow) -> OpenFlow:
    return msgspec.structs.replace(flow, slots={k: v for k, v in flow.slots.items() if k != "contact"})


def arguments(flow: OpenFlow) -> dict[str, Any]:
    """For the tool `open_ticket`."""
    given = {"subject": flow.slots["subject"], "description": _description(flow.slots)}
    return given | {"contact": flow.slots["contact"]} if "contact" in flow.slots else given


def _description(slots: Mapping[str, str]) -> str:
    """What is too short to stand alone stands beside the subject."""
    description = slots.get("description", "")
    if not description or len(description) >= _LEAST_DESCRIPTION:
        return description
    return f"{slots.get('subject', '')}: {description}"


def _shortened(text: str) -> str:
    first = next((sentence for sentence in _SENTENCE.split(text.strip()) if sentence.strip()), "")
    if len(first) <= _SUBJECT_CHARACTERS:
        return first
    return first[: _SUBJECT_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"


def _with(flow: OpenFlow, **slots: str) -> OpenFlow:
    return msgspec.structs.replace(flow, slots={**flow.slots, **slots})
