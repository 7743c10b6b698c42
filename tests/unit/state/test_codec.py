"""Stored values survive the way to bytes and back, other versions' fields and damage included."""

from datetime import UTC

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataIntegrityFailed
from state.codec import decode, encode, encode_over
from state.models import ConversationState, CustomerState, OpenFlow


class NewerCustomerState(msgspec.Struct, frozen=True):
    """What a later version of Careline might keep."""

    locale: str | None = None
    last_conversation_id: str | None = None
    receipts: tuple[str, ...] = ()
    loyalty: str | None = None


def test_an_older_version_keeps_the_fields_of_a_newer_one() -> None:
    newer = encode_over(NewerCustomerState("de", loyalty="gold"), None)

    older = encode_over(CustomerState("fr", receipts=("R-1",)), newer)

    assert decode(older, CustomerState) == CustomerState("fr", receipts=("R-1",))
    assert decode(older, NewerCustomerState) == NewerCustomerState("fr", None, ("R-1",), "gold")


def test_an_empty_state_replaces_a_full_one() -> None:
    full = encode_over(ConversationState(OpenFlow("ticket"), "ticket", ("a",), {"x": 1}), None)

    assert decode(encode_over(ConversationState(), full), ConversationState) == ConversationState()


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x93\x01\x02", encode({"topic": 5})])
def test_what_cannot_be_read_is_an_error_and_never_an_empty_state(damaged: bytes) -> None:
    with pytest.raises(DataIntegrityFailed):
        decode(damaged, ConversationState)


def test_a_damaged_state_is_not_overwritten() -> None:
    with pytest.raises(DataIntegrityFailed):
        encode_over(ConversationState(), b"\xc1")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOWS = st.builds(
    OpenFlow,
    name=TEXTS,
    slots=st.dictionaries(TEXTS, TEXTS, max_size=3),
    asked=st.none() | TEXTS,
    # In UTC: Python calls an hour that a zone repeats unequal to the same instant elsewhere.
    started_at=st.none() | st.datetimes(timezones=st.timezones()).map(lambda at: at.astimezone(UTC)),
)
STATES = st.builds(
    ConversationState,
    flow=st.none() | FLOWS,
    offer=st.none() | TEXTS,
    topic=st.lists(TEXTS, max_size=3).map(tuple),
    notes=st.dictionaries(TEXTS, st.integers(-(2**53), 2**53) | TEXTS | st.booleans(), max_size=3),
)


@given(STATES, st.none() | STATES)
def test_every_state_is_read_as_it_was_written(
    state: ConversationState, before: ConversationState | None
) -> None:
    previous = None if before is None else encode_over(before, None)

    assert decode(encode_over(state, previous), ConversationState) == state


def test_receipts_of_both_sides_are_kept_newest_first_up_to_twenty() -> None:
    mine = CustomerState(receipts=tuple(f"R-{n}" for n in range(15)))
    other = CustomerState(receipts=("R-3", *(f"Q-{n}" for n in range(15))))

    merged = mine.with_receipts_of(other)

    assert merged.receipts[:15] == mine.receipts
    assert merged.receipts[15:] == ("Q-0", "Q-1", "Q-2", "Q-3", "Q-4")
