"""
What a customer reads from the embedded brain, turn by turn, with working and with failing tools.
"""

import msgspec
import pytest

from agent.brain.phrases import ENGLISH
from core.errors import DependencyUnavailable
from core.messages import ActionStatus, TurnStatus
from core.records import Passage, SearchResult
from state.models import ConversationState
from tests.tool_world import ANNA, ToolWorld
from tests.unit.brain.chat import RESET, RETURNS, Chat

UNSURE = msgspec.structs.replace(RETURNS, cosine=0.39, lexical=0.2)
STRANGER = msgspec.structs.replace(RETURNS, cosine=0.1, lexical=0.0)


@pytest.mark.parametrize(
    ("message", "phrase"),
    [
        ("Hello!", ENGLISH.greeting),
        ("thanks a lot", ENGLISH.thanks),
        ("bye", ENGLISH.bye),
        ("how are you?", ENGLISH.how_are_you),
        ("what can you do?", ENGLISH.abilities),
    ],
)
async def test_small_talk_needs_no_tool(message: str, phrase: str) -> None:
    chat = Chat()

    reply = await chat.say(message)

    assert reply.text == phrase
    assert not chat.actions


async def test_it_says_that_it_is_a_program_of_the_company() -> None:
    reply = await Chat().say("am I talking to a real person?")

    assert "assistant of Lamps & Co: a program, not a person" in reply.text


async def test_a_question_is_answered_word_for_word_and_cited() -> None:
    chat = Chat()
    chat.knows(RETURNS)

    reply = await chat.say("Hi! How many days do I have to return an item?")

    assert reply.text.startswith("Unused items can be returned within 30 days of delivery.")
    assert reply.text.endswith("[1]")
    assert [citation.article_id for citation in reply.citations] == ["returns"]
    assert reply.citations[0].quote in RETURNS.text
    assert reply.state.topic == ("returns",)


async def test_steps_are_shown_in_order_with_links_and_without_other_marks() -> None:
    chat = Chat()
    chat.knows(RESET)

    reply = await chat.say("how do I reset my password?")

    assert reply.text == (
        "Follow these steps:\n1. Open the sign-in page.\n2. Choose [Forgot password](https://shop.example/forgot).\n"
        "3. Open the link in our e-mail. [1]"
    )


async def test_a_weak_finding_is_given_as_a_guess() -> None:
    chat = Chat()
    chat.knows(msgspec.structs.replace(RETURNS, cosine=0.45))

    reply = await chat.say("can I bring the turquoise umbrella to your garage?")

    assert reply.text.startswith(ENGLISH.perhaps)
    assert reply.citations


async def test_an_unsure_finding_is_asked_back_and_the_choice_is_answered() -> None:
    chat = Chat()
    chat.knows(UNSURE, msgspec.structs.replace(RESET, cosine=0.3))

    asked = await chat.say("what about the turquoise umbrella?")
    answered = await chat.say("the second one")

    assert asked.status is TurnStatus.NEEDS_CUSTOMER
    assert asked.quick_replies == ("Returning an item", "Reset your password", ENGLISH.none_of_these)
    assert not asked.citations
    assert [citation.article_id for citation in answered.citations] == ["reset"]


async def test_none_of_the_choices_ends_in_an_offer() -> None:
    chat = Chat()
    chat.knows(UNSURE)
    await chat.say("what about the turquoise umbrella?")

    reply = await chat.say(ENGLISH.none_of_these)

    assert reply.text.startswith(ENGLISH.unknown)
    assert reply.state.offer == "ticket"


@pytest.mark.parametrize("found", [[], [STRANGER]])
async def test_what_no_article_answers_is_not_known_and_a_ticket_or_person_is_offered(
    found: list[Passage],
) -> None:
    chat = Chat()
    chat.knows(*found)

    reply = await chat.say("do you sell pianos?")

    assert reply.text == f"{ENGLISH.unknown}\n\n{ENGLISH.offer}"
    assert not reply.citations
    assert reply.quick_replies == (ENGLISH.say_ticket, ENGLISH.say_person, ENGLISH.say_no)


