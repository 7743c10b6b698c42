"""
Put questions that mean the same together, the most frequent first: what the articles do not say yet.
"""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np

from tools.knowledge.embed import Vectors
from tools.knowledge.words import terms

_NEAR_BY_MEANING = 0.6
_NEAR_BY_WORDS = 0.25
"""
Cosines from which on two questions count as one: by meaning where the F1 of pairs is best on 160 questions of Banking77's
training part (.57); by words, which tell pairs apart half as well, before groups run together.
"""
_FEWEST_TERMS = 2
"""What is shorter, without stop words, is a greeting or a single word, and asks for no article."""
_MOST_EXAMPLES = 3


class Asked(msgspec.Struct, frozen=True):
    """A question without anybody's data, and when it was asked."""

    question: str
    at: datetime


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Questions that mean the same; `question` is the most typical, `examples` are others."""

    times: int
    question: str
    examples: tuple[str, ...]
    last_asked_at: datetime


def is_worth_an_article(question: str) -> bool:
    return len(set(terms(question))) >= _FEWEST_TERMS


def gaps(asked: Sequence[Asked], vectors: Vectors | None) -> list[Gap]:
    """
    The most frequent first, then the newest. `vectors` has a row of length 1 for each question; None: told apart by words.

    The question with the most others near it takes them with it; then the same again with those that are left.
    """
    if not asked:
        return []
    rows = vectors if vectors is not None else _by_words([each.question for each in asked])
    is_near = rows @ rows.T >= (_NEAR_BY_MEANING if vectors is not None else _NEAR_BY_WORDS)
    np.fill_diagonal(is_near, val=True)
    is_left = np.ones(len(asked), bool)
    found = []
    while is_left.any():
        near = np.where(is_left, (is_near & is_left).sum(axis=1), -1)
        centre = int(near.argmax())
        members = np.flatnonzero(is_near[centre] & is_left)
        is_left[members] = False
        found.append(_gap(asked, centre, members.tolist(), rows))
    return sorted(found, key=lambda gap: (-gap.times, -gap.last_asked_at.timestamp()))


def _gap(asked: Sequence[Asked], centre: int, members: Sequence[int], rows: Vectors) -> Gap:
    nearest = sorted(members, key=lambda member: -float(rows[centre] @ rows[member]))
    others = dict.fromkeys(asked[member].question for member in nearest if member != centre)
    others.pop(asked[centre].question, None)
    return Gap(
        times=len(members),
        question=asked[centre].question,
        examples=tuple(others)[:_MOST_EXAMPLES],
        last_asked_at=max(asked[member].at for member in members),
    )


def _by_words(questions: Sequence[str]) -> Vectors:
    """TF-IDF, a row of length 1 for each question, of zeros for one without words."""
    counted = [Counter(terms(question)) for question in questions]
    having = Counter(word for words in counted for word in words)
    places = {word: place for place, word in enumerate(having)}
    rows = np.zeros((len(questions), max(1, len(places))), np.float32)
    for row, words in zip(rows, counted, strict=True):
        for word, count in words.items():
            row[places[word]] = count * math.log(1 + len(questions) / having[word])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows
