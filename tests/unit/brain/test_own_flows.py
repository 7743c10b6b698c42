"""A conversation along flows that a company declared: answers, corrections, digressions, wishes that wait, and the way out."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.embedded import EmbeddedBrain
from agent.brain.fallback import FallbackBrain
from agent.brain.flows.toolfacts import facts_of
from agent.brain.own_intents import IntentReader, ScoredIntent, ServedBy, Service
from agent.brain.phrases import ENGLISH
from core.errors import DependencyUnavailable
from core.ids import receipt_for
from core.messages import ActionStatus, BrainName, TurnStatus
from core.resilience.degradation import GracefulDegradationHandler
from state.codec import decode, encode
from state.models import ConversationState, OpenFlow
from tests.tool_world import ToolWorld
from tests.unit.brain.chat import RETURNS, Chat
from tests.unit.flows.declare import NEWSLETTER, RETURN, library
from tools.protocol import ToolCall, ToolResult

ORDER = "Which order is it from?"
REASON = "Why do you return it?"
DETAILS = "What is broken?"
DELIVERED = "When did it arrive?"
CONFIRM = "Shall I register the return of ORD-1001 (Broken), delivered on 3 November 2026?"


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    return shop(tmp_path)


def shop(folder: Path, *, intents: IntentReader | None = None, world: ToolWorld | None = None) -> Chat:
    flows = library(folder, returns=RETURN, newsletter=NEWSLETTER)
    return Chat(world, brain=EmbeddedBrain(company="Lamps & Co", flows=flows, intents=intents))


async def until_confirmation(chat: Chat) -> None:
    reply = await chat.say("I want to return my lamp from order ORD-1001, it is damaged since 3 November")
    assert reply.text == DETAILS
    assert (await chat.say("the glass")).text == CONFIRM


async def test_it_is_carried_through_question_by_question(chat: Chat) -> None:
    said = [
        await chat.say(words)
        for words in ("I want to return my lamp", "ORD-1001", "Broken", "The glass is.", "on 3 November")
    ]
    done = await chat.say("yes")

    assert [reply.text for reply in said] == [ORDER, REASON, DETAILS, DELIVERED, CONFIRM]
    assert said[1].quick_replies == ("Broken", "I do not want it", ENGLISH.say_cancel)
    assert said[-1].quick_replies == ("Yes", "No")
    assert all(reply.status is TurnStatus.NEEDS_CUSTOMER for reply in said)
    ((_, ticket),) = chat.world.desk.tickets
    assert (ticket.subject, ticket.description) == (
        "Return of ORD-1001: Broken",
        "Delivered on 2026-11-03: The glass is.",
    )
    assert done.text.endswith(f"Your return number is {ticket.receipt}.")
    assert done.state.flow is None


async def test_what_the_first_message_says_is_not_asked_for(chat: Chat) -> None:
    await until_confirmation(chat)


async def test_one_answer_may_hold_several(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    reply = await chat.say("ORD-1001, I changed my mind, it came on 3 November")

    assert reply.text.startswith("Shall I register the return of ORD-1001 (I do not want it)")


async def test_a_question_for_somebody_who_needs_no_answer_is_not_asked(chat: Chat) -> None:
    await chat.say("I want to return my lamp ORD-1001, I changed my mind")
    await chat.say("on 3 November")

    await chat.say("yes")

    assert chat.world.desk.tickets[0][1].description == "Delivered on 2026-11-03."


async def test_a_question_within_it_is_answered_and_the_flows_question_repeated(chat: Chat) -> None:
    await chat.say("I want to return my lamp")
    chat.knows(RETURNS)

    aside = await chat.say("How many days do I have to return an item?")
    both = await chat.say("It is ORD-1001. How many days do I have to return an item?")

    back = "Back to where we were (returning an item):"
    assert "within 30 days" in aside.text
    assert aside.text.endswith(f"{back} {ORDER}")
    assert "within 30 days" in both.text
    assert both.text.endswith(f"{back} {REASON}")


async def test_an_order_is_looked_up_within_it(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    aside = await chat.say("where is my order?")

    assert "Garden lamp" in aside.text
    assert aside.text.endswith(ORDER)


@pytest.mark.parametrize("words", ["No, I meant ORD-1002", "sorry, ORD-1002", "actually it's ORD-1002"])
async def test_an_earlier_answer_is_corrected(chat: Chat, words: str) -> None:
    await chat.say("I want to return my lamp")
    await chat.say("ORD-1001")

    reply = await chat.say(words)

    assert reply.text == f"All right: ORD-1002. {REASON}"
    assert reply.state.flow is not None
    assert reply.state.flow.slots["order"] == "ORD-1002"


async def test_a_correction_that_makes_an_answer_pointless_forgets_it(chat: Chat) -> None:
    await until_confirmation(chat)

    corrected = await chat.say("no, I changed my mind")
    await chat.say("yes")

    assert corrected.text.startswith("Shall I register the return of ORD-1001 (I do not want it)")
    assert chat.world.desk.tickets[0][1].description == "Delivered on 2026-11-03."


async def test_while_the_yes_is_open_another_value_is_a_correction(chat: Chat) -> None:
    await until_confirmation(chat)

    reply = await chat.say("it was on 5 November")

    assert reply.text == CONFIRM.replace("3 November", "5 November")
    assert not chat.world.desk.tickets


async def test_while_the_yes_is_open_a_question_corrects_nothing(chat: Chat) -> None:
    await until_confirmation(chat)
    chat.knows(RETURNS)

    reply = await chat.say("How many days do I have to return an item that came on 5 November?")

    assert "within 30 days" in reply.text
    assert reply.text.endswith(CONFIRM)


async def test_a_yes_and_a_lookup_are_both_served(chat: Chat) -> None:
    await until_confirmation(chat)

    reply = await chat.say("Yes please. And where is my order?")

    assert "TRK-ANNA" in reply.text
    assert "Your return number is" in reply.text


@pytest.mark.parametrize("words", ["Yes. But only if it is free.", "Yes. Is that free?"])
async def test_a_yes_with_a_condition_or_a_question_is_none_yet(chat: Chat, words: str) -> None:
    await until_confirmation(chat)

    reply = await chat.say(words)

    assert reply.text.endswith(CONFIRM)
    assert not chat.world.desk.tickets


async def test_another_wish_that_names_what_is_asked_for_is_not_lost(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    reply = await chat.say("I want to open a ticket about ORD-1001")

    assert reply.text == f"I will come to that right afterwards (support ticket).\n\n{REASON}"


async def test_a_lookup_that_names_what_is_asked_for_answers_both(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    reply = await chat.say("When will my order ORD-1001 arrive?")

    assert "TRK-ANNA" in reply.text
    assert reply.text.endswith(REASON)


async def test_asking_for_it_once_more_is_no_answer_and_no_slip(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    reply = await chat.say("I want to return my lamp please")

    assert reply.text == f"Back to where we were (returning an item): {ORDER}"
    assert reply.state.flow is not None
    assert reply.state.flow.misses == 0


REMIND = """
flow: remind
title: reminder
triggers: {phrases: [remind me]}
slots:
  - {name: what, type: text, ask: "Of what?"}
  - {name: way, type: text, ask: "How?"}
