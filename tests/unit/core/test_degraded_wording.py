"""Claims about what a customer reads in an outage: in five languages, whole, and without a word of the inside."""

import re
from datetime import date
from itertools import product
from string import Formatter

import pytest

from core.languages import runs_right_to_left, set_apart
from core.resilience.degradation import DEPENDENCIES, FEATURES
from core.resilience.degraded_wording import WORDINGS, degraded_sentence, wording_for

PAIRS = [(feature, dependency) for feature, needs in FEATURES.items() for dependency in needs]
LOCALES = ("en", "de", "es", "fr", "ar")

INSIDE = {
    "en": r"model|vector|index|database|cache|timeout|error|server|queue|outbox|breaker",
    "de": r"modell|vektor|index|datenbank|zwischenspeicher|zeitüberschreitung|fehler|server|warteschlange",
    "es": r"modelo|vector|índice|base de datos|caché|error|servidor|cola\b",
    "fr": r"modèle|vecteur|index|base de données|cache|erreur|serveur|file d",
    "ar": r"نموذج|متجه|فهرس|قاعدة البيانات|خادم|خطأ|ذاكرة|مهلة",
}
"""How each language calls what no customer has to know."""
EVERYWHERE = r"redis|sql|smtp|http|llm|api\b|postgres|[{}_]|" + "|".join(
    name for name in DEPENDENCIES if name not in {"tickets", "notifications", "knowledge", "customers"}
)


def test_these_languages_are_worded() -> None:
    assert tuple(WORDINGS) == LOCALES
    assert [locale for locale in LOCALES if runs_right_to_left(locale)] == ["ar"]


@pytest.mark.parametrize("locale", LOCALES)
def test_each_language_words_every_declared_pair_and_no_other(locale: str) -> None:
    assert sorted(WORDINGS[locale].sentences) == sorted(PAIRS)
    assert all(text.strip() for text in WORDINGS[locale].sentences.values())


@pytest.mark.parametrize(("locale", "pair"), list(product(LOCALES, PAIRS)))
def test_no_sentence_names_the_inside(locale: str, pair: tuple[str, str]) -> None:
    for contact, day in product((None, "help@shop.example"), (None, date(2026, 11, 28))):
        said = degraded_sentence(*pair, locale, contact=contact, copy_date=day)

        assert not re.search(f"{INSIDE[locale]}|{EVERYWHERE}", said, re.IGNORECASE), said


@pytest.mark.parametrize("locale", LOCALES)
def test_each_sentence_takes_the_same_values_in_every_language(locale: str) -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    mine, english = WORDINGS[locale], WORDINGS["en"]
    for pair in PAIRS:
        assert fields(mine.sentences[pair]) == fields(english.sentences[pair])
    assert (fields(mine.contact), fields(mine.copy_date)) == ({"contact"}, {"date"})


@pytest.mark.parametrize("locale", [locale for locale in LOCALES if locale != "en"])
def test_nothing_was_left_in_english(locale: str) -> None:
    mine, english = WORDINGS[locale], WORDINGS["en"]

    assert not set(mine.sentences.values()) & set(english.sentences.values())
    assert len(set(mine.sentences.values())) == len(PAIRS)
    assert (mine.contact, mine.without_contact) != (english.contact, english.without_contact)


def test_arabic_is_written_in_arabic_letters_alone() -> None:
    for pair in PAIRS:
        said = degraded_sentence(*pair, "ar")

        assert re.search("[\u0600-\u06ff]", said)
        assert not re.search("[A-Za-z]", said)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_next_step_is_offered_with_or_without_an_address(locale: str) -> None:
    for pair in PAIRS:
        with_address = degraded_sentence(*pair, locale, contact="help@shop.example")

        assert "help@shop.example" in with_address
        assert degraded_sentence(*pair, locale) == (
            with_address.replace(_contact(locale), WORDINGS[locale].without_contact)
        )


def _contact(locale: str) -> str:
    wording = WORDINGS[locale]
    return wording.contact.format(contact=set_apart("help@shop.example", locale))


def test_an_address_and_a_date_stand_in_one_piece_where_words_run_from_the_right() -> None:
    said = degraded_sentence(
        "knowledge_search", "sql", "ar", contact="+34 600 111 222", copy_date=date(2026, 11, 28)
    )

    assert "\u2068+34 600 111 222\u2069" in said
    assert "\u20682026-11-28\u2069" in said
    assert said.count("\u2068") == said.count("\u2069") == 2


@pytest.mark.parametrize(
    ("asked", "language"),
    [("de-AT", "de"), ("es_MX", "es"), ("FR", "fr"), ("ar-EG", "ar"), ("ja", "en"), ("", "en")],
)
def test_a_region_gets_its_language_and_others_english(asked: str, language: str) -> None:
    assert wording_for(asked) is WORDINGS[language]


@pytest.mark.parametrize(
    ("locale", "day"),
    [("en", "2026-11-28"), ("de", "28.11.2026"), ("es", "28/11/2026"), ("fr", "28/11/2026")],
)
def test_a_date_is_written_as_the_language_writes_it(locale: str, day: str) -> None:
    assert day in degraded_sentence("knowledge_search", "sql", locale, copy_date=date(2026, 11, 28))
