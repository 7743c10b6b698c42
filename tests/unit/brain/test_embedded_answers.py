"""
What is cut out of an article: literal, short, in order.
"""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.brain.answers import MAX_WORDS, extract
from agent.brain.evidence import Verdict, judge
from agent.brain.markup import Kind, shown, units
from core.records import Passage
from tests.data import shared

words = st.text(alphabet="abcdefghij", min_size=1, max_size=8)
sentences = st.lists(words, min_size=1, max_size=12).map(lambda some: " ".join(some).capitalize() + ".")
marked = st.one_of(
    sentences,
    sentences.map(lambda text: f"**{text}**"),
    sentences.map(lambda text: f"[{text}](https://a.example/b){{.external}}"),
    sentences.map(lambda text: f"See [there](#anchor) ![x](img/x.png) and `code`: {text}"),
    st.text(max_size=60),
)
items = st.lists(marked, min_size=1, max_size=6)
blocks = st.one_of(
    marked,
    st.lists(marked, min_size=2, max_size=4).map(" ".join),
    items.map(lambda some: "\n".join(f"{n}. {text}" for n, text in enumerate(some, 1))),
    items.map(lambda some: "\n\n".join(f"* {text}" for text in some)),
    items.map(lambda some: "1. First\n" + "\n".join(f"   - {text}" for text in some)),
    words.map(lambda text: f"## {text} {{#{text}}}"),
    marked.map(lambda text: f"> [!NOTE]\n> {text}"),
    marked.map(lambda text: f"```\n{text}\n```"),
    marked.map(lambda text: f"Run this:\n\n```\n{text}\n```"),
    marked.map(lambda text: f"1. Run this:\n\n   ```\n   {text}\n   ```\n2. Done."),
    st.just("| a | b |\n|---|---|\n| c | d |"),
    st.just("* [Only contents](#contents)"),
)
articles = st.lists(blocks, min_size=1, max_size=8).map("\n\n".join)
questions = st.one_of(sentences.map(lambda text: f"how do I {text.lower()}"), st.text(max_size=80))


def passage(text: str) -> Passage:
    return Passage(article_id="a", title="Title", url=None, heading="", text=text, score=1.0, cosine=0.9)


def letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


@settings(max_examples=300, deadline=None)
@given(text=articles, question=questions)
def test_a_quote_stands_in_the_passage_and_holds_every_line_that_is_shown(text: str, question: str) -> None:
    found = extract(question, passage(text))

    if found is None:
        assert not units(text)
        return
    assert found.quote
    assert found.quote in text
    for line in found.text.splitlines():
        said = re.sub(r"^\s*(?:\d+\.|-) ", "", line)
        assert letters(said) in letters(shown(found.quote)) or letters(said) in letters(found.quote)


@settings(max_examples=300, deadline=None)
@given(text=articles)
def test_units_are_slices_in_order_that_do_not_overlap(text: str) -> None:
    end = 0
    for unit in units(text):
        assert end <= unit.start < unit.end <= len(text)
        if unit.kind is not Kind.CODE:
            assert unit.shown == shown(text[unit.start : unit.end])
        assert text[unit.start : unit.end] == text[unit.start : unit.end].strip()
        end = unit.end


@settings(max_examples=100, deadline=None)
@given(text=st.lists(sentences, min_size=4, max_size=30).map(" ".join), question=questions)
def test_of_prose_three_sentences_are_the_most(text: str, question: str) -> None:
    found = extract(question, passage(text))

    assert found is not None
    assert len(units(found.quote)) <= 3
    assert len(found.text.split()) <= MAX_WORDS


