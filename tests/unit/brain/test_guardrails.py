"""
What guardrails let pass, take out and refuse, and what their own failure does.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.guardrails.abuse import AbuseGuardrail
from agent.brain.guardrails.base import Fails, Guardrail, Mask, Passed, Refused
from agent.brain.guardrails.guarded import GuardedBrain
from agent.brain.guardrails.language import LanguageGuardrail
from agent.brain.guardrails.limits import LengthGuardrail
from agent.brain.guardrails.pii import PiiGuardrail, PiiKind, masked
from agent.brain.guardrails.topics import Topic, TopicGuardrail
from core.messages import BrainName, Citation, Message, MessageRole
from tests.unit.brain.llm_fakes import NOON, FakeTools, Screen, turn

ALL: frozenset[PiiKind] = frozenset({"card", "iban", "national_id", "email", "phone"})
CARD = "4111 1111 1111 1111"


class Echo:
    """A brain that says what it read, in pieces."""

    name: BrainName = "llm"

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces
        self.turns: list[TurnInput] = []

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        self.turns.append(turn)
        pieces = self._pieces or (turn.text,)
        for piece in pieces:
            await out.text(piece)
        citation = Citation(1, "a", "A", None, f"Quote {CARD}")
        return BrainReply(text="".join(pieces), state=turn.state, brain=self.name, citations=(citation,))


class Counted:
    def __init__(self) -> None:
        self.acted: list[tuple[str, str]] = []

    def guardrail_acted(self, guardrail: str, *, action: str) -> None:
        self.acted.append((guardrail, action))


class Broken:
    def __init__(self, fails: Fails) -> None:
        self.name = "broken"
        self.fails = fails

    def may_concern(self, text: str) -> bool:
        return True

    async def check(self, text: str, locale: str) -> Passed | Refused:
        raise RuntimeError("the guardrail itself")


class Embeds:
    """Texts about money point one way, all others another."""

    def __init__(self) -> None:
        self.is_out = False

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if self.is_out:
            raise RuntimeError("no vectors")
        rows = [[1.0, 0.0] if "money" in text or "shares" in text else [0.0, 1.0] for text in texts]
        return np.asarray(rows, dtype=np.float32)


async def said(
    brain: Echo,
    text: str,
    *,
    masks: Sequence[Mask] = (),
    before: Sequence[Guardrail] = (),
    after: Sequence[Mask] = (),
    reply_characters: int = 1000,
    locale: str = "en",
    history: tuple[Message, ...] = (),
) -> tuple[BrainReply, Screen, list[tuple[str, str]]]:
    counted, screen = Counted(), Screen()
    guarded = GuardedBrain(
        brain, masks=masks, before=before, after=after, reply_characters=reply_characters, metrics=counted
    )
    reply = await guarded.respond(turn(text, locale=locale, history=history), FakeTools(), screen)
    assert screen.shown == reply.text
    return reply, screen, counted.acted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"My card is {CARD}.", "My card is [card number]."),
        ("378282246310005 and 5555-5555-5555-4444", "[card number] and [card number]"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [IBAN] please"),
        ("GB82WEST12345698765432", "[IBAN]"),
        ("SSN 123-45-6789", "SSN [ID number]"),
        ("Steuer-ID 86095742719", "Steuer-ID [ID number]"),
        ("DNI 12345678Z, NIE X1234567L", "DNI [ID number], NIE [ID number]"),
        ("NIR 2 55 08 14 168 025 38", "NIR [ID number]"),
        ("Write to anna@shop.example or +49 151 5550111", "Write to [e-mail address] or [phone number]"),
    ],
)
def test_numbers_that_open_an_account_or_name_a_person_are_found(text: str, shown: str) -> None:
    assert masked(text, ALL) == shown


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "order 2026112800012345",
        "DE88 3704 0044 0532 0130 00",
        "666-45-6789 and 000-12-3456",
        "86095742718",
        "12345678A",
        "tracking 00340434161094042557",
        "R-7QK2M4XWZC, T-1001, 2026-11-28, 12:30, 19.99 EUR",
        "Turn it 180 degrees, 3 times, in 2026.",
    ],
)
def test_numbers_with_wrong_check_digits_and_other_numbers_stay(text: str) -> None:
    assert masked(text, ALL) == text


def test_only_what_the_policy_names_is_taken_out() -> None:
    only: frozenset[PiiKind] = frozenset({"email"})

    assert masked(f"{CARD} anna@shop.example", only) == f"{CARD} [e-mail address]"


async def test_no_brain_reads_a_card_number_of_now_or_of_before() -> None:
    before = Message(message_id="m0", seq=0, role=MessageRole.CUSTOMER, text=f"It is {CARD}", at=NOON)
    echo = Echo()

    _, _, acted = await said(
        echo,
        f"Use {CARD}",
        masks=[PiiGuardrail(["card"], name="pii_in", fails=Fails.CLOSED)],
        history=(before,),
    )

    assert echo.turns[0].text == "Use [card number]"
    assert echo.turns[0].history[0].text == "It is [card number]"
    assert before.text == f"It is {CARD}"
    assert acted == [("pii_in", "changed")] * 2


async def test_no_reply_or_quote_shows_a_card_number() -> None:
    echo = Echo("Your card ", f"is {CARD}. [1]")

    reply, screen, _ = await said(
        echo, "Hi", after=[PiiGuardrail(["card"], name="pii_out", fails=Fails.CLOSED)]
    )

    assert reply.text == "Your card is [card number]. [1]"
    assert reply.citations[0].quote == "Quote [card number]"
    assert CARD not in "".join(screen.history)


async def test_what_nothing_is_taken_out_of_is_the_same_turn_and_the_same_reply() -> None:
    echo = Echo("All is well.")
    asked = turn("Hi")
    pii = PiiGuardrail(["card"], name="pii_in", fails=Fails.CLOSED)

    guarded = GuardedBrain(echo, masks=[pii], after=[pii], reply_characters=100, metrics=Counted())
    reply = await guarded.respond(asked, FakeTools(), Screen())

    assert echo.turns == [asked]
    assert echo.turns[0] is asked
    assert reply.text == "All is well."


async def test_a_reply_ends_before_the_piece_that_is_too_much() -> None:
    reply, _, _ = await said(Echo("One. ", "Two. ", "Three."), "Hi", reply_characters=11)

    assert reply.text == "One. Two. "


@pytest.mark.parametrize(
    ("guardrail", "text", "is_refused"),
    [
        (LengthGuardrail(20, fails=Fails.OPEN), "x" * 21, True),
        (LengthGuardrail(20, fails=Fails.OPEN), "x" * 20, False),
        (AbuseGuardrail(fails=Fails.OPEN), "You stupid idiot bot!", True),
        (AbuseGuardrail(fails=Fails.OPEN), "Fuck you", True),
        (AbuseGuardrail(fails=Fails.OPEN), "Du Arschloch", True),
        (AbuseGuardrail(fails=Fails.OPEN), "Where is my fucking parcel?", False),
        (
            AbuseGuardrail(fails=Fails.OPEN),
            "This stupid lamp flickers and hums since yesterday evening",
            False,
        ),
        (AbuseGuardrail(fails=Fails.OPEN), "My lamp is broken", False),
        (LanguageGuardrail(["en", "de"], fails=Fails.OPEN), "Где моя посылка, которую я заказал?", True),
        (LanguageGuardrail(["en", "de"], fails=Fails.OPEN), "Dove è il mio pacco che non ho ricevuto?", True),
        (
            LanguageGuardrail(["en", "de"], fails=Fails.OPEN),
            "Wo ist mein Paket, das ich bestellt habe?",
            False,
        ),
        (LanguageGuardrail(["en"], fails=Fails.OPEN), "Where is my parcel, please?", False),
        (LanguageGuardrail(["en"], fails=Fails.OPEN), "T-1001", False),
        (LanguageGuardrail(["en"], fails=Fails.OPEN), "Merci!", False),
    ],
)
async def test_a_message_is_refused_or_passes(guardrail: Guardrail, text: str, is_refused: bool) -> None:
    echo = Echo("Answered.")

    reply, _, acted = await said(echo, text, before=[guardrail])

    assert (len(echo.turns) == 0) is is_refused
    assert (reply.text != "Answered.") is is_refused
    assert acted == ([(guardrail.name, "refused")] if is_refused else [])
    assert bool(reply.quick_replies) is is_refused


async def test_a_refusal_is_said_in_the_customers_language() -> None:
    reply, _, _ = await said(Echo(), "x" * 30, before=[LengthGuardrail(20, fails=Fails.OPEN)], locale="de-AT")

    assert reply.text.startswith("Das ist mehr")


TOPICS = (
    Topic(name="legal", words=("legal advice", "sue"), reply="Our lawyers answer at law@shop.example."),
    Topic(name="investing", examples=("Should I buy shares?",), likeness=0.8),
)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Can you give me legal advice?", "Our lawyers"),
        ("I will sue you", "Our lawyers"),
        ("How do I make money quickly?", "I cannot help with this topic"),
        ("Is the issue legal?", "Answered."),
        ("How do I return a lamp?", "Answered."),
    ],
)
async def test_topics_are_found_by_words_and_by_meaning(text: str, starts: str) -> None:
    reply, _, _ = await said(
        Echo("Answered."), text, before=[TopicGuardrail(TOPICS, Embeds(), fails=Fails.OPEN)]
    )

    assert reply.text.startswith(starts)


async def test_without_vectors_a_topic_does_what_it_declares_and_words_count_still() -> None:
    embeds = Embeds()
    embeds.is_out = True

    opened, _, acted = await said(
        Echo("Answered."), "Hello there", before=[TopicGuardrail(TOPICS, embeds, fails=Fails.OPEN)]
    )
    closed, _, _ = await said(
        Echo("Answered."), "Hello there", before=[TopicGuardrail(TOPICS, embeds, fails=Fails.CLOSED)]
    )
    by_words, _, _ = await said(
        Echo("Answered."), "I will sue you", before=[TopicGuardrail(TOPICS, None, fails=Fails.OPEN)]
    )

    assert opened.text == "Answered."
    assert acted == [("topics", "failed_open")]
    assert closed.text.startswith("I cannot answer this at the moment")
    assert by_words.text.startswith("Our lawyers")


@pytest.mark.parametrize("place", ["masks", "before", "after"])
async def test_a_guardrail_that_fails_does_what_it_declares(place: str) -> None:
    rails: dict[str, Sequence[Broken]] = {place: [Broken(Fails.OPEN)]}
    opened, _, acted_open = await said(Echo("Answered."), "Hi", **rails)  # type: ignore[arg-type]  # one of three
    rails = {place: [Broken(Fails.CLOSED)]}
    closed, _, acted_closed = await said(Echo("Answered."), "Hi", **rails)  # type: ignore[arg-type]  # one of three

    assert opened.text == "Answered."
    assert ("broken", "failed_open") in acted_open
    assert "Answered." not in closed.text
    assert closed.text
    assert ("broken", "failed_closed") in acted_closed