async def test_yes_takes_the_offer_and_the_question_is_the_subject() -> None:
    chat = Chat()
    await chat.say("do you sell pianos?")

    asked = await chat.say("yes")
    await chat.say("I need a black one for my school.")

    assert asked.text == f"{ENGLISH.ticket_opening} {ENGLISH.ask_description}"
    ((_, ticket),) = chat.world.desk.tickets
    assert (ticket.subject, ticket.description) == (
        "do you sell pianos?",
        "I need a black one for my school.",
    )


async def test_no_declines_the_offer_and_a_later_yes_means_nothing() -> None:
    chat = Chat()
    await chat.say("do you sell pianos?")

    declined = await chat.say("no thanks")
    later = await chat.say("yes")

    assert declined.text == ENGLISH.offer_declined
    assert later.text == ENGLISH.nothing_to_confirm
    assert not chat.world.desk.tickets


async def test_an_offer_that_was_passed_over_is_gone() -> None:
    chat = Chat()
    await chat.say("do you sell pianos?")
    chat.knows(RETURNS)
    await chat.say("how many days do I have to return an item?")

    reply = await chat.say("yes")

    assert reply.text == ENGLISH.nothing_to_confirm


async def test_an_offer_stands_for_one_message_even_when_two_come_together() -> None:
    chat = Chat()
    await chat.say("do you sell pianos?")

    reply = await chat.say("thanks", "yes")

    assert ENGLISH.nothing_to_confirm in reply.text
    assert reply.state.flow is None


async def test_a_ticket_is_collected_over_turns_and_its_receipt_told() -> None:
    chat = Chat()

    first = await chat.say("I want to open a ticket")
    second = await chat.say("My lamp flickers")
    third = await chat.say("It flickers every evening since Monday, please send a new one.")

    assert first.text == f"{ENGLISH.ticket_opening} {ENGLISH.ask_subject}"
    assert first.status is TurnStatus.NEEDS_CUSTOMER
    assert first.quick_replies == (ENGLISH.say_cancel,)
    assert second.text == ENGLISH.ask_description
    receipt = chat.actions[0].receipt
    assert receipt is not None
    assert receipt in third.text
    assert third.state.flow is None
    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.subject == "My lamp flickers"
    assert ticket.description == "It flickers every evening since Monday, please send a new one."


async def test_everything_said_at_once_opens_the_ticket_at_once() -> None:
    chat = Chat()

    await chat.say("Please open a ticket. My lamp flickers. It does so every evening since Monday.")

    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.subject == "My lamp flickers."
    assert ticket.description == "My lamp flickers. It does so every evening since Monday."


@pytest.mark.parametrize(
    ("message", "locale", "account"),
    [
        (
            "Please open a ticket: my lamp arrived broken and I want a replacement",
            "en",
            "my lamp arrived broken and I want a replacement",
        ),
        (
            "Bitte ein Ticket öffnen: Meine Lampe kam kaputt an und ich möchte Ersatz",
            "de",
            "Meine Lampe kam kaputt an und ich möchte Ersatz",
        ),
        (
            "Open a ticket. My lamp arrived broken and I want a replacement.",
            "en",
            "My lamp arrived broken and I want a replacement.",
        ),
    ],
)
async def test_one_sentence_that_tells_what_happened_is_the_description(
    message: str, locale: str, account: str
) -> None:
    chat = Chat()
    chat.locale = locale

    await chat.say(message)

    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.description == account


async def test_asking_to_see_something_is_no_description() -> None:
    chat = Chat()
    await chat.say("Open a ticket: my lamp")

    reply = await chat.say("Show my tickets")

    assert chat.world.desk.tickets == []
    assert reply.state.flow is not None
    assert "description" not in reply.state.flow.slots
    await chat.say("Show of hands: every lamp that you sent flickers")
    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.description == "Show of hands: every lamp that you sent flickers"


async def test_a_visitor_is_asked_for_an_address_until_it_is_one() -> None:
    world = ToolWorld()
    chat = Chat(world, caller=world.visitor())
    await chat.say("open a ticket: my lamp flickers")

    asked = await chat.say("Every evening since Monday.")
    wrong = await chat.say("at home")
    done = await chat.say("you can write to eva@example.org.")

    assert asked.text == ENGLISH.ask_contact
    assert wrong.text == f"{ENGLISH.contact_invalid} {ENGLISH.ask_contact}"
    assert chat.world.desk.contacts == ["eva@example.org"]
    assert chat.actions[0].receipt is not None
    assert chat.actions[0].receipt in done.text


