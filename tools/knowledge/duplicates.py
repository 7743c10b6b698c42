"""
Tell whether a passage only repeats one that is shown already.

Strict on purpose: "Gold Account: 6 withdrawals" and "Silver Account: 6 withdrawals" are two answers.
"""

from collections.abc import Set

from core.records import Passage
from tools.knowledge.words import terms

_SIZE_SHARE = 0.85
"""A copy has a little more about it at most: a line of navigation, a note for printing."""


class Shown:
    """The passages of one result so far."""

    def __init__(self) -> None:
        self._shown: list[tuple[str, frozenset[str], frozenset[str]]] = []

    def is_new(self, passage: Passage, words: frozenset[str]) -> bool:
        """Takes note of it where it is; `words` are all its terms."""
        title = frozenset(terms(passage.title))
        for language, its_title, its_words in self._shown:
            if language == passage.language and _agree(title, its_title) and _repeats(words, its_words):
                return False
        self._shown.append((passage.language, title, words))
        return True


def _agree(one: Set[str], other: Set[str]) -> bool:
    """ "Returns" and "Returns | Help centre"."""
    return one <= other or other <= one


def _repeats(one: Set[str], other: Set[str]) -> bool:
    """One has every word of the other, is hardly longer, and names no number that the other does not."""
    small, large = sorted((one, other), key=len)
    if not small <= large or len(small) < _SIZE_SHARE * len(large):
        return False
    return not any(any(map(str.isdigit, word)) for word in large - small)
