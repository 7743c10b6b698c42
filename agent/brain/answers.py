"""
Pick the few sentences or steps of an article that answer a question, word for word.

Whether the article answers it at all is decided before, by `agent.brain.evidence`. An extract is one unbroken
run of the article, so its quote proves every sentence of it.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agent.brain.markup import Kind, Unit, units
from agent.brain.words import content_words
from core.records import Passage

MAX_WORDS = 85
"""Of an extract, so that a reply with its frame stays under 90."""

_MAX_SENTENCES = 3
_MAX_ITEMS = 12
_LEAD_WORDS = 30
_FEW_WORDS = 25
"""A shorter answer goes on into the next paragraph."""


@dataclass(frozen=True, slots=True)
class Extract:
    """
    `text` is Markdown for the customer, `quote` the literal slice of `passage.text` that holds all of it.
    """

    text: str
    quote: str
    passage: Passage
    is_cut_short: bool = False


_HOW_TO = re.compile(
    r"\bhow\s+(?:do|can|could|should|would|to|does|may|might)\b|\b(?:steps?|instructions?|guide)\b|^\s*(?:can|could|may)\s+(?:i|we|you)\b"
    r"|\bwhat\s+(?:do|should|must|can)\s+(?:i|we)\b|\b(?:i|we)(?:\s+want|\s+need|\s+would\s+like|['’]d\s+like)\s+to\b"
    r"|\bwhere\s+(?:do|can)\s+(?:i|we)\b",
    re.IGNORECASE,
)

_EXPECTED = (
    (
        re.compile(
            r"\bhow\s+(?:long|soon|fast|often|many\s+(?:days|weeks|hours|months|minutes|times))\b|\bwhen\b|\bdeadline\b",
            re.I,
        ),
        re.compile(
            r"\b(?:seconds?|minutes?|hours?|days?|daily|weeks?|months?|years?|midnight|once|immediately|until)\b",
            re.I,
        ),
    ),
    (
        re.compile(r"\bhow\s+(?:much|expensive)\b|\bcosts?\b|\bprices?\b|\bfees?\b|\bcharges?\b", re.I),
        re.compile(
            r"[$€£]\s?\d|\d\s?(?:[$€£]|EUR|USD|GBP)|\bfree\b|\bcosts?\b|\bprices?\b|\bfees?\b|\bcharge", re.I
        ),
    ),
    (
        re.compile(
            r"\bhow\s+many\b|\bwhat\s+(?:size|voltage|temperature)\b|\bhow\s+(?:big|large|hot|cold|high)\b",
            re.I,
        ),
        re.compile(r"\d"),
    ),
)

_SAYS_LITTLE = re.compile(
    r"^(?:learn (?:how|what|about|more)|in this article|follow (?:these|the) steps|here(?: are|'s| is)"
    r"|this (?:article|guide|page) )"
    r"|\bread more\b|^(?:for more information|see also)\b|\?$|^\[[^\]]*\]\([^)]*\)\W*$|:$",
    re.IGNORECASE,
)

_HEADING_SHARE = 0.3
_CONTEXT_SHARE = 0.25
_EXPECTED_BONUS = 0.35
_LITTLE_MALUS = 0.4
_LATER_MALUS = 0.01

_LEANS_BACK = re.compile(
    r"^(?:this|that|these|those|it|they|he|she|such|however|otherwise|instead|also|then|so|but|and|if not)\b",
    re.IGNORECASE,
)


def extract(question: str, passage: Passage, *, context: str = "") -> Extract | None:
    """
    The best extract of a passage; None when it holds no sentence. `context` are earlier words, which count a
    little.

    By words alone: a sentence's vector costs 6.5 ms, as much as the whole search, and chose no better on the
    development set.
    """
    pieces = units(passage.text)
    if not pieces:
        return None
    scores = _scores(question, passage, pieces, context)
    position = max(
        [index for index in range(len(pieces)) if _may_answer(pieces, index)] or [0],
        key=lambda index: scores[index],
    )
    if _HOW_TO.search(question):
        position = _first_step(pieces, position)
    return _run_around(passage, pieces, position)


def _may_answer(pieces: Sequence[Unit], position: int) -> bool:
    """Not a line of code, nor a line that announces what is no piece, such as a table."""
    unit, following = pieces[position], pieces[position + 1 : position + 2]
    if unit.kind is Kind.CODE:
        return False
    return not unit.leads_in or any(after.heading == unit.heading for after in following)


def _scores(question: str, passage: Passage, pieces: Sequence[Unit], context: str) -> list[float]:
    """
    How well each piece fits: rare words count more, so do words of its heading, and the kind of fact that was
    asked for.
    """
    words_of = [set() if unit.kind is Kind.CODE else set(content_words(unit.shown)) for unit in pieces]
    said = sum(unit.kind is not Kind.CODE for unit in pieces)
    spread = Counter(word for words in words_of for word in words)
    asked = content_words(question)
    weights = {word: math.log(1 + said / (1 + spread[word])) for word in asked}
    for word in content_words(context):
        weights.setdefault(word, _CONTEXT_SHARE * math.log(1 + said / (1 + spread[word])))
    whole = sum(weights[word] for word in asked) or 1.0
    expected = [answer for asks, answer in _EXPECTED if asks.search(question)]

    scores = []
    for position, (unit, words) in enumerate(zip(pieces, words_of, strict=True)):
        heading = set(content_words(f"{passage.heading} {unit.heading}"))
        score = sum(weight for word, weight in weights.items() if word in words) / whole
        score += _HEADING_SHARE * sum(weight for word, weight in weights.items() if word in heading) / whole
        score += _EXPECTED_BONUS * sum(1 for answer in expected if answer.search(unit.shown))
        if _SAYS_LITTLE.search(unit.shown) or _is_fragment(unit):
            score -= _LITTLE_MALUS
        scores.append(score - _LATER_MALUS * position)
    return scores


def _first_step(pieces: Sequence[Unit], position: int) -> int:
    """
    The first of the steps in the chosen section, else in the passage; the position itself where there are
    none.
    """
    steps = [index for index, unit in enumerate(pieces) if unit.kind is Kind.STEP and unit.depth == 0]
    in_section = [index for index in steps if pieces[index].heading == pieces[position].heading]
    if not steps:
        return position
    block = pieces[(in_section or steps)[0]].block
    return min(index for index in steps if pieces[index].block == block)


def _run_around(passage: Passage, pieces: Sequence[Unit], position: int) -> Extract:
    unit = pieces[position]
    if unit.kind is not Kind.SENTENCE:
        return _list_from(passage, pieces, position)
    if unit.leads_in and position + 1 < len(pieces) and pieces[position + 1].kind is not Kind.SENTENCE:
        return _list_from(passage, pieces, position + 1)
    return _sentences_around(passage, pieces, position)


def _sentences_around(passage: Passage, pieces: Sequence[Unit], position: int) -> Extract:
    first = last = position
    if (
        position
        and _LEANS_BACK.search(pieces[position].shown)
        and _same_paragraph(pieces, position - 1, position)
    ):
        first -= 1
    while (
        last + 1 < len(pieces)
        and last + 1 - first < _MAX_SENTENCES
        and (_same_paragraph(pieces, last, last + 1) or _goes_on(pieces, first, last))
        and _count(pieces[first : last + 2]) <= MAX_WORDS
    ):
        last += 1
    if pieces[last].leads_in:
        last = _end_of_announced(pieces, first, last)
    return _extract(passage, pieces[first : last + 1])


def _end_of_announced(pieces: Sequence[Unit], first: int, last: int) -> int:
    """The last piece of the list or code that `last` announces; without room for it, the piece before."""
    end = last
    while (
        end + 1 < len(pieces)
        and pieces[end + 1].kind is not Kind.SENTENCE
        and pieces[end + 1].block - pieces[last].block <= 1
        and pieces[end + 1].heading == pieces[last].heading
    ):
        end += 1
    has_room = end > last and _count(pieces[first : end + 1]) <= MAX_WORDS
    return end if has_room else max(first, last - 1)


def _goes_on(pieces: Sequence[Unit], first: int, last: int) -> bool:
    """Whether a short answer may take in the paragraph that follows under the same heading."""
    following = pieces[last + 1]
    return (
        following.kind is Kind.SENTENCE
        and not _is_fragment(following)
        and following.heading == pieces[last].heading
        and _count(pieces[first : last + 1]) < _FEW_WORDS
    )


def _list_from(passage: Passage, pieces: Sequence[Unit], position: int) -> Extract:
    """
    The whole list with its lead-in where it is short enough; else steps from the first, bullets from the
    chosen one.
    """
    block = pieces[position].block
    members = [
        index for index, unit in enumerate(pieces) if unit.block == block and unit.kind is not Kind.SENTENCE
    ]
    start = members[0]
    is_steps = pieces[start].kind is Kind.STEP
    if not is_steps and _count(pieces[start : members[-1] + 1]) > MAX_WORDS:
        start = position
    first = start
    if start == members[0] and start and _may_lead(pieces[start - 1], pieces[start]):
        first -= 1
    last = start
    while (
        last < members[-1] and last + 1 - start < _MAX_ITEMS and _count(pieces[first : last + 2]) <= MAX_WORDS
    ):
        last += 1
    while last > start and last < members[-1] and (_is_part(pieces, last) or pieces[last].announces):
        last -= 1  # neither half of some code, nor what only announces it
    is_cut_short = start == members[0] and (last < members[-1] or pieces[start].number > 1)
    return _extract(passage, pieces[first : last + 1], is_cut_short=is_cut_short)


def _is_part(pieces: Sequence[Unit], last: int) -> bool:
    """Whether the code that the piece belongs to goes on after it."""
    return pieces[last].kind is Kind.CODE and pieces[last + 1].kind is Kind.CODE


def _may_lead(before: Unit, item: Unit) -> bool:
    close = before.block == item.block - 1 and before.heading == item.heading
    return (
        close
        and before.kind is Kind.SENTENCE
        and len(before.shown.split()) <= _LEAD_WORDS
        and before.leads_in
    )


def _is_fragment(unit: Unit) -> bool:
    """A label, a cell or a button: it does not end as sentences do."""
    return unit.kind is Kind.SENTENCE and not re.search(r"[.!?:…。][\"'”’)\]*_`]*(?:\([^)]*\))?$", unit.shown)


def _same_paragraph(pieces: Sequence[Unit], one: int, other: int) -> bool:
    return (
        all(pieces[index].kind is Kind.SENTENCE for index in (one, other))
        and pieces[one].block == pieces[other].block
    )


def _count(pieces: Sequence[Unit]) -> int:
    return sum(len(unit.shown.split()) for unit in pieces)


def _extract(passage: Passage, pieces: Sequence[Unit], *, is_cut_short: bool = False) -> Extract:
    text = _worded(pieces[0])
    for before, unit in itertools.pairwise(pieces):
        if unit.kind is not Kind.SENTENCE:
            text += "\n"
        elif unit.block != before.block:
            text += "\n\n"
        else:
            text += " "
        text += _worded(unit)
    return Extract(
        text=text,
        quote=passage.text[pieces[0].start : pieces[-1].end],
        passage=passage,
        is_cut_short=is_cut_short,
    )


def _worded(unit: Unit) -> str:
    if unit.kind is Kind.SENTENCE:
        return unit.shown
    if unit.kind is Kind.CODE:
        return f"{'   ' * (unit.depth + 1)}{unit.shown}"
    return f"{'   ' * unit.depth}{f'{unit.number}.' if unit.kind is Kind.STEP else '-'} {unit.shown}"