confirm: "Shall I write to you?"
call:
  tool: notify
  arguments: {subject: "Reminder", body: "Remember: {what}", channel: "{way}"}
"""


async def test_a_visitor_is_not_asked_three_questions_to_be_refused_then(tmp_path: Path) -> None:
    world = ToolWorld()
    flows = library(tmp_path, remind=REMIND)
    chat = Chat(world, caller=world.visitor(), brain=EmbeddedBrain(company="Lamps & Co", flows=flows))

    reply = await chat.say("Please remind me of it")

    assert chat.actions[0].status is ActionStatus.REFUSED
    assert reply.text.startswith(chat.actions[0].summary)
    assert reply.text.endswith(ENGLISH.offer_person)
    assert reply.state.flow is None


async def test_what_the_tool_refuses_is_asked_for_again(tmp_path: Path) -> None:
    chat = Chat(brain=EmbeddedBrain(company="Lamps & Co", flows=library(tmp_path, remind=REMIND)))
    await chat.say("Please remind me of it")
    await chat.say("the lamp")
    await chat.say("pigeon")

    refused = await chat.say("yes")
    await chat.say("email")
    await chat.say("yes")

    assert refused.state.flow is not None
    assert refused.state.flow.asked == "way"
    assert [sent.body for sent in chat.world.channel.sent] == ["Remember: the lamp"]


@pytest.mark.parametrize("words", ["no", "cancel", "never mind"])
async def test_it_ends_without_a_yes(chat: Chat, words: str) -> None:
    await until_confirmation(chat)

    reply = await chat.say(words)

    assert reply.text == "All right, I have stopped that (returning an item). Nothing was done."
    assert reply.state.flow is None
    assert not chat.world.desk.tickets


async def test_what_is_no_answer_is_said_and_asked_again_and_then_given_up(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    first = await chat.say("the big one")
    await chat.say("the one with the shade")
    third = await chat.say("the green one")

    assert first.text == f"I do not see a number of that form in your message. {ORDER}"
    assert third.text.startswith("I am sorry, I could not make sense of that")
    assert third.text.endswith(ENGLISH.offer_person)
    assert third.state.flow is None


async def test_two_wishes_in_one_message_are_both_served(chat: Chat) -> None:
    first = await chat.say("I want to return my lamp and subscribe to the newsletter")
    await chat.say("ORD-1001")
    await chat.say("I do not want it")
    await chat.say("on 3 November")
    second = await chat.say("yes")
    await chat.say("every month")
    last = await chat.say("no")
    await chat.say("yes")

    assert first.text == f"I will come to that right afterwards (newsletter).\n\n{ORDER}"
    assert second.text.endswith("Now to your other request (newsletter).\n\nEvery week, or every month?")
    assert last.text == "Shall I sign you up, Monthly?"
    assert [ticket.subject for _, ticket in chat.world.desk.tickets] == [
        "Return of ORD-1001: I do not want it",
        "Newsletter Monthly",
    ]
    assert chat.world.desk.tickets[1][1].description == "Newsletter Monthly, offers: no"


async def test_a_wish_within_it_waits_and_a_cancel_ends_only_the_first(chat: Chat) -> None:
    await chat.say("I want to return my lamp")

    waits = await chat.say("I want to open a ticket about my invoice")
    cancelled = await chat.say("cancel")

    assert waits.text.startswith("I will come to that right afterwards (support ticket).")
    assert waits.text.endswith(ORDER)
    assert cancelled.text.endswith(
        f"Now to your other request (support ticket).\n\n{ENGLISH.ticket_opening} {ENGLISH.ask_description}"
    )


async def test_a_wish_beside_an_answer_in_free_text_waits_too(chat: Chat) -> None:
    await chat.say("I want to return my lamp ORD-1001, it is broken")

    reply = await chat.say("The glass is in pieces. Sign me up for the newsletter please.")

    assert reply.text == f"I will come to that right afterwards (newsletter).\n\n{DELIVERED}"
    assert reply.state.flow is not None
    assert reply.state.flow.slots["details"] == "The glass is in pieces."


async def test_a_question_about_it_does_not_begin_it_but_a_polite_wish_does(chat: Chat) -> None:
    chat.knows(RETURNS)

    asked = await chat.say("How do I return my lamp?")
    wished = await chat.say("Could you please return my lamp for me?")

    assert asked.citations
    assert asked.state.flow is None
    assert wished.text == ORDER


async def test_after_its_minutes_an_answer_comes_too_late_and_a_wish_is_served(chat: Chat) -> None:
    await chat.say("I want to return my lamp")
    chat.world.clock.advance(61 * 60)
    late = await chat.say("ORD-1001")
    await chat.say("I want to return my lamp")
    chat.world.clock.advance(61 * 60)

    other = await chat.say("hello")

    assert late.text.startswith("What we had begun some time ago is no longer open")
    assert late.state.flow is None
    assert other.text == ENGLISH.greeting


async def test_a_yes_that_comes_too_late_does_nothing(chat: Chat) -> None:
    await until_confirmation(chat)
    chat.world.clock.advance(61 * 60)

    await chat.say("yes")

    assert not chat.world.desk.tickets


async def test_a_second_yes_does_it_no_second_time(chat: Chat) -> None:
    await until_confirmation(chat)
    await chat.say("yes")

    again = await chat.say("yes")

    assert again.text == ENGLISH.nothing_to_confirm
    assert len(chat.world.desk.tickets) == 1


async def test_what_failed_is_kept_and_tried_once_more_without_a_word_typed_twice(chat: Chat) -> None:
    await until_confirmation(chat)
    chat.world.ledger.failure = DependencyUnavailable("sql")
    failed = await chat.say("yes")
    chat.world.ledger.failure = None
    chat.world.clock.advance(60)

    await chat.say(ENGLISH.say_retry)

    assert failed.quick_replies == (ENGLISH.say_retry, ENGLISH.say_person, ENGLISH.say_no)
    assert chat.world.desk.tickets[0][1].subject == "Return of ORD-1001: Broken"


async def test_a_similar_ticket_is_asked_about_and_the_choice_finishes_the_flow(chat: Chat) -> None:
    for _ in range(2):
        await until_confirmation(chat)
        asked = await chat.say("yes")

    done = await chat.say("Open another one")

    assert "You have ticket T-1 about this already" in asked.text
    assert "Your return number is" in done.text
    assert len(chat.world.desk.tickets) == 2


async def test_a_flow_that_is_declared_no_more_is_let_go_of(chat: Chat, tmp_path: Path) -> None:
    await chat.say("I want to return my lamp")
    plain = Chat()
    plain.state = chat.state

    reply = await plain.say("hello")

    assert reply.text == ENGLISH.greeting
    assert reply.state.flow is None


@pytest.mark.parametrize(
    "changed",
    [
        OpenFlow("return_item", {"order": "ORD-1001"}, "colour"),
        OpenFlow("return_item", {"reason": "torn"}, "order"),
        OpenFlow("return_item", {"delivered": "last week"}, "confirm"),
    ],
)
async def test_a_dialogue_whose_declaration_has_changed_is_let_go_of(chat: Chat, changed: OpenFlow) -> None:
    chat.state = ConversationState(flow=msgspec.structs.replace(changed, touched_at=chat.world.clock.now()))

    reply = await chat.say("hello")

    assert reply.text == ENGLISH.greeting
    assert reply.state.flow is None


async def test_it_speaks_the_customers_language(tmp_path: Path) -> None:
    chat = shop(tmp_path)
    chat.locale = "de-AT"

    begun = await chat.say("Ich möchte meine Lampe zurückgeben")
    await chat.say("ORD-1001")
    await chat.say("kaputt")
    await chat.say("nein")
    confirm = await chat.say("vorgestern")
    await chat.say("ja, bitte")

    assert begun.text == "Aus welcher Bestellung ist es?"
    assert confirm.text.startswith("Soll ich die Rückgabe von ORD-1001 (Kaputt), geliefert am ")
    assert len(chat.world.desk.tickets) == 1


class BookingArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seats: int
    day: str


class Booking:
    """Waits for the customer's yes, as a tool of an outside server does that changes something."""

    name = "book"
    description = "Book seats."
    arguments = BookingArguments
    intent = BookingArguments
    feature = "outside"
    dependency: str | None = None
    needs_account = False
    has_effect = True
    is_repeatable = True
    asks_first = True

    def __init__(self) -> None:
        self.booked: list[BookingArguments] = []

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        return f"Book {msgspec.to_builtins(arguments)}?"

    async def plan(self, arguments: BookingArguments, call: ToolCall) -> BookingArguments:
        return arguments

    async def carry_out(self, intent: BookingArguments, call: ToolCall) -> ToolResult:
        self.booked.append(intent)
        return ToolResult(value={}, summary="Booked.", receipt=receipt_for(call.key))

    def put_off(self, intent: BookingArguments, call: ToolCall) -> ToolResult | None:
        return None

    def unsure(self, intent: BookingArguments, call: ToolCall) -> ToolResult:
        raise NotImplementedError


