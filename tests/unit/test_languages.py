"""Claims about everything that is written for customers: in five languages, whole, and with the same values in each."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from string import Formatter
from typing import Any

import pytest

from agent.turn import confirmation
from agent.turn import sentences as turn_sentences
from core.errors import ErrorContext, ErrorType
from core.languages import LANGUAGES
from core.resilience.degraded_wording import OUTSIDE_TOOLS, WORDINGS, wording_for
from tools import sentences as tool_sentences
from tools.mcp.sentences import SENTENCES as MCP_SENTENCES
from tools.mcp.sentences import outside_sentence, question
from tools.sentences import error_sentence, result_sentence

Texts = dict[Any, str]


def _of_tools(language: str) -> Texts:
    wording = tool_sentences.WORDINGS[language]
    errors = {(tool, case): text for tool, cases in wording.errors.items() for case, text in cases.items()}
    return {**errors, **wording.results}


def _of_confirmation(language: str) -> Texts:
    return {"left": confirmation.LEFT[language], "yes": confirmation.ANSWERS[language][0]}


SETS: Mapping[str, Any] = {
    "tools": _of_tools,
    "tools of MCP servers": lambda language: dict(MCP_SENTENCES[language]),
    "turn": lambda language: dict(turn_sentences.SENTENCES[language]),
    "confirmation": _of_confirmation,
    "outside tools in an outage": lambda language: {"all": OUTSIDE_TOOLS[language]},
}
TABLES: Mapping[str, Mapping[str, Any]] = {
    "tools": tool_sentences.WORDINGS,
    "tools of MCP servers": MCP_SENTENCES,
    "turn": turn_sentences.SENTENCES,
    "answers": confirmation.ANSWERS,
    "left": confirmation.LEFT,
    "degraded": WORDINGS,
    "outside tools in an outage": OUTSIDE_TOOLS,
}
others = pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
every_set = pytest.mark.parametrize("name", list(SETS))


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("name", list(TABLES))
def test_each_table_has_each_language_and_no_other(name: str) -> None:
    assert sorted(TABLES[name]) == sorted(LANGUAGES)


@others
@every_set
def test_each_language_says_all_that_english_says(name: str, language: str) -> None:
    theirs, english = SETS[name](language), SETS[name]("en")

    assert theirs.keys() == english.keys()
    assert {key: fields(text) for key, text in theirs.items()} == {
        key: fields(text) for key, text in english.items()
    }


@others
@every_set
def test_nothing_was_left_in_english_or_copied_from_a_neighbour(name: str, language: str) -> None:
    theirs, english = SETS[name](language), SETS[name]("en")

    assert not set(theirs.values()) & set(english.values())
    assert len(set(theirs.values())) == len(set(english.values()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_tools_are_short_and_whole(language: str) -> None:
    for text in _of_tools(language).values():
        assert 15 <= len(text) <= 260, text
        assert text[-1] in ".?؟", text


def test_arabic_is_written_in_arabic_letters_alone() -> None:
    for text in chain.from_iterable(texts("ar").values() for texts in SETS.values()):
        words = re.sub(r"{\w+}", "", text)

        assert re.search("[\u0600-\u06ff]", words)
        assert not re.search(r"[A-Za-z\u0660-\u0669]", words), text


def test_numbers_stand_in_one_piece_where_words_run_from_the_right() -> None:
    found = ErrorContext(
        error_type=ErrorType.INVALID_INPUT,
        message="",
        timestamp=datetime(2026, 11, 22, tzinfo=UTC),
        reason="duplicate",
        details={"existing": "SHOP-17"},
    )

    assert "\u2068SHOP-17\u2069" in error_sentence("open_ticket", found, "ar")
    assert "\u2068R-1\u2069" in result_sentence("effect_done", "ar-EG", receipt="R-1")
    assert "\u2068R-1\u2069" in outside_sentence("done", "ar", title="Refund", receipt="R-1")
    asked = question("Refund", {"order": "1001", "amount": 5}, "ar")
    assert "\u2068Refund\u2069: \u2068order `1001`\u2069, \u2068amount `5`\u2069" in asked


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de-AT", "de"), ("es_MX", "es"), ("FR", "fr"), ("ar-EG", "ar"), ("ja", "en"), ("", "en")],
)
def test_a_region_gets_its_language_and_others_english(locale: str, language: str) -> None:
    assert result_sentence("order_found", locale) == tool_sentences.WORDINGS[language].results["order_found"]
    assert turn_sentences.sentence("stopped", locale) == turn_sentences.SENTENCES[language]["stopped"]
    assert wording_for(locale) is WORDINGS[language]
