"""At a conversation's end: what is stored is what was said, once and in order, and what was told as done was done once."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.replay.endings import Effect, check_end
from agent.replay.rows import Finding, ReplayedTurn
from agent.replay.rules import Rule
from core.messages import ActionStatus, Message, MessageRole
from tests.unit.replay.turns import answer, opened, recording, row_of

SAID = ("Can I return it?", "And a lid?", "Thanks")
RECEIPT = "R-7QK2M4XWZC"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def rows_of(*, error_at: int | None = None) -> list[ReplayedTurn]:
    return [
        row_of(
            answer(f"Answer {n}", turn_id=f"turn_{n}"),
            customer=text,
            turn=n,
            **({"error": "timeout_error: none", "reply": ""} if n == error_at else {}),
        )
        for n, text in enumerate(SAID, start=1)
    ]


def stored(rows: Sequence[ReplayedTurn]) -> list[tuple[MessageRole, str]]:
    return [
        each
        for row in rows
        for each in ((MessageRole.CUSTOMER, row.customer), (MessageRole.AGENT, f"Answer {row.turn}"))
    ]


def messages_of(said: Sequence[tuple[MessageRole, str]]) -> list[Message]:
    return [
        Message(message_id=f"m{seq}", seq=seq, role=role, text=text, at=NOON)
        for seq, (role, text) in enumerate(said, start=1)
    ]


def rules_of(findings: Sequence[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_a_whole_conversation_breaks_no_rule() -> None:
    rows = rows_of()
    note = (MessageRole.SYSTEM, "Your request is ticket T-1.")

    assert check_end(recording(*SAID), rows) == ()
    assert check_end(recording(*SAID), rows, messages=messages_of([*stored(rows), note]), effects=[]) == ()


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda said: said[:-1], "not stored: agent: 'Answer 3'"),
        (lambda said: said[1:], "not stored: customer: 'Can I return it?'"),
        (lambda said: [*said, said[-1]], "stored and not seen: agent: 'Answer 3'"),
        (lambda said: [said[2], *said[1:2], said[0], *said[3:]], "stored in another order: customer"),
    ],
)
def test_a_message_lost_doubled_or_moved_in_the_record_is_found(
    spoil: Callable[[list[tuple[MessageRole, str]]], list[tuple[MessageRole, str]]], seen: str
) -> None:
    rows = rows_of()

    findings = check_end(recording(*SAID), rows, messages=messages_of(spoil(stored(rows))))

    assert rules_of(findings) == {Rule.LOST_OR_DOUBLED}
    assert seen in [finding.detail for finding in findings]


def test_a_gap_in_the_numbers_is_found() -> None:
    rows = rows_of()
    first, *rest = messages_of([(MessageRole.SYSTEM, "x"), *stored(rows)])

    findings = check_end(recording(*SAID), rows, messages=rest)

    assert first.seq == 1
    assert [finding.detail for finding in findings] == ["the stored messages are numbered [2, 3, 4, 5, 6, 7]"]


def test_a_turn_that_was_never_replayed_is_found() -> None:
    findings = check_end(recording(*SAID), rows_of()[:2])

    assert [finding.detail for finding in findings] == ["3 customer messages, 2 rows"]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_of_a_turn_that_broke_off_nobody_knows_whether_it_was_stored(kept: int) -> None:
    rows = rows_of(error_at=3)
    said = stored(rows[:2]) + stored(rows[2:])[:kept]

    assert check_end(recording(*SAID), rows, messages=messages_of(said)) == ()
    assert rules_of(check_end(recording(*SAID), rows, messages=messages_of(said[1:]))) == {
        Rule.LOST_OR_DOUBLED
    }


def test_while_a_person_has_it_an_acknowledgement_need_not_be_kept() -> None:
    rows = [msgspec.structs.replace(row, status="handed_over") for row in rows_of()]
    said = stored(rows)
    customer_only = [each for each in said[2:] if each[0] is MessageRole.CUSTOMER]

    assert check_end(recording(*SAID), rows, messages=messages_of(said)) == ()
    assert check_end(recording(*SAID), rows, messages=messages_of([*said[:2], *customer_only])) == ()
    lost = check_end(recording(*SAID), rows, messages=messages_of([said[0], *customer_only]))
    assert [finding.detail for finding in lost] == ["not stored: agent: 'Answer 1'"]


@given(st.data())
def test_whatever_one_stored_message_is_taken_out_or_put_in_is_found(data: st.DataObject) -> None:
    rows = rows_of()
    said = stored(rows)
    place = data.draw(st.integers(0, len(said) - 1))
    is_lost = data.draw(st.booleans())
    spoiled = said[:place] + said[place + 1 :] if is_lost else [*said[:place], said[place], *said[place:]]

    assert check_end(recording(*SAID), rows, messages=messages_of(spoiled)) != ()


def ticket(receipt: str = RECEIPT, number: str = "T-1") -> Effect:
    return Effect(receipt=receipt, what=f"ticket {number}")


def told(status: ActionStatus = ActionStatus.SUCCEEDED) -> list[ReplayedTurn]:
    return [row_of(answer("Done.", actions=(opened(status),)), customer=SAID[0])]


@pytest.mark.parametrize(
    ("effects", "rule"),
    [
        ([ticket(), ticket(number="T-2")], Rule.EFFECT_TWICE),
        ([ticket(), ticket("R-ANOTHER222")], Rule.EFFECT_TWICE),
        ([], Rule.EFFECT_LOST),
    ],
)
def test_an_effect_done_twice_or_never_is_found(effects: list[Effect], rule: Rule) -> None:
    assert rules_of(check_end(recording(SAID[0]), told(), effects=effects)) == {rule}


def test_what_was_told_as_done_once_was_done_once() -> None:
    assert check_end(recording(SAID[0]), told(), effects=[ticket()]) == ()


@pytest.mark.parametrize("status", [ActionStatus.QUEUED, ActionStatus.UNKNOWN, ActionStatus.FAILED])
def test_what_was_promised_or_failed_may_be_done_or_not(status: ActionStatus) -> None:
    assert check_end(recording(SAID[0]), told(status), effects=[]) == ()
    assert check_end(recording(SAID[0]), told(status), effects=[ticket()]) == ()


def test_of_a_turn_that_broke_off_an_effect_may_be_there_untold() -> None:
    rows = [row_of(answer(), customer=SAID[0], error="timeout_error: none")]

    assert check_end(recording(SAID[0]), rows, effects=[ticket()]) == ()
    assert rules_of(check_end(recording(SAID[0]), rows, effects=[ticket(), ticket()])) == {Rule.EFFECT_TWICE}
