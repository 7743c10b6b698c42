"""
Which wishes are read out of a message.
"""

import time
from datetime import UTC, datetime

import pytest

from agent.brain.about import subject_in
from agent.brain.flows import engine
from agent.brain.flows.declared import Slot, SlotKind
from agent.brain.flows.engine import Moment
from agent.brain.flows.heard import hear
from agent.brain.flows.library import built_in_flows
from agent.brain.intents import Intent, follows_up, read
from agent.brain.phrases import ENGLISH
from state.models import OpenFlow


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("hi there", Intent.GREETING),
        ("Thank you so much!", Intent.THANKS),
        ("that helped", Intent.THANKS),
        ("see you later", Intent.BYE),
        ("who are you?", Intent.IDENTITY),
        ("are you a bot?", Intent.IDENTITY),
        ("help", Intent.ABILITIES),
        ("yes please", Intent.YES),
        ("ok", Intent.YES),
        ("no, thanks", Intent.NO),
        ("never mind", Intent.CANCEL),
        ("I want to open a ticket", Intent.TICKET),
        ("I'd like to file a complaint", Intent.TICKET),
        ("please report a problem", Intent.TICKET),
        ("I want to complain about the delivery", Intent.TICKET),
        ("what happened to my ticket?", Intent.TICKET_STATUS),
        ("show me my tickets", Intent.TICKET_STATUS),
        ("any news on my complaint?", Intent.TICKET_STATUS),
        ("R-7QK2M4XWZC", Intent.TICKET_STATUS),
        ("where is my order?", Intent.ORDERS),
        ("has my parcel been shipped", Intent.ORDERS),
        ("order #12345", Intent.ORDERS),
        ("what did I order?", Intent.ORDERS),
        ("what do you know about me?", Intent.PROFILE),
        ("what is my e-mail address?", Intent.PROFILE),
        ("show me my account details", Intent.PROFILE),
        ("email me that", Intent.NOTIFY),
        ("could you send me the steps by mail?", Intent.NOTIFY),
        ("text it to my phone", Intent.NOTIFY),
        ("I want to talk to a human", Intent.HANDOFF),
        ("can I speak with someone?", Intent.HANDOFF),
        ("please connect me with an agent", Intent.HANDOFF),
        ("this is useless, give me a human", Intent.HANDOFF),
        ("call me back", Intent.HANDOFF),
        ("how do I reset my password?", Intent.QUESTION),
        ("my board does not start", Intent.STATEMENT),
    ],
)
def test_a_wish_is_known_by_its_wording(message: str, intent: Intent) -> None:
    assert [wish.intent for wish in read(message)] == [intent]


@pytest.mark.parametrize(
    "message",
    [
        "how can I track my order?",
        "how do I remove the cloud agent?",
        "what happens if my order is lost?",
        "can I change my delivery address?",
        "I need a real power supply for my board",
        "is the agent software free?",
        "how do I send an e-mail from my board?",
        "notify me when it is back in stock",
        "please do not e-mail me this newsletter again",
        "my board is a person detector",
    ],
)
def test_what_only_sounds_like_a_wish_is_looked_up_in_the_articles(message: str) -> None:
    assert {wish.intent for wish in read(message)} <= {Intent.QUESTION, Intent.STATEMENT}


@pytest.mark.parametrize(
    "piece", ["a", " ", "@", "a@", "my ", "what you ", "real ", "Abc. ", "\t", "1", "[", "`", "? "]
)
def test_reading_takes_no_longer_for_a_hostile_message(piece: str) -> None:
    message = f"open a ticket {piece * 8000}"[:8000] + "x"
    moment = Moment(now=datetime(2026, 11, 22, tzinfo=UTC), locale="en", is_visitor=True)
    built_in_flows()
    began = time.process_time()

    for wish in read(message):
        follows_up(wish.text)
        subject_in(wish.text)
    heard = hear(message)
    ticket = built_in_flows().find("ticket")
    assert ticket is not None
    engine.take(ticket, OpenFlow(name="ticket", asked="contact"), heard, moment)
    for kind in SlotKind:
        moment.reader.find(Slot(name="any", kind=kind), message, is_asked=False)

    assert time.process_time() - began < 0.1


def test_courtesies_around_a_wish_need_no_answer() -> None:
    (wish,) = read("Hello! Where is my order? Thanks in advance")

    assert wish.intent is Intent.ORDERS
    assert wish.text == "Where is my order?"


def test_a_statement_belongs_to_the_question_beside_it() -> None:
    (wish,) = read("My board is offline since yesterday. What can I do?")

    assert wish.intent is Intent.QUESTION
    assert wish.text == "My board is offline since yesterday. What can I do?"


def test_a_question_that_leans_on_the_one_before_is_joined_to_it() -> None:
    (wish,) = read("What is the workshop plan? How much does it cost?")

    assert wish.text == "What is the workshop plan? How much does it cost?"


def test_questions_of_their_own_stay_apart() -> None:
    wishes = read("How do I reset my password? Which payment methods do you accept?")

    assert [wish.intent for wish in wishes] == [Intent.QUESTION, Intent.QUESTION]


@pytest.mark.parametrize(
    "message", ["and how long does that take?", "why?", "what about batteries?", "is it free?"]
)
def test_a_follow_up_is_known_by_what_it_lacks(message: str) -> None:
    assert follows_up(message)


@pytest.mark.parametrize("message", ["is there a warranty?", "which payment methods do you accept?"])
def test_a_whole_question_is_no_follow_up(message: str) -> None:
    assert not follows_up(message)


def test_the_brain_understands_its_own_quick_replies() -> None:
    understood = [
        read(reply)[0].intent
        for reply in (
            ENGLISH.say_ticket,
            ENGLISH.say_person,
            ENGLISH.say_no,
            ENGLISH.say_cancel,
            ENGLISH.say_retry,
        )
    ]

    assert understood == [Intent.TICKET, Intent.HANDOFF, Intent.NO, Intent.CANCEL, Intent.YES]


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        ("open a ticket: my lamp flickers", "my lamp flickers"),
        ("I need a ticket because the lamp is broken", "the lamp is broken"),
        ("I want to complain about the delivery", "the delivery"),
        ("my lamp flickers, open a ticket", "my lamp flickers"),
        ("My lamp flickers every evening, can you please open a ticket?", "My lamp flickers every evening"),
        ("Meine Lampe flackert, bitte öffnen Sie ein Ticket", "Meine Lampe flackert"),
        ("mi lámpara parpadea, abre un ticket por favor", "mi lámpara parpadea"),
        ("ma lampe clignote, ouvrez un ticket", "ma lampe clignote"),
        ("good morning everybody, open a ticket", None),
        ("yes I do, open a ticket", None),
        ("open a ticket about it", None),
        ("open a ticket please", None),
    ],
)
def test_a_request_for_a_ticket_may_name_its_subject(message: str, subject: str | None) -> None:
    assert subject_in(message) == subject
