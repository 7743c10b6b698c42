"""
Put what the tools found about a customer into sentences. Every fact in them is a value of the tool.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.brain.phrases import Phrases


def order_lines(orders: Sequence[Mapping[str, Any]], phrases: Phrases) -> str:
    return "\n".join(f"- {_order(order, phrases)}" for order in orders)


def profile_lines(profile: Mapping[str, Any], phrases: Phrases) -> str:
    named = [(name, label, profile.get(name)) for name, label in phrases.profile_labels.items()]
    named += [
        (name, name.replace("_", " ").capitalize(), value)
        for name, value in (profile.get("attributes") or {}).items()
    ]
    undeliverable = profile.get("undeliverable", ())
    lines = [
        f"- {label}: {phrases.profile_undeliverable.format(value=value) if name in undeliverable else value}"
        for name, label, value in named
        if isinstance(value, str | int | float)
    ]
    return "\n".join([phrases.profile_heading, *lines])


def ticket_lines(tickets: Sequence[Mapping[str, Any]], phrases: Phrases) -> str:
    return "\n".join(
        "- "
        + phrases.ticket_line.format(
            reference=ticket["reference"],
            subject=ticket["subject"],
            status=phrases.ticket_statuses.get(ticket["status"], ticket["status"]),
            updated=day_in_words(ticket["updated_at"], phrases),
        )
        for ticket in tickets
    )


def _order(order: Mapping[str, Any], phrases: Phrases) -> str:
    said = [
        phrases.order.format(
            order_id=order["order_id"], items=", ".join(order["items"]), status=order["status"]
        ),
        phrases.order_placed.format(date=day_in_words(order["placed_at"], phrases)),
        phrases.order_total.format(amount=f"{order['total_cents'] / 100:.2f}", currency=order["currency"]),
    ]
    if order.get("expected_at"):
        said.append(phrases.order_expected.format(date=day_in_words(order["expected_at"], phrases)))
    if order.get("tracking"):
        said.append(phrases.order_tracking.format(number=order["tracking"]))
    return "; ".join(said)


def day_in_words(iso: str, phrases: Phrases) -> str:
    moment = datetime.fromisoformat(iso)
    return phrases.date.format(day=moment.day, month=phrases.months[moment.month - 1], year=moment.year)
