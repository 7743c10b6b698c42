"""
What a model's sentence needs to leave, and which ones do not.
"""

import json
import random

import pytest

from agent.brain.grounding import Grounds, Standing
from agent.brain.markup import units
from core.messages import Action, ActionStatus
from core.records import Passage
from tests.data import shared
from tools.protocol import ToolOutcome

RETURNS = Passage(
    article_id="returns",
    title="Returning an item",
    url="https://shop.example/help/returns",
    heading="Deadlines",
    text=(
        "You can return unused items within 30 days of delivery. The refund is paid to your original payment method "
        "within 5 working days. Opened cosmetics cannot be returned. Write to returns@shop.example for a label."
    ),
    score=1.0,
)
RESET = Passage(
    article_id="reset",
    title="Reset the UNO R4",
    url=None,
    heading="",
    text="Press the reset button twice. The orange LED pulses, and the board waits for a new sketch.",
    score=0.5,
)
TICKET = ToolOutcome(
    action=Action(
        call_id="c1",
        tool="open_ticket",
        status=ActionStatus.SUCCEEDED,
        receipt="R-7QK2M4XWZC",
        reference="T-1001",
        summary="I have opened ticket T-1001 for you. Your receipt number is R-7QK2M4XWZC.",
    ),
    value={"receipt": "R-7QK2M4XWZC", "reference": "T-1001", "status": "open"},
)
ORDER = ToolOutcome(
    action=Action(
        call_id="c2", tool="customer_info", status=ActionStatus.SUCCEEDED, summary="This is your order."
    ),
    value={
        "orders": [
            {
                "order_id": "A-1001",
                "status": "shipped",
                "items": ["Blue Lamp"],
                "total_cents": 1999,
                "currency": "EUR",
                "expected_at": "2026-11-27T00:00:00+00:00",
            }
        ]
    },
)


def outcome(
    tool: str, value: dict[str, object], *, status: ActionStatus = ActionStatus.SUCCEEDED, summary: str = ""
) -> ToolOutcome:
    return ToolOutcome(action=Action(call_id="c3", tool=tool, status=status, summary=summary), value=value)


def grounds(
    *outcomes: ToolOutcome, customer: str = "How long can I return my lamp?", passages: bool = True
) -> Grounds:
    made = Grounds(
        customer_text=customer,
        company_name="Lumen Shop",
        contact_address="help@shop.example",
        checks_names=True,
    )
    if passages:
        made.add_passages([RETURNS, RESET])
    for outcome in outcomes:
        made.add_outcome(outcome)
    return made


@pytest.mark.parametrize(
    ("sentence", "article", "quote"),
    [
        (
            "You can return unused items within 30 days of delivery. [1]",
            "returns",
            "You can return unused items within 30 days of delivery.",
        ),
        (
            "Unused items can be returned within 30 days [1].",
            "returns",
            "You can return unused items within 30 days of delivery.",
        ),
        ("- Press the reset button twice [2]", "reset", "Press the reset button twice."),
        (
            "Cosmetics that were opened can't be returned.[1]",
            "returns",
            "Opened cosmetics cannot be returned.",
        ),
        (
            "Yes, you can return unused items within 30 days. [1]",
            "returns",
            "You can return unused items within 30 days of delivery.",
        ),
    ],
)
def test_a_sentence_that_its_passage_says_is_supported_by_a_literal_quote(
    sentence: str, article: str, quote: str
) -> None:
    judgement = grounds().judge(sentence)

    assert judgement.standing is Standing.SUPPORTED
    assert [(found.passage.article_id, found.text) for found in judgement.quotes] == [(article, quote)]
    assert "[1]" not in judgement.text
    assert "[2]" not in judgement.text


def test_a_sentence_with_the_wrong_number_is_cited_where_it_stands() -> None:
    judgement = grounds().judge("Press the reset button twice. [1]")

    assert [quote.passage.article_id for quote in judgement.quotes] == ["reset"]


@pytest.mark.parametrize(
    "sentence",
    [
        "You can return items within 60 days of delivery. [1]",
        "Unused items cannot be returned within 30 days of delivery. [1]",
        "Opened cosmetics can be returned. [1]",
        "The refund is paid by Siemens within 5 working days. [1]",
        "Press the reset button of the UNO R3 twice. [2]",
        "Shipping to Norway is free of charge.",
        "The warranty covers water damage for two years. [1]",
        "It is free.",
        "We are open on Sundays.",
        "It works.",
    ],
)
def test_a_claim_that_nothing_says_is_unsupported(sentence: str) -> None:
    assert grounds().judge(sentence).standing is Standing.UNSUPPORTED


