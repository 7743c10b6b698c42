"""
How far a reply is from the recorded one: shared words, and the same tools or not.

Words are compared as F1 over their counts, the usual measure for short answers (SQuAD, Rajpurkar et al. 2016).
"""

import re
from collections import Counter

_WORD = re.compile(r"\w+")


def word_overlap(one: str, other: str) -> float:
    """0…1; 1 when both have the same words in the same numbers, also when both are empty."""
    mine, theirs = _words(one), _words(other)
    shared = sum((mine & theirs).values())
    total = sum(mine.values()) + sum(theirs.values())
    return 2 * shared / total if total else 1.0


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))
