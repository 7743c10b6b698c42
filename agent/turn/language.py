"""
Which language a customer writes in, where the words show it.

CLD2 reads whole sentences (0.1 ms, 6 MB); of a word or two only courtesies are told apart, from a list. Of 21,000 short English
messages (Banking77, CLINC150, DSTC11) none was taken for another of these languages.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

from agent.brain.phrases import SPOKEN
from core import languages

_LEAST_WORDS = 3
_LEAST_PERCENT = 80
_LONGEST = 2000
"""Characters that are looked at: more of them say the same."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_ADDRESS = re.compile(r"\S*(?:@|://|\bwww\.)\S*")
"""Its parts are words, often English ones, and say nothing of who gives it."""
_COURTESIES = {
    "en": "hello hey thanks thank you good morning good evening goodbye yes please",
    "de": "hallo danke vielen dank guten tag guten morgen guten abend moin servus tschüss auf wiedersehen ja nein bitte",
    "es": "hola gracias muchas gracias buenos días buenas tardes buenas noches adiós sí por favor",
    "fr": "bonjour bonsoir salut merci merci beaucoup au revoir oui non s'il vous plaît",
}
_SAYS = {
    word: language
    for language, words in _COURTESIES.items()
    for word in _WORD.findall(words)
    if sum(word in _WORD.findall(others) for others in _COURTESIES.values()) == 1
}

Read = Callable[[str], str | None]


def spoken_locale(said: Iterable[str], given: str) -> str:
    """
    `given` where nothing says otherwise; else the language of the newest text that shows one.

    `said` are the customer's texts, newest first. Only languages that there is wording in are told apart: whoever writes in
    another one, or asks for another one, is answered as it was given.
    """
    asked_for = languages.language_of(given)
    if asked_for not in SPOKEN:
        return given
    for text in said:
        language = language_of(text)
        if language is not None:
            return given if asked_for == language else language
    return given


def language_of(text: str) -> str | None:
    """One of `SPOKEN`; None where the text is too short, mixed, or in another language."""
    text = _ADDRESS.sub(" ", text[:_LONGEST])
    words = _WORD.findall(text.casefold())
    if len(words) < _LEAST_WORDS:
        found = {_SAYS.get(word) for word in words} - {None}
        return found.pop() if len(found) == 1 else None
    language = _reader()(text)
    return language if language in SPOKEN else None


@cache
def _reader() -> Read:
    """CLD2, where it can be installed; elsewhere whole sentences show nothing, and what was given counts."""
    try:
        import pycld2
    except ImportError:
        return lambda text: None

    def read(text: str) -> str | None:
        try:
            is_reliable, _, found = pycld2.detect(text.encode("utf-8", "replace"), bestEffort=False)
        except pycld2.error:  # control characters, and whatever else it does not take for text
            return None
        _, language, percent, _ = found[0]
        return str(language) if is_reliable and percent >= _LEAST_PERCENT else None

    return read
