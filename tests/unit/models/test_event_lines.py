"""
Server-sent events, in whatever pieces the network makes of them.
"""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.event_lines import EventLines

STREAM = (
    b": keep-alive\n\n"
    b"data: one\n\n"
    b"event: delta\r\ndata:two\r\nid: 7\r\n\r\n"
    b"\n\ndata: three\ndata: and more\n\n"
    b"nonsense\n\n"
    b"data: four\r\rdata:\n\n"
    b"data: cut off"
)
SAID = [b"one", b"two", b"three\nand more", b"four", b""]


def read(*pieces: bytes) -> list[bytes]:
    events = EventLines()
    return [said for piece in pieces for said in events.feed(piece)]


@given(st.sets(st.integers(0, len(STREAM))))
def test_the_same_is_read_however_the_stream_is_cut(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]

    assert read(*(STREAM[one:other] for one, other in itertools.pairwise(places))) == SAID


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_a_line_of_data_may_hold_what_looks_like_a_field(end: bytes) -> None:
    assert read(b'data: {"a": "data: b"}' + end) == [b'{"a": "data: b"}']


def test_an_event_that_never_ends_is_too_long() -> None:
    events = EventLines()

    events.feed(b"data: " + b"x" * 1_000_001)

    assert events.is_too_long