BOOK = """
flow: book
title: booking
triggers: {phrases: ["book * seats"]}
slots:
  - {name: seats, type: number, ask: "How many seats?"}
  - {name: day, type: date, days: future, ask: "When?"}
call:
  tool: book
  arguments: {seats: "{seats}", day: "{day}"}
"""


@pytest.fixture
def booking(tmp_path: Path) -> tuple[Chat, Booking]:
    tool = Booking()
    world = ToolWorld(tools=[tool])
    flows = library(tmp_path, tools=facts_of(world.registry), book=BOOK, newsletter=NEWSLETTER)
    return Chat(world, brain=EmbeddedBrain(company="Lamps & Co", flows=flows)), tool


async def test_a_tool_that_asks_for_the_yes_itself_is_called_after_it_and_once(
    booking: tuple[Chat, Booking],
) -> None:
    chat, tool = booking
    await chat.say("Please book two seats")
    await chat.say("2")

    asked = await chat.say("on 3 December")
    early = list(tool.booked)
    done = await chat.say("yes")
    again = await chat.say("yes")

    assert asked.text == "Book {'seats': 2, 'day': '2026-12-03'}?"
    assert early == []
    assert (done.text, done.state.flow) == ("Booked.", None)
    assert tool.booked == [BookingArguments(2, "2026-12-03")]
    assert again.text == ENGLISH.nothing_to_confirm


