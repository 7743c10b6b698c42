"""
Recognise which thing a conversation is about, by the names that titles begin with: "Silver Card: limits", "Hotel Anna – parking".

"Do they have parking?" asks about the hotel that was named before, by whoever named it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tools.knowledge.words import terms

_SEPARATOR = re.compile(r": | [–—|-] ")
_LONGEST_NAME = 6
_FEWEST_ARTICLES = 2
_LARGEST_SHARE = 0.25
"""What more articles than this share are about tells none of them from the others."""
_ENOUGH = 0.7
"""Of a name, by the rarity of its words: "Bridge" is most of "Bridge Guest House"."""
_DECAY = 0.9
_LONGEST_MESSAGE = 400
"""Terms of it that are looked at."""


def name_in(title: str) -> str:
    """The terms of the name that a title begins with; empty where it begins with none."""
    parts = _SEPARATOR.split(title, maxsplit=1)
    name = terms(parts[0]) if len(parts) == 2 and parts[1].strip() else []
    return " ".join(name) if len(name) <= _LONGEST_NAME else ""


class Subjects:
    """`names` are those of the articles in order (`name_in`); what names too few articles or too many is no subject."""

    def __init__(self, names: Sequence[str]) -> None:
        counted = Counter(name for name in names if name)
        most = max(_FEWEST_ARTICLES, _LARGEST_SHARE * len(names))
        self._names = [
            tuple(dict.fromkeys(name.split()))
            for name, count in counted.items()
            if _FEWEST_ARTICLES <= count <= most
        ]
        number_of = {" ".join(name): number for number, name in enumerate(self._names)}
        self._articles: list[list[int]] = [[] for _ in self._names]
        for article, name in enumerate(names):
            number = number_of.get(" ".join(dict.fromkeys(name.split()))) if name else None
            if number is not None:
                self._articles[number].append(article)
        having = Counter(word for name in self._names for word in name)
        self._rarity = {
            word: math.log(1 + (len(self._names) - count + 0.5) / (count + 0.5))
            for word, count in having.items()
        }
        self._wholes = [sum(self._rarity[word] for word in name) for name in self._names]
        self._with: defaultdict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
        for number, parts in enumerate(self._names):
            for key, words in _keys(parts):
                self._with[key].append((number, words))

    def named_in(self, messages: Iterable[str]) -> dict[int, float]:
        """
        The articles about what the messages name, the newest message first; 1 for one that names it whole and now.
        """
        found: dict[int, float] = {}
        if not self._names:
            return found
        for age, message in enumerate(messages):
            named = self._named(message)
            for number, share in named.items():
                # A message that names many things is about none of them in particular.
                strength = share * _DECAY**age / len(named)
                found[number] = max(found.get(number, 0.0), strength)
        return {article: strength for number, strength in found.items() for article in self._articles[number]}

    def _named(self, message: str) -> dict[int, float]:
        """Which subjects, and the share of each name; "Silver Card" is not named by "Business Silver Card"."""
        covered: defaultdict[int, set[str]] = defaultdict(set)
        for key, _ in _keys(terms(message)[:_LONGEST_MESSAGE]):
            for number, words in self._with.get(key, ()):
                covered[number].update(words)
        shares = {
            number: sum(self._rarity[word] for word in words) / self._wholes[number]
            for number, words in covered.items()
        }
        named = [number for number, share in shares.items() if share >= _ENOUGH]
        return {
            number: shares[number]
            for number in named
            if not any(covered[number] < covered[other] for other in named)
        }


def _keys(words: Sequence[str]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Each word, and each two neighbours as one: "guest house" is written "guesthouse" too."""
    yield from ((word, (word,)) for word in words)
    yield from ((first + second, (first, second)) for first, second in pairwise(words))