async def test_a_customer_without_an_address_on_file_is_asked_for_one_until_it_is_one() -> None:
    chat = Chat(ToolWorld(msgspec.structs.replace(ANNA, email=None)))
    await chat.say("open a ticket: my lamp flickers")

    asked = await chat.say("Every evening since Monday.")
    wrong = await chat.say("at home")
    done = await chat.say("you can write to eva@example.org.")

    assert "which e-mail address" in asked.text
    assert wrong.text == f"{ENGLISH.contact_invalid} {ENGLISH.ask_contact}"
    assert chat.world.desk.contacts == ["eva@example.org"]
    assert str(chat.actions[0].receipt) in done.text


@pytest.mark.parametrize("words", ["cancel", "never mind", "no", "actually cancel that", "no, stop"])
async def test_a_ticket_can_be_cancelled(words: str) -> None:
    chat = Chat()
    await chat.say("open a ticket")

    reply = await chat.say(words)

    assert reply.text == ENGLISH.ticket_cancelled
    assert reply.state.flow is None
    assert not chat.world.desk.tickets


async def test_nothing_to_add_makes_the_subject_the_description() -> None:
    chat = Chat()
    await chat.say("open a ticket: the lamp in the hall flickers")

    await chat.say("no")

    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.description == "the lamp in the hall flickers"


async def test_a_question_within_the_ticket_is_answered_and_the_ticket_goes_on() -> None:
    chat = Chat()
    await chat.say("open a ticket")
    chat.knows(RETURNS)

    aside = await chat.say("how many days do I have to return an item?")
    chat.knows()
    await chat.say("My lamp flickers")
    await chat.say("Every evening since Monday.")

    assert "within 30 days" in aside.text
    assert aside.text.endswith(f"{ENGLISH.back_to_ticket} {ENGLISH.ask_subject}")
    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.subject == "My lamp flickers"


async def test_an_order_can_be_looked_up_within_the_ticket() -> None:
    chat = Chat()
    await chat.say("open a ticket")

    aside = await chat.say("where is my order?")

    assert "ORD-1001" in aside.text
    assert aside.text.endswith(ENGLISH.ask_subject)


async def test_a_description_that_names_an_order_is_a_description() -> None:
    chat = Chat()
    await chat.say("open a ticket: broken lamp")

    await chat.say("My order ORD-1001 arrived broken, the glass is in pieces.")

    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.description.startswith("My order ORD-1001")
    assert chat.tools_used == ["open_ticket"]


@pytest.mark.parametrize(
    "words", ["Actually it flickers every evening.", "I mean that it flickers at night."]
)
async def test_a_description_may_begin_like_a_correction(words: str) -> None:
    chat = Chat()
    await chat.say("open a ticket: broken lamp")

    await chat.say(words)

    ((_, ticket),) = chat.world.desk.tickets
    assert (ticket.subject, ticket.description) == ("broken lamp", words)


async def test_the_subject_is_corrected_by_saying_so() -> None:
    chat = Chat()
    await chat.say("open a ticket: broken lamp")

    await chat.say("No, I meant a broken fridge")
    await chat.say("Every evening since Monday.")

    ((_, ticket),) = chat.world.desk.tickets
    assert (ticket.subject, ticket.description) == ("a broken fridge", "Every evening since Monday.")


async def test_messages_that_come_together_fill_the_ticket_together() -> None:
    chat = Chat()

    reply = await chat.say("open a ticket", "My lamp flickers", "Every evening since Monday.")

    assert len(chat.world.desk.tickets) == 1
    assert ENGLISH.ask_subject not in reply.text


async def test_messages_that_come_together_are_all_answered() -> None:
    chat = Chat()
    chat.knows(RETURNS)

    reply = await chat.say("hi", "how many days do I have to return an item?", "and where is my order?")

    assert "within 30 days" in reply.text
    assert "ORD-1001" in reply.text


async def test_a_desk_that_is_down_still_gives_a_receipt() -> None:
    chat = Chat()
    chat.world.desk.failure = DependencyUnavailable("tickets")
    await chat.say("open a ticket: my lamp flickers")

    reply = await chat.say("Every evening since Monday.")

    assert chat.actions[0].status is ActionStatus.QUEUED
    assert chat.actions[0].receipt is not None
    assert chat.actions[0].receipt in reply.text
    assert reply.state.flow is None