async def test_while_a_tool_waits_for_the_yes_an_answer_is_corrected_and_a_no_ends_it(
    booking: tuple[Chat, Booking],
) -> None:
    chat, tool = booking
    await chat.say("Please book 2 seats")
    await chat.say("on 3 December")

    corrected = await chat.say("no, I meant 4 December")
    aside = await chat.say("what can you do?")
    refused = await chat.say("no")

    assert corrected.text == "Book {'seats': 2, 'day': '2026-12-04'}?"
    assert aside.text.endswith(corrected.text)
    assert refused.text == "All right, I have left it as it is."
    assert refused.state.flow is None
    assert tool.booked == []


async def test_what_waits_behind_a_tools_own_yes_is_taken_up_after_it(booking: tuple[Chat, Booking]) -> None:
    chat, _ = booking
    await chat.say("Please book 2 seats and sign me up for the newsletter")
    await chat.say("on 3 December")
    await chat.say("yes")

    reply = await chat.say("thanks")

    assert reply.text.endswith("Now to your other request (newsletter).\n\nEvery week, or every month?")


class Flaky:
    """A brain with a model, which can be away."""

    name: BrainName = "llm"

    def __init__(self) -> None:
        self.is_away = True
        self.saw: list[ConversationState] = []

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        self.saw.append(turn.state)
        if self.is_away:
            raise DependencyUnavailable("model")
        await out.text("Back again.")
        return BrainReply(text="Back again.", state=turn.state, brain="llm")


