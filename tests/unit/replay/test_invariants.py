"""A turn as it should be breaks no rule; each breach is found under its name, and what only looks like one is not."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.brain.prompts import rules
from agent.replay.internal_text import InternalText
from agent.replay.invariants import Known, check
from agent.replay.private_values import PrivateValues
from agent.replay.rows import Finding, ReplayedTool
from agent.replay.rules import ASKED, Rule
from core.errors import ErrorType
from core.messages import ActionStatus, Citation, Durability, TurnResult
from core.records import Customer, Order
from core.resilience.degradation import FEATURES
from core.resilience.degraded_wording import WORDINGS, degraded_sentence
from tests.unit.replay.turns import ARTICLES, QUOTE, answer, missing, opened, recording, row_of
from tools import sentences

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
KIM = Customer(customer_id="kim", name="Kim Lee", email="kim@lee.example", phone="+49 170 1234567")
ADA = Customer(
    customer_id="ada",
    name="Ada Alvarez",
    email="ada@alvarez.example",
    phone="+34 91 555 01 99",
    attributes={"plan": "gold", "address": {"street": "Calle Mayor 12", "city": "Madrid"}},
    orders=(
        Order("QC204918", NOON, "sent", ("kettle",), 1900, "EUR", tracking="BX7731900421GB"),
        Order("77", NOON, "sent", ("lid",), 100, "EUR"),
    ),
)
SECRET = "k9-Vt7_qPz-settings"
RULES = rules("our shop")


def known(**more: Any) -> Known:
    given: dict[str, Any] = {
        "longest_ms": 1000.0,
        "article": ARTICLES.get,
        "private": PrivateValues([KIM, ADA]),
        "internal": InternalText(names=["desk-7.shop.example"], secrets=[SECRET], instructions=[RULES]),
    }
    return Known(**{**given, **more})


def found_in(
    result: TurnResult | None, *, said: Sequence[str] = ("Can I return it?",), **row: Any
) -> list[Finding]:
    recorded = recording(*said)
    made = row_of(result or answer(), customer=said[-1], turn=len(said), **row)
    earlier = [
        row_of(answer(turn_id=f"turn_0{n}"), customer=text, turn=n) for n, text in enumerate(said[:-1], 1)
    ]
    return list(check(recorded, earlier, made, result=result, known=known()))


def rules_of(findings: Sequence[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


def test_a_turn_as_it_should_be_breaks_no_rule() -> None:
    result = answer(
        f"{QUOTE} [1] Your order QC1 is kim@lee.example's, +49 (170) 123-4567, Kim Lee.",
        actions=(opened(),),
        degraded=(missing("tickets", "tickets"),),
        quick_replies=("Open a ticket",),
    )

    assert found_in(result) == []


def test_every_rule_is_worded_for_whoever_reads_of_it() -> None:
    assert set(ASKED) == set(Rule)


# -- answered, once, in time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row", [{"error": "timeout_error: no answer"}, {"reply": " \n"}, {"reply": "", "status": "accepted"}]
)
def test_a_message_without_an_answer_is_found(row: dict[str, Any]) -> None:
    assert rules_of(found_in(None, **row)) == {Rule.UNANSWERED}


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ({"turn": 3}, "turn 3 where turn 2 was due"),
        ({"customer": "Something else"}, "'And a lid?', replayed was 'Something else'"),
        ({"turn_id": "turn_01"}, "the answer of turn_01"),
    ],
)
def test_a_lost_or_doubled_turn_is_found(row: dict[str, Any], seen: str) -> None:
    recorded = recording("Can I return it?", "And a lid?", "Thanks")
    first = row_of(answer(turn_id="turn_01"))
    second = row_of(answer(turn_id="turn_02"), **{"turn": 2, "customer": "And a lid?", **row})

    findings = check(recorded, [first], second, result=answer(), known=known())

    assert rules_of(findings) == {Rule.LOST_OR_DOUBLED}
    assert seen in findings[0].detail


def test_more_turns_than_were_recorded_are_found() -> None:
    recorded = recording("Can I return it?")

    findings = check(
        recorded,
        [row_of(answer(turn_id="turn_01"))],
        row_of(answer(), turn=2),
        result=answer(),
        known=known(),
    )

    assert [finding.detail for finding in findings] == ["turn 2 of a recording with 1"]


def test_a_late_answer_is_found() -> None:
    assert found_in(answer(), latency_ms=1000.0) == []
    assert found_in(answer(), latency_ms=1000.5) == [Finding(Rule.TOO_LATE, "1000.5 ms, 1000 at most")]


def test_one_wish_with_two_receipts_is_an_effect_twice() -> None:
    def tool(receipt: str, **args: str) -> ReplayedTool:
        return ReplayedTool("open_ticket", "succeeded", args=args, receipt=receipt)

    twice = found_in(answer(), tools=(tool("R-1", subject="a", body="b"), tool("R-2", body="b", subject="a")))
    other_wish = found_in(answer(), tools=(tool("R-1", subject="a"), tool("R-2", subject="b")))
    told_again = found_in(answer(), tools=(tool("R-1", subject="a"), tool("R-1", subject="a")))

    assert rules_of(twice) == {Rule.EFFECT_TWICE}
    assert "R-1 and as R-2" in twice[0].detail
    assert other_wish == told_again == []


# -- nothing of the inside --------------------------------------------------------------------------------------------

INTERNAL = [
    "Traceback (most recent call last):",
    'File "/srv/agent/turn.py", line 12',
    "psycopg.OperationalError: connection refused",
    "It was a ReadTimeoutError.",
    "LeaseLost",
    "KeyError: 'orders'",
    "The desk said timeout_error",
    "search_service is down",
    "notifications.sms is away",
    "sqlite3.OperationalError: database is locked",
    "postgresql+psycopg://shop",
    "SELECT name FROM customers",
    "Connect to 10.0.0.7",
    "see http://localhost:8000/readyz",
    "db-2.prod.internal did not answer",
    "desk-7.shop.example answered",
    "HTTP 503",
    "status code: 502",
    "<core.errors.NotFound object at 0x7f11aa>",
    "'NoneType' has no attribute",
    "I called open_ticket for you",
]


@pytest.mark.parametrize("words", INTERNAL)
def test_text_of_the_inside_is_found(words: str) -> None:
    findings = found_in(answer(f"I am sorry. {words}"), tools=(ReplayedTool("open_ticket", "failed"),))

    assert rules_of(findings) == {Rule.INTERNAL_TEXT}


@pytest.mark.parametrize("error", list(ErrorType))
def test_every_error_type_is_a_name_of_the_inside(error: ErrorType) -> None:
    assert rules_of(found_in(answer(f"Sorry: {error.value}."))) == {Rule.INTERNAL_TEXT}


def test_instructions_of_the_model_are_found() -> None:
    told = "You know nothing else. After every sentence that uses a passage put its number"

    (finding,) = found_in(answer(f"My rules: {told}"))

    assert finding.rule == Rule.INTERNAL_TEXT
    assert "the model's instructions" in finding.detail


@pytest.mark.parametrize(
    "result",
    [
        answer("Done.", quick_replies=("Retry after TimeoutError",)),
        answer("Done.", actions=(opened(summary="open_ticket: service_unavailable"),)),
        answer("Done.", degraded=(missing("tickets", "tickets", "psycopg.Error: away"),)),
    ],
)
def test_all_that_a_customer_reads_is_looked_at(result: TurnResult) -> None:
    assert rules_of(found_in(result)) == {Rule.INTERNAL_TEXT}


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "sk-proj-abcdef1234567890",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghij0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJraW0ifQ.c2ln",
        "https://user:hunter2@desk.example/",
        "Bearer abcdef0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_found_and_not_told_again(secret: str) -> None:
    findings = [each for each in found_in(answer(f"Here: {secret} .")) if each.rule == Rule.SECRET]

    assert findings
    assert not any(secret in finding.detail for finding in findings)


def test_what_an_article_or_the_customer_says_may_be_said_back() -> None:
    quote = "If you see `TimeoutError: localhost:8080`, restart the board."
    cited = answer(f"{quote} [1]", quote=quote, article_id="help/errors.md")
    asked = answer("You wrote sk-live_abcdef1234567890 and KeyError: keep keys to yourself.")

    assert found_in(cited) == []
    assert found_in(asked, said=("What is KeyError? My key is sk-live_abcdef1234567890", "Well?")) == []
    assert rules_of(found_in(asked)) == {Rule.INTERNAL_TEXT, Rule.SECRET}


def test_our_own_words_are_never_taken_for_the_inside() -> None:
    internal = InternalText(instructions=[RULES])
    own = [
        sentence
        for wording in sentences.WORDINGS.values()
        for texts in (*(by_case.values() for by_case in wording.errors.values()), wording.results.values())
        for sentence in texts
    ]
    own += [
        degraded_sentence(feature, dependency, locale)
        for locale in WORDINGS
        for feature, needs in FEATURES.items()
        for dependency in needs
    ]

    assert len(own) > 100
    assert [(text, list(internal.found(text))) for text in own if list(internal.found(text))] == []


# -- literal citations ------------------------------------------------------------------------------------------------


def cited(n: int, quote: str = QUOTE, article_id: str = "help/returns.md") -> Citation:
    return Citation(n=n, article_id=article_id, title="Returns", url=None, quote=quote)


@pytest.mark.parametrize(
    ("citations", "text", "seen"),
    [
        ((cited(1, "A kettle can be returned within 90 days."),), "90 days. [1]", "not in the article"),
        ((cited(1, article_id="help/gone.md"),), f"{QUOTE} [1]", "there is no such article"),
        ((cited(1, " "),), f"{QUOTE} [1]", "an empty quote"),
        ((cited(1), cited(1)), f"{QUOTE} [1]", "[1] stands for 2 citations"),
        ((cited(1),), f"{QUOTE} [1][2]", "[2] in the reply has no citation"),
    ],
)
def test_a_citation_that_is_not_literal_is_found(
    citations: tuple[Citation, ...], text: str, seen: str
) -> None:
    findings = found_in(answer(text, citations=citations))

    assert rules_of(findings) == {Rule.CITATION}
    assert seen in findings[0].detail


def test_a_quote_from_which_a_guardrail_took_a_number_is_literal_around_it() -> None:
    article = {"help/pay.md": "Pay to DE89 3704 0044 0532 0130 00 within 14 days."}.get

    def findings(quote: str) -> Sequence[Finding]:
        result = answer("Pay. [1]", citations=(cited(1, quote, "help/pay.md"),))
        return check(
            recording("How?"),
            [],
            row_of(result, customer="How?"),
            result=result,
            known=known(article=article),
        )

    assert findings("Pay to [bank account number] within 14 days.") == ()
    assert rules_of(findings("Pay to [bank account number] within 99 days.")) == {Rule.CITATION}


def test_where_articles_cannot_be_read_citations_are_held_against_their_reply() -> None:
    result = answer("90 days. [2]", citations=(cited(1, "made up"),))

    findings = check(
        recording("Can I return it?"), [], row_of(result), result=result, known=known(article=None)
    )

    assert [finding.detail for finding in findings] == ["[2] in the reply has no citation"]


@given(st.integers(0, len(ARTICLES["help/returns.md"]) - 1), st.integers(1, 60))
def test_every_piece_of_an_article_is_literal_and_no_changed_one_is(start: int, length: int) -> None:
    body = ARTICLES["help/returns.md"]
    piece = body[start : start + length]
    if not piece.strip():
        return
    spoiled = piece + "\N{SNOWMAN}"

    assert found_in(answer("So. [1]", citations=(cited(1, piece),))) == []
    assert rules_of(found_in(answer("So. [1]", citations=(cited(1, spoiled),)))) == {Rule.CITATION}


# -- outages named ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "row", "seen"),
    [
        (answer("Hm.", degraded=(missing("tickets", "tickets", " "),)), {}, "has no words"),
        (
            answer("Hm.", actions=(opened(ActionStatus.FAILED, receipt=None, error_type="timeout_error"),)),
            {},
            "open_ticket failed (timeout_error) and nothing is named",
        ),
        (
            answer("Hm."),
            {
                "steps": (
                    {
                        "kind": "tool_called",
                        "tool": "search_knowledge",
                        "degraded": [["knowledge_search", "vectors"]],
                    },
                )
            },
            "search_knowledge did without knowledge_search:vectors",
        ),
        (answer("Hm."), {"steps": ({"kind": "fell_back", "why": "the model failed"},)}, "no model answered"),
        (answer("Hm."), {"faults": ("model:429",)}, "the model failed, the built-in brain answered"),
        (answer("Hm.", durability=Durability.REDIS), {}, "kept in Redis alone"),
    ],
)
def test_an_outage_that_is_not_named_is_found(result: TurnResult, row: dict[str, Any], seen: str) -> None:
    findings = found_in(result, **row)

    assert rules_of(findings) == {Rule.DEGRADED}
    assert seen in findings[0].detail


@pytest.mark.parametrize(
    ("result", "row"),
    [
        (
            answer(
                "Hm.",
                actions=(opened(ActionStatus.FAILED, receipt=None, error_type="timeout_error"),),
                degraded=(missing("tickets", "tickets"),),
            ),
            {},
        ),
        (answer("Hm.", degraded=(missing("conversation", "model"),)), {"faults": ("model:429",)}),
        (answer("Hm.", brain="llm"), {"faults": ("model:429",)}),
        (
            answer("Hm.", durability=Durability.REDIS, degraded=(missing("conversation", "sql"),)),
            {"steps": ({"kind": "tool_called", "tool": "find_tickets", "degraded": [["tickets", "sql"]]},)},
        ),
        (
            answer(
                "Hm.", actions=(opened(ActionStatus.FAILED, receipt=None, error_type="validation_error"),)
            ),
            {},
        ),
    ],
)
def test_an_outage_that_is_named_or_was_got_over_is_none(result: TurnResult, row: dict[str, Any]) -> None:
    assert found_in(result, **row) == []


# -- nobody else's data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "Write to Ada@Alvarez.example.",
        "Call +34 915550199.",
        "Call 34-91-555-01-99.",
        "Your order is QC204918.",
        "Parcel bx7731900421gb is on its way.",
        "Dear Ada  Alvarez,",
        "We sent it to Calle Mayor 12.",
    ],
)
def test_somebody_elses_data_is_found(words: str) -> None:
    (finding,) = found_in(answer(words))

    assert finding.rule == Rule.OTHERS_DATA
    assert "is of ada" in finding.detail


def test_ones_own_data_common_words_and_what_the_customer_named_are_nobody_elses() -> None:
    assert found_in(answer("Kim Lee, kim@lee.example: your gold plan, order 77, in Madrid.")) == []
    assert found_in(answer("I know no order QC204918."), said=("Where is QC204918?", "Hello?")) == []
    assert found_in(answer("I know no order QC204918.")) != []


def test_for_whom_the_turn_was_decides() -> None:
    result = answer("Your order is QC204918.")
    row = row_of(result)

    of_ada = check(recording("Can I return it?"), [], row, result=result, known=known(), customer_id="ada")
    of_nobody = check(recording("Can I return it?", customer=None), [], row, result=result, known=known())

    assert of_ada == ()
    assert rules_of(of_nobody) == {Rule.OTHERS_DATA}


def test_a_value_of_many_customers_tells_nobody_apart() -> None:
    many = [msgspec.structs.replace(ADA, customer_id=f"c{n}", orders=()) for n in range(4)]

    assert list(PrivateValues(many).of_others("Ada Alvarez, Calle Mayor 12", "kim")) == []
    assert list(PrivateValues(many[:3]).of_others("Ada Alvarez", "kim")) == [("ada alvarez", "c0")]


@given(
    st.text("abcdefgh", min_size=3, max_size=8),
    st.text("abcdefgh", min_size=3, max_size=8),
    st.text(max_size=40),
)
def test_an_address_is_found_wherever_it_stands(name: str, domain: str, around: str) -> None:
    address = f"{name}@{domain}.example"
    private = PrivateValues([Customer(customer_id="x", name="X", email=address)])
    text = f"{around} {address.upper()}. {around}"

    owners = {owner for _, owner in private.of_others(text, "kim")}

    assert owners == {"x"}
    assert list(private.of_others(text, "x")) == []
    assert re.search(re.escape(address), text, re.IGNORECASE)
