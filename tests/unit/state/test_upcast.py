"""Older states are brought up step by step, newer ones are read as far as they make sense and kept whole."""

from enum import StrEnum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataIntegrityFailed, StateLoadFailed
from state.codec import StateChange, change_by, change_over, decode, encode, encode_over
from state.journal import CommitEntry, EffectEntry, decode_entry, encode_entry
from state.models import ConversationState, CustomerState, OpenFlow
from state.store import EffectRecord, Lease
from state.upcast import Chain, Fields
from tests.contracts.databases import answer

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
KNOWN = {"v", "flow", "offer", "topic", "notes", "pending", "waiting", "summary", "deployment"}
UNKNOWN = st.dictionaries(NAMES.filter(lambda name: name not in KNOWN), VALUES, max_size=4)


class Mood(StrEnum):
    CALM = "calm"


class Moody(msgspec.Struct, frozen=True):
    """A state with a fixed set in it."""

    mood: Mood | None = None
    offer: str | None = None


def fields(stored: bytes) -> dict[str, Any]:
    return decode(stored, dict[str, Any])


@given(UNKNOWN, st.integers(1, 9), st.none() | NAMES)
def test_any_field_of_a_newer_version_survives_a_turn_of_this_one(
    unknown: Fields, version: int, offer: str | None
) -> None:
    newer = encode({**unknown, "v": version, "offer": "ticket"})

    written = encode_over(ConversationState(offer=offer), newer)

    assert {name: value for name, value in fields(written).items() if name not in KNOWN} == unknown
    assert fields(written)["v"] == version
    assert decode(written, ConversationState).offer == offer


@given(VALUES, VALUES)
def test_a_newer_field_of_any_shape_neither_stops_a_turn_nor_is_written_over(flow: Any, topic: Any) -> None:
    newer = encode({"v": 2, "flow": {"renamed": flow}, "topic": {"by_day": topic}, "offer": "handoff"})

    read = decode(newer, ConversationState)
    written = encode_over(ConversationState(OpenFlow("ticket"), "ticket", ("a",)), newer)

    assert read == ConversationState(offer="handoff")
    assert fields(written)["flow"] == {"renamed": flow}
    assert fields(written)["topic"] == {"by_day": topic}
    assert fields(written)["offer"] == "ticket"


def test_a_newer_member_of_a_fixed_set_reads_as_nothing_and_stays() -> None:
    newer = encode({"v": 2, "mood": "furious", "offer": "handoff"})
    chain = Chain()

    read = decode(newer, Moody, chain=chain)

    assert read == Moody(None, "handoff")
    assert fields(encode_over(Moody(Mood.CALM), newer, chain=chain))["mood"] == "furious"


def test_the_same_shapes_without_a_newer_version_are_damage() -> None:
    for damaged in ({"v": 1, "topic": 5}, {"topic": 5}, {"v": "two"}, {"v": None}):
        with pytest.raises(DataIntegrityFailed):
            decode(encode(damaged), ConversationState)


def test_what_is_not_known_of_a_flow_is_kept_while_it_goes_on_and_goes_with_it() -> None:
    newer = encode({"v": 1, "flow": {"name": "ticket", "slots": {"a": "1"}, "asked": "b", "urgency": 3}})

    goes_on = encode_over(ConversationState(OpenFlow("ticket", {"a": "1", "b": "2"})), newer)
    another = encode_over(ConversationState(OpenFlow("return")), newer)
    over = encode_over(ConversationState(), newer)

    assert fields(goes_on)["flow"]["urgency"] == 3
    assert fields(goes_on)["flow"]["slots"] == {"a": "1", "b": "2"}
    assert "urgency" not in fields(another)["flow"]
    assert fields(over)["flow"] is None


# A version 0 that never was: one offer as a list, the topic under another name.


def from_version_0(stored: Fields) -> Fields:
    offers = stored["offers"]
    rest = {name: value for name, value in stored.items() if name not in ("offers", "articles")}
    return {**rest, "offer": offers[0] if offers else None, "topic": stored["articles"]}


def from_version_minus_1(stored: Fields) -> Fields:
    return {**stored, "articles": stored["articles"].split()}


CHAIN = Chain(present=1, steps={-1: from_version_minus_1, 0: from_version_0})


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(
            {"v": 0, "offers": ["ticket"], "articles": ["a", "b"], "loyalty": "gold"}, id="one step"
        ),
        pytest.param({"v": -1, "offers": ["ticket"], "articles": "a b", "loyalty": "gold"}, id="two steps"),
    ],
)
def test_an_older_state_is_brought_up_step_by_step_before_it_is_read_or_written_over(stored: Fields) -> None:
    older = encode(stored)

    read = decode(older, ConversationState, chain=CHAIN)
    written = encode_over(ConversationState(offer="handoff", topic=read.topic), older, chain=CHAIN)

    assert read == ConversationState(offer="ticket", topic=("a", "b"))
    assert decode(written, ConversationState) == ConversationState(offer="handoff", topic=("a", "b"))
    assert fields(written)["loyalty"] == "gold"
    assert fields(written)["v"] == 1
    assert not {"offers", "articles"} & fields(written).keys()