async def test_a_flow_begun_without_the_model_is_handed_back_and_taken_up_again(tmp_path: Path) -> None:
    world, model = ToolWorld(), Flaky()
    embedded = EmbeddedBrain(company="Lamps & Co", flows=library(tmp_path, returns=RETURN))
    outages = GracefulDegradationHandler(clock=world.clock, rng=random.Random(7))
    brain = FallbackBrain(model, embedded, outages=outages, clock=world.clock)
    chat = Chat(world, brain=brain)

    begun = await chat.say("I want to return my lamp")
    outages.mark_up("model")
    model.is_away = False
    await chat.say("wait, what is the weather like?")
    model.is_away = True
    goes_on = await chat.say("ORD-1001")

    assert begun.text == ORDER
    assert model.saw[-2].flow is not None
    assert model.saw[-2].flow.asked == "order"
    assert goes_on.text == REASON


class Reader:
    """A company's own intents, by a word of each."""

    def __init__(self, service: Service | None) -> None:
        self._service = service
        self.failure: Exception | None = None

    async def read(self, text: str) -> Sequence[ScoredIntent]:
        if self.failure is not None:
            raise self.failure
        return (ScoredIntent("notify", 0.9, self._service),) if "umtauschen" in text else ()


async def test_an_intent_of_the_companys_own_begins_the_flow_that_serves_it(tmp_path: Path) -> None:
    reader = Reader(Service(ServedBy.FLOW, "return_item"))
    chat = shop(tmp_path, intents=reader)

    begun = await chat.say("die Lampe ORD-1001 umtauschen")
    reader.failure = DependencyUnavailable("vectors")
    chat.state = ConversationState()
    unread = await chat.say("die Lampe umtauschen")

    assert begun.text == REASON
    assert unread.text.startswith(ENGLISH.unknown)


async def test_a_dialogue_that_an_older_version_stored_goes_on(chat: Chat) -> None:
    """As it was written before flows were declared: no time of the last answer, no misses, nothing that waits."""
    stored = encode(
        {
            "v": 1,
            "flow": {
                "name": "ticket",
                "slots": {"subject": "My lamp flickers"},
                "asked": "description",
                "started_at": datetime(2026, 11, 22, 11, tzinfo=UTC),
            },
            "offer": None,
            "topic": [],
            "notes": {},
            "pending": None,
        }
    )
    chat.state = decode(stored, ConversationState)

    reply = await chat.say("It does so every evening.")

    assert "I have opened ticket T-1" in reply.text
    assert chat.world.desk.tickets[0][1].description == "It does so every evening."


async def test_a_question_about_a_similar_ticket_that_an_older_version_asked_is_answered(chat: Chat) -> None:
    await chat.say("open a ticket: my lamp flickers")
    await chat.say("Every evening since Monday.")
    chat.state = decode(
        encode(
            {
                "v": 1,
                "flow": {
                    "name": "ticket",
                    "slots": {"subject": "my lamp flickers", "description": "Every evening since Monday."},
                },
                "offer": "ticket_similar",
                "notes": {"similar": "T-1"},
            }
        ),
        ConversationState,
    )

    reply = await chat.say("add it please")

    assert "I have added this to your ticket T-1" in reply.text


async def test_a_language_model_between_ends_neither_flow_nor_what_waits(chat: Chat) -> None:
    await chat.say("I want to return my lamp and subscribe to the newsletter")
    between = msgspec.structs.replace(chat.state, offer=None, topic=("x",))
    chat.state = decode(encode(between), ConversationState)

    reply = await chat.say("ORD-1001")

    assert reply.text == REASON
    assert [each.name for each in reply.state.waiting] == ["newsletter"]