async def test_a_ticket_that_could_not_be_opened_is_kept_for_a_yes() -> None:
    chat = Chat()
    chat.world.ledger.failure = DependencyUnavailable("sql")
    await chat.say("open a ticket: my lamp flickers")
    failed = await chat.say("Every evening since Monday.")
    chat.world.ledger.failure = None
    chat.world.clock.advance(60)

    await chat.say(ENGLISH.say_retry)

    assert failed.state.offer == "ticket_retry"
    assert failed.quick_replies == (ENGLISH.say_retry, ENGLISH.say_person, ENGLISH.say_no)
    ((_, ticket),) = chat.world.desk.tickets
    assert ticket.subject == "my lamp flickers"


async def test_a_second_ticket_about_the_same_asks_and_the_first_can_be_looked_at_instead() -> None:
    chat = Chat()
    for _ in range(2):
        await chat.say("open a ticket: my lamp flickers")
        reply = await chat.say("Every evening since Monday.")

    shown = await chat.say("Show me my tickets")

    assert "T-1" in reply.text
    assert "“my lamp flickers”: open" in shown.text
    assert len(chat.world.desk.tickets) == 1


async def test_own_tickets_are_listed() -> None:
    chat = Chat()
    await chat.say("open a ticket: my lamp flickers")
    await chat.say("Every evening since Monday.")

    reply = await chat.say("what happened to my ticket?")

    assert "T-1, “my lamp flickers”: open, last change on 22 November 2026" in reply.text


async def test_own_orders_are_told_with_their_facts() -> None:
    reply = await Chat().say("Where is my order?")

    assert reply.text == (
        "- Order ORD-1001 (Garden lamp): shipped; placed on 1 November 2026; total 49.00 EUR; tracking number TRK-ANNA"
    )


@pytest.mark.parametrize(
    "words",
    [
        "When will it arrive?",
        "is it shipped?",
        "has it been sent yet",
        "and the other one?",
        "how much did I pay",
        "and where is it now?",
        "what's the tracking number?",
    ],
)
async def test_what_is_asked_right_after_the_orders_looks_at_them_again(words: str) -> None:
    chat = Chat()
    chat.knows(RETURNS)
    await chat.say("Where is my order?")
    await chat.say("thanks")

    reply = await chat.say(words)

    assert chat.tools_used == ["customer_info"]
    assert "ORD-1001" in reply.text


@pytest.mark.parametrize(
    "words", ["Can I return it?", "what if it arrives damaged?", "how many days do I have to return an item?"]
)
async def test_a_question_for_the_articles_stays_one_after_the_orders(words: str) -> None:
    chat = Chat()
    chat.knows(RETURNS)
    await chat.say("Where is my order?")

    await chat.say(words)
    assert chat.tools_used == ["search_knowledge"]

    await chat.say("When will it arrive?")
    assert chat.tools_used == ["search_knowledge"]


async def test_an_order_number_that_is_not_his_is_not_invented() -> None:
    reply = await Chat().say("what is the status of my order ORD-9999?")

    assert reply.text.startswith(ENGLISH.order_unknown)
    assert "9999" not in reply.text


async def test_own_account_is_told() -> None:
    reply = await Chat().say("what do you know about me?")

    assert f"- Name: {ANNA.name}" in reply.text
    assert f"- E-mail: {ANNA.email}" in reply.text


async def test_a_visitor_gets_no_account_and_an_honest_offer() -> None:
    world = ToolWorld()
    chat = Chat(world, caller=world.visitor())

    reply = await chat.say("where is my order?")

    assert chat.actions[0].status is ActionStatus.REFUSED
    assert reply.text.startswith(chat.actions[0].summary)
    assert reply.text.endswith(ENGLISH.offer_person)
    assert reply.state.offer == "handoff"
    assert not world.directory.asked_for


async def test_the_answer_is_sent_when_asked_for() -> None:
    chat = Chat()
    chat.knows(RETURNS)
    await chat.say("how many days do I have to return an item?")

    await chat.say("can you e-mail me that?")

    (sent,) = chat.world.channel.sent
    assert sent.address == ANNA.email
    assert "within 30 days" in sent.body
    assert "[1]" not in sent.body