@pytest.mark.parametrize("stored", [{"v": 0, "offers": 5, "articles": []}, {"v": 0}, {"v": -7}])
def test_an_older_state_that_no_step_understands_is_an_error_and_never_an_empty_state(stored: Fields) -> None:
    with pytest.raises(DataIntegrityFailed):
        decode(encode(stored), ConversationState, chain=CHAIN)
    with pytest.raises(DataIntegrityFailed):
        encode_over(ConversationState(), encode(stored), chain=CHAIN)


# A change that was made to another copy of the state


@given(UNKNOWN, UNKNOWN)
def test_a_change_leaves_alone_what_was_not_changed_and_what_was_not_known(
    here: Fields, there: Fields
) -> None:
    stored = encode({**here, "v": 1, "offer": "ticket", "topic": ["a"], "notes": {"n": 1}})
    before = encode({"v": 1, "offer": "ticket", "notes": {}})
    after = encode({**there, "v": 1, "offer": "handoff", "notes": {}})

    result = change_over(StateChange(after, before), stored, ConversationState)

    assert fields(result) == {
        **here,
        **there,
        "v": 1,
        "offer": "handoff",
        "topic": ["a"],
        "notes": {"n": 1},
    }


def test_a_field_that_a_copy_lacked_does_not_count_as_emptied_by_who_knows_it() -> None:
    stored = encode({"v": 1, "offer": "ticket", "topic": ["a"]})
    copy = encode({"v": 1, "offer": "ticket"})

    change = change_by(ConversationState(offer="handoff"), copy)

    assert fields(change_over(change, stored, ConversationState))["topic"] == ["a"]


def test_a_newer_replicas_change_is_written_whole_by_an_older_one() -> None:
    stored = encode_over(ConversationState(offer="ticket"), None)
    change = StateChange(encode({"v": 2, "offer": {"kind": "handoff"}, "loyalty": "gold"}), stored)

    result = change_over(change, stored, ConversationState)

    assert fields(result)["offer"] == {"kind": "handoff"}
    assert fields(result)["loyalty"] == "gold"
    assert fields(result)["v"] == 2


def test_an_older_replicas_change_does_not_touch_what_it_could_not_read() -> None:
    newer = encode({"v": 2, "offer": {"kind": "handoff"}, "topic": ["a"]})
    change = StateChange(encode_over(ConversationState(offer="ticket", topic=("b",)), None))

    result = change_over(change, newer, ConversationState)

    assert fields(result)["offer"] == {"kind": "handoff"}
    assert fields(result)["topic"] == ["b"]
    assert fields(result)["v"] == 2


def test_a_journaled_change_from_before_an_upgrade_is_laid_over_a_state_from_before_it_too() -> None:
    before = encode({"v": 0, "offers": ["ticket"], "articles": ["a"]})
    after = encode({"v": 0, "offers": [], "articles": ["a"]})
    stored = encode({"v": 0, "offers": ["ticket"], "articles": ["a"], "loyalty": "gold"})

    result = change_over(StateChange(after, before), stored, ConversationState, chain=CHAIN)

    assert decode(result, ConversationState) == ConversationState(topic=("a",))
    assert fields(result)["loyalty"] == "gold"


def test_an_entry_of_a_newer_version_is_left_to_a_replica_of_that_version() -> None:
    effect = EffectRecord(tenant="t", key="k", turn_id="turn", step=0, tool="notify", arguments={})
    newer = encode({**fields(encode_entry(EffectEntry(effect))), "v": 2, "type": "something new"})

    with pytest.raises(StateLoadFailed):
        decode_entry(newer)


class Reshaped(ConversationState, frozen=True):
    # What another version may do, a subclass may not.
    offer: dict[str, str] | None = None  # type: ignore[assignment]


def test_an_answer_whose_state_cannot_be_read_here_is_drained_all_the_same() -> None:
    lease = Lease(
        tenant="default",
        conversation_id="conv",
        turn_id="turn",
        token=1,
        owner="newer",
        after_seq=0,
        upto_seq=1,
        state_version=0,
    )
    after = encode({"v": 2, "offer": {"kind": "handoff"}, "topic": ["a"]})
    commit = answer(lease, state=Reshaped(offer={"kind": "handoff"}))

    entry = decode_entry(encode_entry(CommitEntry(commit, StateChange(after))))

    assert isinstance(entry, CommitEntry)
    assert entry.state == StateChange(after)
    assert entry.commit.state == ConversationState(topic=("a",))


def test_customer_states_are_versioned_too() -> None:
    newer = encode({"v": 2, "receipts": {"R-1": "ticket"}, "locale": "de"})

    assert decode(newer, CustomerState) == CustomerState("de")
    assert fields(encode_over(CustomerState("fr", receipts=("R-2",)), newer))["receipts"] == {"R-1": "ticket"}
