"""
Refuse messages in a language that the company does not serve, by their letters and their commonest words.

A message too short to tell passes: "ok", a name, an order number.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping

from agent.brain.guardrails.base import Fails, Passed, Refused

_COMMON_WORDS: Mapping[str, str] = {
    "en": "the is are and i my you to it of not do can what how where when have with for this please",
    "de": "der die das ist und ich mein meine sie zu es von nicht kann was wie wo wann habe haben mit für bitte ein eine",
    "es": "el la los es son y yo mi usted que no puedo qué cómo dónde cuándo he con para por favor una un de se",
    "fr": "le la les est sont et je mon ma vous que ne pas puis quoi comment où quand ai avec pour une un de des ce",
    "it": "il lo gli è sono e io mio mia lei che non posso cosa come dove quando ho con per una un di si",
    "pt": "o os é são e eu meu minha você que não posso como onde quando tenho com para uma um de por se",
    "nl": "de het een is zijn en ik mijn u te niet kan wat hoe waar wanneer heb met voor van dit dat",
    "pl": "jest są i ja mój moja pan nie mogę co jak gdzie kiedy mam z dla proszę się na do to",
}
_COMMON = {language: frozenset(words.split()) for language, words in _COMMON_WORDS.items()}
_SCRIPTS: Mapping[str, frozenset[str]] = {
    "CYRILLIC": frozenset({"ru", "uk", "bg", "sr"}),
    "ARABIC": frozenset({"ar", "fa", "ur"}),
    "HEBREW": frozenset({"he"}),
    "GREEK": frozenset({"el"}),
    "HANGUL": frozenset({"ko"}),
    "HIRAGANA": frozenset({"ja"}),
    "KATAKANA": frozenset({"ja"}),
    "CJK": frozenset({"zh", "ja"}),
    "THAI": frozenset({"th"}),
    "DEVANAGARI": frozenset({"hi", "mr", "ne"}),
}
_LEAST_WORDS = 4
_LEAST_LETTERS = 8
_WORD = re.compile(r"[^\W\d_]+")


def languages_of(text: str) -> frozenset[str]:
    """Those that it may be written in; empty where that cannot be told."""
    letters = [letter for letter in text if letter.isalpha()][:200]
    foreign = [letter for letter in letters if ord(letter) > 0x24F]
    if len(letters) >= _LEAST_LETTERS and len(foreign) > len(letters) / 2:
        return _SCRIPTS.get(unicodedata.name(foreign[len(foreign) // 2], "").partition(" ")[0], frozenset())
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) < _LEAST_WORDS:
        return frozenset()
    counts = {language: sum(word in common for word in words) for language, common in _COMMON.items()}
    best = max(counts.values())
    if best < 2:
        return frozenset()
    return frozenset(language for language, count in counts.items() if count == best)


class LanguageGuardrail:
    """`served` are two-letter codes."""

    def __init__(self, served: Collection[str], *, fails: Fails) -> None:
        self.name = "language"
        self.fails = fails
        self._served = tuple(served)

    async def check(self, text: str, locale: str) -> Passed | Refused:
        found = languages_of(text)
        if not found or not found.isdisjoint(self._served):
            return Passed(text)
        return Refused("language", (("languages", ", ".join(self._served)),))
