"""Properties of any flow: whatever is declared, and whatever a customer says to it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.brain.flows import engine
from agent.brain.flows.declared import CONFIRM, Argument, Call, Choice, Flow, Slot, SlotKind, Triggers
from agent.brain.flows.engine import Ending, Moment, Step
from agent.brain.flows.heard import hear
from agent.brain.flows.texts import Template, Text
from state.codec import decode, encode_over
from state.models import ConversationState, OpenFlow

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
VISITOR = Moment(now=NOW, locale="en", is_visitor=True)
SAID = Text({"en": (Template.of("Please say it."),)})
ANSWERS = {
    SlotKind.TEXT: "the lamp in the hall flickers",
    SlotKind.CHOICE: "damaged",
    SlotKind.NUMBER: "3",
    SlotKind.DATE: "3 November",
    SlotKind.EMAIL: "eva@example.org",
    SlotKind.PHONE: "+49 30 1234567",
    SlotKind.REFERENCE: "ORD-1001",
    SlotKind.YES_NO: "yes",
}
CHOICES = (Choice("broken", {"en": ("Broken", "damaged")}), Choice("late", {"en": ("Late",)}))
WORDS = st.sampled_from(
    [
        *ANSWERS.values(),
        "no",
        "yes",
        "???",
        "late, and 4 of them",
        "no, I meant ORD-1002",
        "actually, on 4 November",
        "no, 5",
        "It is late. I meant something else.",
    ]
) | st.text(max_size=30)


@st.composite
def slots(draw: st.DrawFn) -> tuple[Slot, ...]:
    made: list[Slot] = []
    for n in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(list(SlotKind)))
        deciding = [slot for slot in made if slot.kind is SlotKind.CHOICE]
        is_conditional: bool = draw(st.booleans())
        condition = {deciding[0].name: frozenset({"broken"})} if deciding and is_conditional else {}
        made.append(
            Slot(
                name=f"slot_{n}",
                kind=kind,
                ask=SAID,
                of=draw(st.sampled_from(["all", "visitors", "nobody"])),
                only_when_asked=draw(st.booleans()),
                declined=draw(st.sampled_from([None, (), (Template.of("none"),)])),
                condition=condition,
                least=draw(st.sampled_from([None, 1, 10])) if kind is SlotKind.TEXT else None,
                pattern=re.compile(r"ORD-\d{4}", re.IGNORECASE) if kind is SlotKind.REFERENCE else None,
                choices=CHOICES if kind is SlotKind.CHOICE else (),
                collects=draw(st.booleans()),
            )
        )
    return tuple(made)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    made = draw(slots())
    return Flow(
        name="any",
        title=SAID,
        triggers=Triggers(),
        slots=made,
        confirm=SAID if draw(st.booleans()) else None,
        call=Call(
            tool="register",
            arguments=tuple(
                Argument(name=slot.name, wordings=(Template.of(f"{{{slot.name}}}"),)) for slot in made
            ),
        ),
    )


def talk(flow: Flow, opening: str, messages: list[str], see: Callable[[OpenFlow, str, Step], None]) -> Step:
    """Until it is over or nothing more is said; `see` is told of each step: what was asked, what was said, what came of it."""
    step = engine.begin(flow, {"message": opening}, VISITOR, words=opening)
    for message in messages:
        if step.call is not None or step.state is None:
            break
        before = step.state
        step = engine.take(flow, before, hear(message), VISITOR)
        see(before, message, step)
    return step


def nothing_to_see(before: OpenFlow, message: str, step: Step) -> None: ...


@given(flows(), WORDS, st.lists(WORDS, max_size=8))
def test_it_never_asks_for_what_it_knows(flow: Flow, opening: str, messages: list[str]) -> None:
    def see(before: OpenFlow, message: str, step: Step) -> None:
        if step.state is None or step.state.asked in (None, CONFIRM):
            return
        slot = flow.slot(step.state.asked)
        assert slot is not None
        assert slot.of != "nobody"
        known = step.state.slots.get(slot.name)
        assert known is None or (slot.kind is SlotKind.TEXT and len(known) < (slot.least or 1))

    talk(flow, opening, messages, see)


@given(flows(), WORDS, st.lists(WORDS, max_size=8))
def test_a_cancel_ends_it_whatever_is_asked(flow: Flow, opening: str, messages: list[str]) -> None:
    step = talk(flow, opening, messages, nothing_to_see)
    if step.call is not None or step.state is None:
        return

    ended = engine.take(flow, step.state, hear("cancel"), VISITOR)

    assert (ended.state, ended.call, ended.ending) == (None, None, Ending.CANCELLED)


@given(flows(), WORDS, st.lists(WORDS, max_size=8))
def test_what_asks_for_a_yes_calls_only_right_after_one(
    flow: Flow, opening: str, messages: list[str]
) -> None:
    begun = engine.begin(flow, {"message": opening}, VISITOR, words=opening)
    assert begun.call is None or flow.confirm is None

    def see(before: OpenFlow, message: str, step: Step) -> None:
        if step.call is not None and flow.confirm is not None:
            assert before.asked == CONFIRM
            assert hear(message).word == "yes"

    talk(flow, opening, messages, see)


@given(flows(), WORDS, st.lists(WORDS, max_size=4))
def test_whoever_answers_what_is_asked_comes_to_the_end(
    flow: Flow, opening: str, messages: list[str]
) -> None:
    step = talk(flow, opening, messages, nothing_to_see)
    questions = 0
    while step.call is None and step.state is not None:
        slot = flow.slot(step.state.asked)
        answer = "yes" if slot is None else ANSWERS[slot.kind]
        step = engine.take(flow, step.state, hear(answer), VISITOR)
        questions += 1
        assert questions <= len(flow.slots) + 1

    if step.ending is None:
        assert step.call is not None
        asked_of_all = {
            slot.name
            for slot in flow.slots
            if slot.of != "nobody" and not slot.condition and slot.declined is None
        }
        assert asked_of_all <= set(step.call.arguments)


@given(flows(), WORDS)
def test_nonsense_three_times_in_a_row_ends_it(flow: Flow, opening: str) -> None:
    step = talk(flow, opening, ["???", "???", "???"], nothing_to_see)

    assert step.call is not None or step.ending is Ending.GIVEN_UP


@given(flows(), WORDS, st.lists(WORDS, max_size=8))
def test_every_state_can_be_stored_between_two_turns(flow: Flow, opening: str, messages: list[str]) -> None:
    def see(before: OpenFlow, message: str, step: Step) -> None:
        stored = decode(encode_over(ConversationState(flow=step.state), None), ConversationState).flow
        assert stored == step.state
        if stored is not None and step.state is not None:
            assert list(stored.slots) == list(step.state.slots)  # the newest last

    talk(flow, opening, messages, see)


@given(flows(), st.floats(0, 10_000, allow_nan=False))
def test_an_open_question_is_forgotten_after_its_minutes(flow: Flow, minutes: float) -> None:
    state = OpenFlow(name="any", touched_at=NOW)

    assert engine.has_expired(flow, state, NOW + timedelta(minutes=minutes)) is (minutes > flow.minutes)


def test_the_minutes_count_from_the_last_answer() -> None:
    flow = Flow(
        name="any",
        title=SAID,
        triggers=Triggers(),
        slots=(Slot(name="a", kind=SlotKind.NUMBER), Slot(name="b", kind=SlotKind.NUMBER)),
    )
    begun = engine.begin(flow, {}, VISITOR)
    later = msgspec.structs.replace(begun.state, started_at=NOW) if begun.state else None
    assert later is not None

    answered = engine.take(
        flow, later, hear("3"), Moment(now=NOW + timedelta(minutes=50), locale="en", is_visitor=True)
    )

    assert answered.state is not None
    assert not engine.has_expired(flow, answered.state, NOW + timedelta(minutes=100))
    assert engine.has_expired(flow, answered.state, NOW + timedelta(minutes=111))


@pytest.mark.parametrize(
    ("said", "word", "meant"),
    [
        ("No, I meant ORD-1002", None, "ORD-1002"),
        ("nein, ich meinte die andere", None, "die andere"),
        ("perdón, quise decir el martes", None, "el martes"),
        ("non, je voulais dire hier", None, "hier"),
        ("yes please", "yes", None),
        ("Ja, bitte", "yes", None),
        ("nein danke", "no", None),
        ("no, stop", "cancel", None),
        ("abbrechen", "cancel", None),
        ("annulez", "cancel", None),
        ("sorry, I mean the other one", None, "the other one"),
        ("I mean that it flickers", None, None),
        ("Actually it flickers", None, None),
        ("no idea", None, None),
    ],
)
def test_yes_no_stop_and_corrections_are_heard_in_four_languages(
    said: str, word: str | None, meant: str | None
) -> None:
    heard = hear(said)

    assert (heard.word, heard.meant) == (word, meant)
