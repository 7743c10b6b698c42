"""
Sentences come whole, however the stream cuts them.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.brain.sentence_stream import Sentence, SentenceStream


def cut(text: str, *, piece: int) -> list[Sentence]:
    stream = SentenceStream()
    sentences = [
        sentence
        for start in range(0, len(text), piece)
        for sentence in stream.feed(text[start : start + piece])
    ]
    return sentences + stream.flush()


@pytest.mark.parametrize("piece", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Press it. [1] Wait. [2][3]", ["Press it. [1]", "Wait. [2][3]"]),
        ("Press it. [1] [2] Wait.", ["Press it. [1] [2]", "Wait."]),
        ("Press it [1]. Wait.", ["Press it [1].", "Wait."]),
        ("Do this:\n1. Open it.\n2. Close it.", ["Do this:", "1. Open it.", "2. Close it."]),
        ("Use e.g. Chrome, approx. 5 MB. Done.", ["Use e.g. Chrome, approx. 5 MB.", "Done."]),
        ("It costs 19.99 EUR. Fine.", ["It costs 19.99 EUR.", "Fine."]),
        ("See [the page](https://a.example/b). Next.", ["See [the page](https://a.example/b).", "Next."]),
        (
            "Read it. [The page](https://a.example) helps.",
            ["Read it.", "[The page](https://a.example) helps."],
        ),
    ],
)
def test_a_text_is_cut_alike_in_pieces_of_any_size(text: str, sentences: list[str], piece: int) -> None:
    assert [sentence.text for sentence in cut(text, piece=piece)] == sentences


def test_a_sentence_waits_for_the_next_ones_first_letter() -> None:
    stream = SentenceStream()

    assert stream.feed("Press it. ") == []
    assert stream.feed("[1] ") == []
    assert stream.feed("W") == [Sentence("", "Press it. [1]")]


@given(
    text=st.text(alphabet=st.sampled_from("aB1 .!?[]()\n:-"), max_size=60),
    piece=st.integers(min_value=1, max_value=9),
)
def test_nothing_is_lost_or_made_up(text: str, piece: int) -> None:
    sentences = cut(text, piece=piece)

    assert "".join(sentence.gap + sentence.text for sentence in sentences).strip() == text.strip()