async def test_answer_and_message_can_be_asked_for_at_once() -> None:
    chat = Chat()
    chat.knows(RETURNS)

    reply = await chat.say("How many days do I have to return an item? Please e-mail me that.")

    (sent,) = chat.world.channel.sent
    assert "within 30 days" in sent.body
    assert RETURNS.url is not None
    assert RETURNS.url in sent.body
    assert reply.text.endswith(chat.actions[-1].summary)


async def test_an_unknown_way_of_sending_offers_the_usual_one() -> None:
    chat = Chat()
    chat.knows(RETURNS)
    await chat.say("how many days do I have to return an item?")

    refused = await chat.say("send that to me by sms")
    await chat.say("yes")

    assert refused.state.offer == "notify"
    assert len(chat.world.channel.sent) == 1


async def test_nothing_said_yet_is_not_sent() -> None:
    chat = Chat()

    reply = await chat.say("e-mail me that")

    assert reply.text == ENGLISH.notify_what
    assert not chat.actions


async def test_a_person_takes_over_and_learns_the_question() -> None:
    chat = Chat()
    await chat.say("do you sell pianos?")

    reply = await chat.say("I want to talk to a human", "are you there?")

    assert chat.tools_used == ["handoff"]
    assert reply.text == chat.actions[0].summary
    assert not reply.quick_replies


async def test_a_search_that_fails_is_admitted_and_the_rest_is_served() -> None:
    chat = Chat(contact="help@lamps.example")
    chat.world.knowledge.failure = DependencyUnavailable("knowledge")

    reply = await chat.say("how many days do I have to return an item?", "and where is my order?")

    search = next(action for action in chat.actions if action.tool == "search_knowledge")
    assert search.status is ActionStatus.FAILED
    assert search.summary in reply.text
    assert "ORD-1001" in reply.text
    assert "help@lamps.example" in reply.text
    assert reply.state.offer == "ticket"
    assert not reply.citations


async def test_a_follow_up_is_searched_with_what_it_leans_on() -> None:
    chat = Chat()
    chat.knows(RETURNS)
    await chat.say("how do I get a refund for a lamp?")

    reply = await chat.say("and how long does that take?")

    assert (
        chat.world.knowledge.asked_for[-1][1]
        == "and how long does that take? how do I get a refund for a lamp?"
    )
    assert "5 working days" in reply.text


async def test_two_questions_in_one_sentence_are_both_searched() -> None:
    chat = Chat()
    chat.knows(RETURNS)

    await chat.say("How do I return a lamp and how do I reset my password?")

    assert [words for _, words in chat.world.knowledge.asked_for] == [
        "How do I return a lamp",
        "how do I reset my password?",
    ]


@pytest.mark.parametrize("message", ["???", "…", "🙂"])
async def test_a_message_without_words_is_asked_back(message: str) -> None:
    reply = await Chat().say(message)

    assert reply.text == ENGLISH.nothing_said
    assert reply.status is TurnStatus.NEEDS_CUSTOMER


async def test_an_article_without_a_sentence_is_never_cited() -> None:
    chat = Chat()
    chat.world.knowledge.result = SearchResult(
        passages=(msgspec.structs.replace(RETURNS, text="# Heading\n\n![picture](a.png)\n"),)
    )

    reply = await chat.say("how many days do I have to return an item?")

    assert not reply.citations


async def test_a_state_of_another_brain_is_no_obstacle() -> None:
    chat = Chat()
    chat.state = ConversationState(offer="something else", notes={"plan": [1, 2]})

    reply = await chat.say("yes")

    assert reply.text == ENGLISH.nothing_to_confirm
    assert reply.state.notes["plan"] == [1, 2]


async def test_what_is_not_known_is_not_sent() -> None:
    chat = Chat()
    unknown = await chat.say("do you sell unicorns?")

    reply = await chat.say("e-mail me that")
    again = await chat.say("e-mail me that")

    assert unknown.text.startswith(ENGLISH.unknown)
    assert reply.text == again.text == f"{ENGLISH.notify_nothing}\n\n{ENGLISH.offer}"
    assert reply.state.offer == "ticket"
    assert not chat.world.channel.sent
