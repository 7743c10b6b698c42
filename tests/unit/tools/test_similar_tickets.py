"""Claims about when two tickets say nearly the same, measured on real questions."""

import csv
import itertools
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core.records import NewTicket, Ticket, TicketStatus
from tests.data import shared
from tools.tickets import similar_ticket

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def wanted(text: str, *, customer_id: str = "anna") -> NewTicket:
    return NewTicket("key", "R-NEW", customer_id, "conv", text[:60], text)


def known(text: str, *, status: TicketStatus = TicketStatus.OPEN, days_ago: float = 1.0) -> Ticket:
    at = NOW - timedelta(days=days_ago)
    return Ticket("T-1", "R-OLD", "anna", text[:60], text, status, at, at)


def are_similar(one: str, other: str) -> bool:
    return similar_ticket(wanted(one), [known(other)], now=NOW) is not None


def told_again(text: str) -> Iterator[str]:
    words = text.split()
    yield f"Hello, {text[0].lower()}{text[1:]}"
    yield f"{text} Please help me!"
    yield text.upper()
    yield f"{text} I already waited for two days."
    yield re.sub(r"\bI\b", "we", text)
    if len(words) > 6:
        yield " ".join(words[:-2])


@pytest.mark.data
def test_a_question_told_again_is_recognised_and_another_question_is_not() -> None:
    with shared("banking77/train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rng = random.Random(1)
    chosen = [row for row in rng.sample(rows, 600) if len(row["text"].split()) >= 6]

    again = [are_similar(version, row["text"]) for row in chosen[:200] for version in told_again(row["text"])]
    others = [
        are_similar(one["text"], other["text"])
        for one, other in itertools.islice(itertools.combinations(chosen, 2), 20_000)
        if one["category"] != other["category"]
    ]

    assert sum(again) / len(again) >= 0.97
    assert sum(others) / len(others) <= 0.001


@pytest.mark.parametrize(
    ("ticket", "why"),
    [
        (known("My lamp is broken", status=TicketStatus.SOLVED), "solved"),
        (known("My lamp is broken", days_ago=31), "old"),
    ],
)
def test_what_is_solved_or_old_is_not_asked_about(ticket: Ticket, why: str) -> None:
    assert similar_ticket(wanted("My lamp is broken"), [ticket], now=NOW) is None, why


def test_another_customers_ticket_is_never_the_one() -> None:
    assert (
        similar_ticket(wanted("My lamp is broken", customer_id="ben"), [known("My lamp is broken")], now=NOW)
        is None
    )


def test_words_that_carry_nothing_are_compared_as_they_stand() -> None:
    assert are_similar("It is not on!", "it is not on")
    assert not are_similar("It is not on", "What is this about?")