@pytest.mark.data
def test_every_real_article_gives_a_literal_short_extract() -> None:
    rows = [
        json.loads(line)
        for line in shared("arduino_help_center/articles.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    empty = []
    for row in rows:
        found = extract(row["title"], passage(row["body"]))
        if found is None:
            empty.append(row["id"])
            continue
        assert found.quote in row["body"]
        longest_unit = max(len(unit.shown.split()) for unit in units(found.quote))
        assert len(found.text.split()) <= max(MAX_WORDS + 12, 2 * longest_unit)
        assert not re.search(r"!\[|\]\(#|\{[#.]|<[a-z]+>", re.sub(r"`[^`]*`", "", found.text))

    assert not empty


def test_steps_start_at_the_first_and_keep_their_numbers() -> None:
    text = "Do this:\n\n3. Open the box.\n3. Take the lamp out.\n\n    ![lamp](lamp.png)\n\n3. Plug it in.\n"

    found = extract("how do I plug it in?", passage(text))

    assert found is not None
    assert found.text == "Do this:\n3. Open the box.\n4. Take the lamp out.\n5. Plug it in."


def test_a_step_that_announces_something_brings_it_along() -> None:
    text = "1. Enter this command:\n\n   `sudo apt-get -y install libfuse2`\n2. Choose:\n\nA new paragraph."

    assert [unit.shown for unit in units(text)] == [
        "Enter this command: `sudo apt-get -y install libfuse2`",
        "Choose:",
        "A new paragraph.",
    ]


def test_a_step_keeps_the_code_that_it_announces() -> None:
    text = "1. Enter:\n\n   ```sh\n   adb shell\n   ls -l\n   ```\n\n2. Wait.\n\n```\nnobody_announced_this();\n```\n"

    found = extract("how do I open the shell?", passage(text))

    assert found is not None
    assert found.text == "1. Enter:\n   `adb shell`\n   `ls -l`\n2. Wait."
    assert found.quote in text


def test_a_list_is_not_cut_between_a_step_and_its_code() -> None:
    code = "\n".join(f"   print one two three four five six seven eight nine {n}" for n in range(9))
    text = f"1. Open the editor.\n2. Enter:\n\n   ```\n{code}\n   ```\n3. Run it."

    found = extract("how do I do it?", passage(text))

    assert found is not None
    assert found.text == "1. Open the editor."
    assert found.is_cut_short


def test_a_sentence_brings_the_list_that_the_next_one_announces() -> None:
    text = "The plan costs £9 a month. It includes:\n\n- two services\n- a safety check\n"

    found = extract("what is the price of the plan?", passage(text))

    assert found is not None
    assert found.text == "The plan costs £9 a month. It includes:\n- two services\n- a safety check"


def test_what_announces_a_table_is_no_answer() -> None:
    text = "The prices of our lamps are:\n\n| lamp | price |\n|---|---|\n\n## Delivery\n\nLamps are sent by post."

    found = extract("what are the prices of lamps?", passage(text))

    assert found is not None
    assert found.text == "Lamps are sent by post."


def test_a_list_that_is_too_long_says_so() -> None:
    step = "This step has a good number of words that have to be counted one by one."
    text = "\n".join(f"{n}. {step}" for n in range(1, 20))

    found = extract("how do I do it?", passage(text))

    assert found is not None
    assert found.is_cut_short
    assert len(found.text.split()) <= MAX_WORDS + len(found.text.splitlines())


def test_placeholders_in_code_are_no_tags() -> None:
    assert shown("Type `ls <port>` **now** <kbd>Enter</kbd>") == "Type `ls <port>` now Enter"


def test_a_sentence_that_leans_back_brings_the_one_before() -> None:
    text = "The lamp is sealed. It therefore survives rain and snow. Batteries are extra."

    found = extract("does it survive snow?", passage(text))

    assert found is not None
    assert found.text.startswith("The lamp is sealed. It therefore survives rain and snow.")


def test_the_kind_of_fact_that_was_asked_for_is_preferred() -> None:
    text = "A refund is paid to the card you used.\n\nRefunds arrive within 5 working days."

    found = extract("when does the refund arrive?", passage(text))

    assert found is not None
    assert found.text == "Refunds arrive within 5 working days."


def test_tables_code_pictures_and_contents_are_no_sentences() -> None:
    text = "## Head\n\n* [Go](#go)\n\n```\ncode();\n```\n\n| a | b |\n\n![p](p.png)\n\n<a id=x></a>\n\nOne sentence."

    assert [(unit.kind, unit.shown, unit.heading) for unit in units(text)] == [
        (Kind.SENTENCE, "One sentence.", "Head")
    ]


def test_nothing_found_is_not_known() -> None:
    assert judge("where?", ()).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("cosine", [0.7, None])
def test_a_close_passage_answers_and_a_far_one_does_not(cosine: float | None) -> None:
    text = "Unused items can be returned within 30 days."
    close = Passage("a", "Returning items", None, "", text, 1.0, cosine=cosine, lexical=0.9)
    far = Passage("a", "Burn the bootloader", None, "", "Press reset.", 1.0, cosine=0.05 if cosine else None)

    assert judge("can I return items that are unused?", [close]).verdict is Verdict.ANSWERS
    assert judge("can I return items that are unused?", [far]).verdict is Verdict.UNKNOWN