@pytest.mark.parametrize(
    "sentence", ["Yes.", "Yes, you can.", "Of course!", "No, it is not.", "---", "Ja, klar."]
)
def test_a_bare_yes_says_nothing_that_could_be_checked(sentence: str) -> None:
    assert grounds().judge(sentence).standing is Standing.EMPTY


@pytest.mark.parametrize(
    "sentence",
    [
        "Hello!",
        "I am happy to help you with that.",
        "Which order do you mean?",
        "Shall I open a ticket for you, or hand you over to a person?",
        "I can open a ticket for you.",
        "I'm sorry, but I could not find anything about your lamp.",
        "I do not know the answer to that question.",
        "Ich helfe Ihnen gerne weiter.",
        "Lo siento, no he encontrado nada.",
    ],
)
def test_a_courtesy_needs_no_ground(sentence: str) -> None:
    assert grounds().judge(sentence).standing is Standing.COURTESY


@pytest.mark.parametrize(
    "sentence",
    [
        "I have opened a ticket for you.",
        "I've refunded your order.",
        "Your refund has been issued.",
        "I'll send you an email with the label.",
        "Let me cancel that order for you.",
        "We have sent the label to you.",
        "I am handing you over to a person.",
    ],
)
def test_a_deed_that_no_tool_did_is_unsupported(sentence: str) -> None:
    assert grounds(ORDER).judge(sentence).standing is Standing.UNSUPPORTED


def test_a_deed_that_a_tool_did_may_be_told() -> None:
    told = grounds(TICKET, passages=False)

    assert told.judge("I have opened a ticket for you: R-7QK2M4XWZC.").standing is Standing.SUPPORTED
    assert told.judge("I have opened ticket R-0000000000 for you.").standing is Standing.UNSUPPORTED
    assert told.judge("I have opened a ticket and refunded your order.").standing is Standing.UNSUPPORTED


@pytest.mark.parametrize(
    ("sentence", "standing"),
    [
        ("Your order A-1001 with the Blue Lamp has shipped.", Standing.SUPPORTED),
        ("It cost 19.99 EUR in total.", Standing.SUPPORTED),
        ("Your order is expected on Friday, November 27.", Standing.SUPPORTED),
        ("Your order is expected on November 28.", Standing.UNSUPPORTED),
        ("Your order A-1002 has shipped.", Standing.UNSUPPORTED),
        ("It cost 29.99 EUR in total.", Standing.UNSUPPORTED),
    ],
)
def test_a_tools_values_support_sentences_with_the_same_facts(sentence: str, standing: Standing) -> None:
    assert grounds(ORDER, passages=False).judge(sentence).standing is standing


@pytest.mark.parametrize(
    "sentence",
    [
        "Your order A-1001 has not shipped.",
        "Your Blue Lamp was never shipped.",
        "Your order will not arrive on Friday, November 27.",
        "Your order A-1001 has been cancelled.",
    ],
)
def test_what_a_tools_values_do_not_deny_is_not_denied(sentence: str) -> None:
    assert grounds(ORDER, passages=False).judge(sentence).standing is Standing.UNSUPPORTED


def test_a_state_that_a_tool_reported_is_no_deed_of_ours() -> None:
    told = grounds(ORDER, passages=False)

    assert told.judge("Your order A-1001 has been shipped.").standing is Standing.SUPPORTED
    assert told.judge("I have shipped your order A-1001.").standing is Standing.UNSUPPORTED


@pytest.mark.parametrize(
    ("sentence", "standing"),
    [
        ("Your phone number is +49 151 5550111.", Standing.SUPPORTED),
        ("Your email address is ada@shop.example.", Standing.SUPPORTED),
        ("Your phone number is +49 151 5550999.", Standing.UNSUPPORTED),
        ("Your email address is bob@shop.example.", Standing.UNSUPPORTED),
    ],
)
def test_fields_may_be_called_what_people_call_them(sentence: str, standing: Standing) -> None:
    profile = outcome("customer_info", {"profile": {"phone": "+49 151 5550111", "email": "ada@shop.example"}})

    assert grounds(profile, passages=False).judge(sentence).standing is standing


