"""
Questions that mean the same are one gap, the most frequent first, whether vectors tell it or words.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.messages import Action, ActionStatus, Citation, Reply, TurnResult, TurnStatus
from state.sql.unanswered import is_unanswered
from tools.knowledge.embed import Vectors
from tools.knowledge.gaps import Asked, gaps, is_worth_an_article

NOW = datetime(2026, 11, 28, tzinfo=UTC)
QUESTIONS = (
    "do you sell gift cards?",
    "are there gift cards to buy",
    "gift card as a present",
    "how do I close my account",
    "can I close the account",
    "do you ship to the moon",
)


def asked(*questions: str) -> list[Asked]:
    return [Asked(question, NOW - timedelta(hours=age)) for age, question in enumerate(questions)]


def test_words_alone_put_like_questions_together() -> None:
    found = gaps(asked(*QUESTIONS), None)

    assert [gap.times for gap in found] == [3, 2, 1]
    assert {found[0].question, *found[0].examples} == set(QUESTIONS[:3])
    assert found[0].last_asked_at == NOW


def test_vectors_put_together_what_shares_no_word() -> None:
    directions: Vectors = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 0]]

    found = gaps(asked("a b", "c d", "e f", "g h", "i j"), directions)

    assert [gap.times for gap in found] == [3, 2]
    assert {found[0].question, *found[0].examples} == {"a b", "e f", "i j"}


def test_the_same_words_again_count_and_are_shown_once() -> None:
    found = gaps(asked("close my account", "close my account", "close my account"), None)

    assert [(gap.times, gap.question, gap.examples) for gap in found] == [(3, "close my account", ())]


def test_of_equals_the_newest_comes_first_and_nothing_is_nothing() -> None:
    assert [gap.question for gap in gaps(asked("gift cards", "moon shipping"), None)] == [
        "gift cards",
        "moon shipping",
    ]
    assert gaps([], None) == []


@pytest.mark.parametrize(
    ("question", "is_worth"),
    [("hello", False), ("thanks a lot", False), ("ok", False), ("gift cards?", True)],
)
def test_a_greeting_asks_for_no_article(question: str, is_worth: bool) -> None:
    assert is_worth_an_article(question) is is_worth


def action(tool: str, status: ActionStatus = ActionStatus.SUCCEEDED) -> Action:
    return Action(call_id="c", tool=tool, status=status)


@pytest.mark.parametrize(
    ("actions", "is_cited", "expected"),
    [
        ((action("search_knowledge"),), False, True),
        ((action("search_knowledge"),), True, False),
        ((), False, False),
        ((action("search_knowledge", ActionStatus.FAILED),), False, False),
        ((action("search_knowledge"), action("open_ticket", ActionStatus.QUEUED)), False, False),
        ((action("search_knowledge"), action("customer_info", ActionStatus.FAILED)), False, True),
    ],
)
def test_a_turn_that_searched_and_cited_nothing_is_unanswered(
    actions: tuple[Action, ...], is_cited: bool, expected: bool
) -> None:
    cited = (Citation(1, "a", "A", None, "quote"),) if is_cited else ()
    result = TurnResult(
        conversation_id="c",
        turn_id="t",
        message_id="m",
        status=TurnStatus.ANSWERED,
        reply=Reply(message_id="r", text="…", citations=cited),
        actions=actions,
    )

    assert is_unanswered(result) is expected
