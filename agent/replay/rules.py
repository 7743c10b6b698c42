"""
The rules that every replay is held against: their names, and what each asks.
"""

from collections.abc import Mapping
from enum import StrEnum

_SHOWN = 80


class Rule(StrEnum):
    """The names under which findings of `invariants` and `endings` stand in `turns.jsonl` and are counted."""

    UNANSWERED = "unanswered"
    LOST_OR_DOUBLED = "lost_or_doubled"
    EFFECT_TWICE = "effect_twice"
    EFFECT_LOST = "effect_lost"
    INTERNAL_TEXT = "internal_text"
    SECRET = "secret"  # noqa: S105 - the name of a rule
    CITATION = "citation_not_literal"
    DEGRADED = "degraded_not_named"
    OTHERS_DATA = "others_data"
    TOO_LATE = "too_late"


ASKED: Mapping[Rule, str] = {
    Rule.UNANSWERED: "each customer message is answered",
    Rule.LOST_OR_DOUBLED: "no message and no answer is lost or doubled",
    Rule.EFFECT_TWICE: "nothing is done twice, and nothing that no turn told of",
    Rule.EFFECT_LOST: "what was told as done was done",
    Rule.INTERNAL_TEXT: "no text of the inside reaches the customer",
    Rule.SECRET: "no key and no password reaches the customer",
    Rule.CITATION: "each citation stands literally in its article",
    Rule.DEGRADED: "what a turn had to do without is named",
    Rule.OTHERS_DATA: "a customer reads of nobody else's data",
    Rule.TOO_LATE: "the answer comes within the deadline",
}


def shortened(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