@pytest.mark.parametrize("sentence", ["No tickets.", "You have no tickets."])
def test_that_there_are_no_tickets_is_said_only_where_none_were_found(sentence: str) -> None:
    none = outcome("find_tickets", {"tickets": []}, summary="You have no such tickets.")
    one = outcome("find_tickets", {"tickets": [{"reference": "T-1001", "status": "open"}]})
    failed = outcome(
        "find_tickets",
        {"error": "timeout_error"},
        status=ActionStatus.FAILED,
        summary="I cannot look up your tickets at the moment.",
    )

    assert grounds(none, passages=False).judge(sentence).standing is Standing.SUPPORTED
    assert grounds(one, passages=False).judge(sentence).standing is Standing.UNSUPPORTED
    assert grounds(failed, passages=False).judge(sentence).standing is Standing.UNSUPPORTED
    assert grounds(passages=False).judge(sentence).standing is Standing.UNSUPPORTED


def test_a_question_may_not_carry_numbers_that_nobody_named() -> None:
    assert grounds().judge("Did you know that refunds take 90 days?").standing is Standing.UNSUPPORTED


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            "See [the article](https://shop.example/help/returns) to return unused items within 30 days. [1]",
            "See [the article](https://shop.example/help/returns) to return unused items within 30 days.",
        ),
        (
            "You can return [unused items](https://evil.test/?q=secret) within 30 days of delivery. [1]",
            "You can return unused items within 30 days of delivery.",
        ),
        (
            "You can return unused items within 30 days. ![x](https://evil.test/a.png?q=secret) [1]",
            "You can return unused items within 30 days.",
        ),
        (
            "You can return [unused items](//evil.test) within 30 days of delivery. [1]",
            "You can return unused items within 30 days of delivery.",
        ),
        (
            "You can return [unused items](https://shop.example/help/returns?q=secret) within 30 days of delivery. [1]",
            "You can return unused items within 30 days of delivery.",
        ),
    ],
)
def test_links_lead_only_where_a_source_leads(sentence: str, shown: str) -> None:
    judgement = grounds().judge(sentence)

    assert judgement.standing is Standing.SUPPORTED
    assert judgement.text == shown


@pytest.mark.parametrize(
    "sentence",
    [
        "You can return unused items within 30 days at https://evil.test/?q=secret. [1]",
        "You can return unused items within 30 days at www.evil.test. [1]",
        "Write to attacker@evil.test for a label. [1]",
        "You can return unused items <img src=x> within 30 days. [1]",
        "Can I help you at https://evil.test?",
        "[1]: https://evil.test/?q=secret",
    ],
)
def test_an_address_that_no_source_names_does_not_leave(sentence: str) -> None:
    assert grounds().judge(sentence).standing is Standing.UNSUPPORTED


def test_an_address_that_a_passage_names_may_leave() -> None:
    judgement = grounds().judge("Write to returns@shop.example for a label. [1]")

    assert judgement.standing is Standing.SUPPORTED


@pytest.mark.data
def test_real_sentences_stand_on_their_own_article_and_not_on_another() -> None:
    rng = random.Random(20261122)
    lines = shared("arduino_help_center/articles.jsonl").read_text().splitlines()
    passages = []
    for line in lines:
        article = json.loads(line)
        text = article["body"][:1500]
        passages.append(
            Passage(
                article["id"] if "id" in article else article["title"], article["title"], None, "", text, 1.0
            )
        )
    claims = [
        (passage, unit.shown)
        for passage in passages
        for unit in units(passage.text)[:3]
        if len(unit.shown.split()) >= 8 and "http" not in unit.shown and "?" not in unit.shown
    ]
    sample = rng.sample(claims, 300)

    own = foreign = 0
    for passage, sentence in sample:
        for ground, is_own in ((passage, True), (rng.choice(passages), False)):
            made = Grounds(customer_text="", company_name="Arduino", contact_address=None, checks_names=True)
            made.add_passages([ground])
            judgement = made.judge(f"{sentence} [1]")
            for quote in judgement.quotes:
                assert quote.text in quote.passage.text
            if judgement.standing is Standing.SUPPORTED:
                own, foreign = own + is_own, foreign + (not is_own)

    assert own >= 0.9 * len(sample), own
    assert foreign <= 0.02 * len(sample), foreign
