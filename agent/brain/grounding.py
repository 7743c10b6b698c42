"""
Decide whether a sentence that a model wrote may leave.

A sentence with content needs a passage or a tool's outcome that says the same: its words, its numbers, its
names, and no "not" too many. The model is not asked; whatever talked it into a claim does not get the claim
out: what a text says to a program supports nothing (`agent.brain.directives`). The check is lexical and errs on the side of
silence.
"""

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from agent.brain.courtesy import COURTESY, admits_ignorance, is_bare_answer, is_polite_phrase
from agent.brain.directives import Sorted, sorted_out
from agent.brain.markup import units
from agent.brain.words import content_words
from core.records import Passage
from tools.knowledge.words import terms
from tools.protocol import ToolOutcome

_PASSAGE_SHARE = 0.6
_OUTCOME_SHARE = 0.5
"""
Share of a sentence's content words that its ground must hold; sentences add more words of their own to bare
data.
"""
_FEW_WORDS = 2
"""A sentence with no more content words than this must find them all."""
_NEAR_BEST = 0.8
_LONGEST_QUOTE = 400
_MOST_NEAR = 8

_MARKER = re.compile(r"[ \t]*\[(\d{1,3})\](?!\()")
_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[([^\]]*)\]\(\s*<?([^)\s>]*)>?[^)]*\)")
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?//[^\s)>\]\"']+|\bwww\.[^\s)>\]\"']+|\b(?:mailto|javascript|data|tel):[^\s)>\]\"']+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|dev|app|co|info|biz|xyz|example|test)\b(?:/[^\s)>\]\"']*)?",
    re.IGNORECASE,
)
_MAY_HOLD_ADDRESS = re.compile(r"[.:@/][^\s]")
"""Every address has one of these inside; asking for them first is ten times as fast."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_TAG = re.compile(r"<[a-zA-Z/!][^>]*>?")
_LIST_MARK = re.compile(r"\A(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|\Z))")
_CODE = re.compile(
    r"(?<![\w-])(?=[\w-]*[^\W\d_])(?:[\w-]*\d[\w-]*|[A-Z]{2,}[\w-]*|[a-z]+[A-Z][\w-]*)(?![\w-])"
)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_FIELD_WORDS: Mapping[str, str] = {
    "phone": "phone number telephone",
    "email": "email mail address",
    "tracking": "tracking number",
    "order id": "order number",
}
"""What people call a field of a tool's value beside its key."""
_COMMON_CODES = frozenset({"ok", "faq", "id", "pdf", "url", "am", "pm"})


def _any_of(words: str) -> str:
    """Any of these whole words. Their first letters are asked for first, which takes half the time."""
    each = words.split()
    return rf"\b(?=[{''.join(sorted({word[0] for word in each}))}])(?:{'|'.join(each)})\b"


_NEGATION = re.compile(
    _any_of(
        "not no never cannot without neither nor unable impossible nicht keine?\\w? niemals ohne pas jamais sans "
        "nunca sin ning\\w+"
    )
    + r"|n['’]t\b",
    re.IGNORECASE,
)

_DOES: Mapping[str, frozenset[str]] = {
    "open_ticket": frozenset(terms("open create file raise submit register log forward record")),
    "notify": frozenset(terms("send sent email mail notify notified message")),
    "handoff": frozenset(terms("hand transfer forward escalate pass connect inform notify notified")),
}
"""The verbs with which a model may say that a tool did its work."""
_OTHER_DEEDS = frozenset(
    terms(
        "refund cancel cancelled process issue credit change update replace ship book schedule reset delete "
        "remove approve upgrade contact arrange reserve grant activate deactivate unlock close resolve "
        "fix apply applied waive order confirm charge extend"
    )
)
_DEEDS = _OTHER_DEEDS.union(*_DOES.values())
_PROMISES = re.compile(
    r"\b(?:i|we)(?:['’]ll| will|['’]m going to| am going to| are going to)\b|\blet me\b", re.IGNORECASE
)
_HAS_DONE = re.compile(
    r"\b(?:i|we)(?:['’]ve| have|['’]m| am)?(?: \w+ly| just| now| also)* (?P<own>\w+)\b"
    r"|\b(?:has|have) been (?:\w+ly )?(?P<done>\w+)\b",
    re.IGNORECASE,
)
_LEANS = re.compile(r"\A\W*(?:it|they|this|that|these|those|we|he|she|you)\b", re.IGNORECASE)
_SELF = re.compile(_any_of("i we ich wir je nous yo"), re.IGNORECASE)
_TICKETS_OF_YOURS = re.compile(
    r"\byou(?:['’]ve| (?:\w+ )?(?:have|had|got))\b[^?]*\btickets?\b|\byour (?:\w+ )?tickets?\b", re.IGNORECASE
)
_SUPPOSES = re.compile(_any_of("if when once after until before unless"), re.IGNORECASE)


class Standing(StrEnum):
    COURTESY = "courtesy"
    """Says nothing that could be wrong: a greeting, an offer, a question, an admission."""
    EMPTY = "empty"
    """Says nothing by itself, such as a bare "yes"."""
    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Quote:
    """`text` stands literally in the passage."""

    passage: Passage
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    `text` is the sentence without markers, pictures, and links to places that no source names. `near` are pieces that may say the
    same in other words, where nothing but the words stands against an unsupported sentence.
    """

    standing: Standing
    text: str
    quotes: tuple[Quote, ...] = ()
    near: tuple[Quote, ...] = ()


class _Ground:
    """Something that sentences can stand on. What a sentence does not ask for is never worked out."""

    def __init__(self, text: str) -> None:
        self.facts = text

    @cached_property
    def text(self) -> str:
        return self.facts.casefold()

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(terms(self.facts))

    @cached_property
    def numbers(self) -> frozenset[str]:
        return _numbers(self.facts)

    @cached_property
    def number_parts(self) -> frozenset[str]:
        return frozenset(part for number in self.numbers for part in re.split(r"\D", number))

    def holds_numbers(self, wanted: Iterable[str]) -> bool:
        return all(number in self.numbers or self._holds_date(number) for number in wanted)

    def _holds_date(self, number: str) -> bool:
        parts = [part.lstrip("0") for part in re.split(r"[-/:]", number)]
        known = {part.lstrip("0") for part in self.number_parts}
        return "." not in number and all(part in known for part in parts)


class _OutcomeGround(_Ground):
    """Bare data denies nothing, and what a failed tool says of itself says nothing of the customer's affairs."""

    def __init__(self, facts: Sequence[str], *, is_ok: bool) -> None:
        sorted_facts = sorted_out("\n".join(facts))
        if sorted_facts.orders:
            # A name or a ticket that holds an order holds no fact.
            sorted_facts = _by_fact(facts)
        super().__init__(sorted_facts.facts)
        self.orders = sorted_facts.orders
        self._is_ok = is_ok

    def may_deny(self, claim: "_Claim") -> bool:
        return self._denies and (self._is_ok or claim.is_of_ourselves)

    @cached_property
    def _denies(self) -> bool:
        return _is_negated(self.text.replace("_", " "))


class _PassageGround(_Ground):
    """`asked` are the stems of what the customer said; only a passage that holds orders asks for them."""

    def __init__(self, passage: Passage, asked: "_Ground") -> None:
        found = sorted_out(f"{passage.title}\n{passage.heading}\n{passage.text}")
        super().__init__(found.facts)
        self.orders = found.orders
        self.passage = passage
        self._asked = asked

    @cached_property
    def _pieces(self) -> list[tuple[str, frozenset[str]]]:
        text = self.passage.text
        spans = [(unit.start, unit.end) for unit in units(text)] or list(_lines(text))
        pieces = [
            (piece, frozenset(terms(piece))) for start, end in spans if (piece := text[start:end].strip())
        ]
        return [each for each in pieces if self._is_fact(*each)] if self.orders else pieces

    def _is_fact(self, piece: str, stems: frozenset[str]) -> bool:
        """In a passage that holds orders: whether a piece is none of them, and speaks of what the customer asks."""
        return piece not in self.orders and not sorted_out(piece).orders and bool(stems & self._asked.stems)

    def pieces_near(self, claim: "_Claim") -> Iterator[tuple[str, int]]:
        """Those that deny no more and no less than a claim and hold its numbers, with how many words they share."""
        for piece, words in self._pieces:
            shared = len(claim.stems & words)
            if shared and claim.numbers <= _numbers(piece) and _is_negated(piece) == claim.is_negated:
                yield piece[:_LONGEST_QUOTE].rstrip(), shared

    def quote_for(self, claim: "_Claim") -> str | None:
        """The piece that shares most with a sentence and denies no more and no less than it."""
        shared = [
            (len(claim.stems & words) + len(claim.numbers & _numbers(piece)), piece)
            for piece, words in self._pieces
        ]
        best = max((count for count, _ in shared), default=0)
        fitting = [
            (count, -len(piece), piece)
            for count, piece in shared
            if count and count >= _NEAR_BEST * best and _is_negated(piece) == claim.is_negated
        ]
        return max(fitting)[2][:_LONGEST_QUOTE].rstrip() if fitting else None


class Grounds:
    """
    All that one reply may be built on: passages, outcomes of tools, and what the customer said.

    Passages are numbered from 1 in the order in which they come; a passage that comes again keeps its number.
    """

    def __init__(
        self, *, customer_text: str, company_name: str, contact_address: str | None, checks_names: bool
    ) -> None:
        self._customer = _Ground(f"{customer_text}\n{company_name}\n{contact_address or ''}")
        self._passages: list[_PassageGround] = []
        self._outcomes: list[_OutcomeGround] = []
        self._told: set[str] = set()
        self._deeds: set[str] = set()
        self._values: list[Mapping[str, Any]] = []
        self._orders: list[str] = []
        self._known_addresses: set[str] = set()
        self._may_name_addresses: list[str] = []
        if contact_address:
            self._known_addresses.add(_bare(contact_address))
            self._may_name_addresses.append(contact_address)
        self._checks_names = checks_names

    def add_passages(self, passages: Iterable[Passage]) -> tuple[int, ...]:
        numbers = []
        for passage in passages:
            for number, known in enumerate(self._passages, start=1):
                if (known.passage.article_id, known.passage.text) == (passage.article_id, passage.text):
                    numbers.append(number)
                    break
            else:
                self._passages.append(ground := _PassageGround(passage, self._customer))
                self._orders.append(ground.orders)
                self._may_name_addresses.append(ground.facts)
                if passage.url:
                    self._known_addresses.add(_bare(passage.url))
                numbers.append(len(self._passages))
        return tuple(numbers)

    def add_outcome(self, outcome: ToolOutcome) -> None:
        if outcome.passages:
            return
        action = outcome.action
        facts = [*_facts(outcome.value, "", []), action.summary, action.receipt or "", action.reference or ""]
        if outcome.is_ok:
            deeds = _DOES.get(action.tool, frozenset())
            self._deeds |= deeds
            facts.extend((action.tool.replace("_", " "), *deeds))
            self._values.append(outcome.value)
        self._outcomes.append(ground := _OutcomeGround(facts, is_ok=outcome.is_ok))
        if outcome.is_ok:
            self._may_name_addresses.append(ground.facts)
        self._orders.append(ground.orders)
        if not (ground.orders and sorted_out(action.summary).orders):
            self._told.update(_SENTENCE_END.split(action.summary))

    @property
    def hold_orders(self) -> bool:
        """Whether anything that was found speaks to a program."""
        return any(self._orders)

    def only_orders_say(self, text: str) -> bool:
        """Whether it holds a word that stands in an order, and neither in a fact nor in what the customer said."""
        if not self.hold_orders:
            return False
        stems = frozenset(terms(text)) & frozenset(terms("\n".join(self._orders)))
        known = COURTESY.union(self._customer.stems, *(ground.stems for ground in self._facts_of_all()))
        return bool(stems - known)

    def _facts_of_all(self) -> Iterator[_Ground]:
        yield from self._outcomes
        yield from self._passages

    def judge(self, sentence: str) -> Judgement:
        marked: list[int] = []
        text = sentence.strip()
        if "[" in text:
            marked = [int(number) for number in _MARKER.findall(sentence)]
            text = self._without_foreign_links(_MARKER.sub("", sentence)).strip()
        plain = _LIST_MARK.sub("", text)
        if is_bare_answer(plain):
            return Judgement(Standing.EMPTY, text)
        if plain in self._told:  # a tool's own sentence, whole and word for word
            return Judgement(Standing.SUPPORTED, text)
        if _TAG.search(text) or any(_bare(found) not in self._addresses() for found in _addresses(plain)):
            return Judgement(Standing.UNSUPPORTED, text)
        if self.only_orders_say(plain) or not self._deeds_are_done(plain):
            return Judgement(Standing.UNSUPPORTED, text)
        claim = _Claim(plain)
        if self._is_courtesy(plain, claim):
            return Judgement(Standing.COURTESY, text)
        return self._supported(claim, text, marked)

    def _addresses(self) -> set[str]:
        """All that the sources name, looked for once somebody asks."""
        for source in self._may_name_addresses:
            self._known_addresses.update(_bare(found) for found in _addresses(source))
        self._may_name_addresses.clear()
        return self._known_addresses

    def _supported(self, claim: "_Claim", text: str, marked: list[int]) -> Judgement:
        cited = [self._passages[number - 1] for number in marked if 1 <= number <= len(self._passages)]
        quotes = tuple(quote for ground in cited if (quote := self._quote(claim, ground)) is not None)
        if not quotes and len(cited) > 1:
            quotes = self._quotes_together(claim, cited)
        if quotes:
            return Judgement(Standing.SUPPORTED, text, quotes)
        # The latest first: what the model asked for last is what it speaks of.
        if any(self._is_told_by(ground, claim) for ground in reversed(self._outcomes)):
            return Judgement(Standing.SUPPORTED, text)
        others = sorted(self._passages, key=lambda ground: -len(claim.stems & ground.stems))
        for ground in others:
            # The model named no passage, or the wrong one: the one that says it is cited instead.
            quote = self._quote(claim, ground)
            if quote is not None:
                return Judgement(Standing.SUPPORTED, text, (quote,))
        return Judgement(Standing.UNSUPPORTED, text, near=tuple(self._near(claim)))

    def _near(self, claim: "_Claim") -> list[Quote]:
        """With the numbers, names, codes and negation of the claim, and a word of it; the likeliest first."""
        if len(claim.stems) <= _FEW_WORDS:
            return []
        found = [
            (shared, Quote(ground.passage, piece))
            for ground in self._passages
            if self._names_the_same(claim, ground)
            for piece, shared in ground.pieces_near(claim)
        ]
        found.sort(key=lambda each: -each[0])
        return [quote for _, quote in found[:_MOST_NEAR]]

    def _names_the_same(self, claim: "_Claim", ground: _Ground) -> bool:
        if not ground.holds_numbers(claim.numbers):
            return False
        names = claim.names if self._checks_names else ()
        return all(word in ground.text or word in self._customer.text for word in (*claim.codes, *names))

    def _is_told_by(self, ground: _OutcomeGround, claim: "_Claim") -> bool:
        if claim.is_negated and not ground.may_deny(claim):
            return False
        # "You have no tickets." is short, and about nobody but the customer whose tickets were looked up.
        return self._stands_on(claim, ground, _OUTCOME_SHARE, may_be_short=claim.is_negated)

    def _quote(self, claim: "_Claim", ground: _PassageGround) -> Quote | None:
        if not self._stands_on(claim, ground, _PASSAGE_SHARE):
            return None
        quote = ground.quote_for(claim)
        return Quote(ground.passage, quote) if quote is not None else None

    def _quotes_together(self, claim: "_Claim", cited: list[_PassageGround]) -> tuple[Quote, ...]:
        """A sentence that draws on several passages at once."""
        if not self._stands_on(claim, _Ground("\n".join(ground.text for ground in cited)), _PASSAGE_SHARE):
            return ()
        return tuple(
            Quote(ground.passage, quote) for ground in cited if (quote := ground.quote_for(claim)) is not None
        )

    def _stands_on(
        self, claim: "_Claim", ground: _Ground, share: float, *, may_be_short: bool = False
    ) -> bool:
        wanted = len(claim.stems) if len(claim.stems) <= _FEW_WORDS else share * len(claim.stems)
        if not claim.stems or (claim.leans_on_one_word and not may_be_short):
            return False
        if len(claim.stems & ground.stems) < wanted:
            return False
        return self._names_the_same(claim, ground)

    def _is_courtesy(self, plain: str, claim: "_Claim") -> bool:
        if plain.rstrip('*_"”») ').endswith(("?", "？")):
            return self._names_only_what([self._customer, *self._outcomes, *self._passages], claim)
        if admits_ignorance(plain):
            unexplained = claim.stems - COURTESY - self._customer.stems
            return not unexplained and self._names_only_what([self._customer], claim)
        if (claim.is_negated and not claim.is_of_ourselves) or _TICKETS_OF_YOURS.search(plain):
            return False
        return not claim.numbers and not claim.codes and is_polite_phrase(plain)

    @staticmethod
    def _names_only_what(known: list[_Ground], claim: "_Claim") -> bool:
        numbers_known = all(
            any(ground.holds_numbers([number]) for ground in known) for number in claim.numbers
        )
        return numbers_known and all(any(code in ground.text for ground in known) for code in claim.codes)

    def _deeds_are_done(self, plain: str) -> bool:
        """
        Whether all that the sentence says was done, or is being done now, is what a tool did in this turn.
        """
        if plain.endswith("?") or _SUPPOSES.search(plain):
            return True
        claimed: set[str] = set()
        for done in _HAS_DONE.finditer(plain):
            verb = (done["own"] or done["done"]).lower()
            if verb.endswith(("ed", "ing", "sent")):
                deeds = _DEEDS.intersection(terms(verb))
                if deeds and done["done"]:
                    deeds = deeds.difference(_states(self._values))
                claimed.update(deeds)
        if promise := _PROMISES.search(plain):
            claimed.update(_DEEDS.intersection(terms(plain[promise.end() :])[:2]))
        return claimed <= self._deeds

    def _without_foreign_links(self, text: str) -> str:
        text = _IMAGE.sub("", text)
        return _LINK.sub(lambda link: link[0] if _bare(link[2]) in self._addresses() else link[1], text)


class _Claim:
    """What a sentence needs its ground to hold."""

    def __init__(self, plain: str) -> None:
        self._plain = plain
        text = _ADDRESS.sub(" ", plain) if _MAY_HOLD_ADDRESS.search(plain) else plain
        words = frozenset(word for word in content_words(text) or terms(text) if not word.isdigit())
        self.stems = (words - COURTESY) or words
        self.numbers = _numbers(text)
        self.codes = _spelled(_CODE.findall(text))
        self.names = _spelled(_NAME.findall(text))
        self.is_negated = _is_negated(plain)
        self.leans_on_one_word = len(self.stems) == 1 and _LEANS.search(plain) is not None
        """"It works." shares its one word with many passages, and says what it means in none."""

    @property
    def is_of_ourselves(self) -> bool:
        return _SELF.search(self._plain) is not None


def _spelled(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in map(str.casefold, found) if word not in _COMMON_CODES)


def _is_negated(text: str) -> bool:
    return _NEGATION.search(text) is not None


def _numbers(text: str) -> frozenset[str]:
    return frozenset(_NUMBER.findall(_THOUSANDS.sub("", text)))


def _addresses(text: str) -> list[str]:
    return _ADDRESS.findall(text) if _MAY_HOLD_ADDRESS.search(text) else []


def _bare(address: str) -> str:
    """
    Without what a sentence puts around it. Compared as a whole: other pages of a known site are not known.
    """
    return re.sub(r"^mailto:", "", address.strip("<>").rstrip(".,;:!?*_"))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    return ((line.start(), line.end()) for line in re.finditer(r"[^\n]+", text))


def _facts(value: Any, key: str, found: list[str]) -> list[str]:
    """Every leaf of a tool's value with its key, in the forms in which a sentence may repeat it, added to `found`."""
    if value is None:
        return found
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _facts(inner, str(name), found)
    elif isinstance(value, list | tuple):
        found.append(f"{len(value)}" if value else f"0 no {key}")
        for inner in value:
            _facts(inner, key, found)
    else:
        name = key.replace("_", " ")
        found.append(f"{_FIELD_WORDS.get(name, name)} {value}")
        if isinstance(value, int) and key.endswith("_cents"):
            found.append(f"{value / 100:.2f} {value // 100 if value % 100 == 0 else ''}")
        if isinstance(value, str):
            found += _date_words(value)
    return found


def _by_fact(facts: Sequence[str]) -> Sorted:
    whole = [fact for fact in facts if not sorted_out(fact).orders]
    return Sorted("\n".join(whole), "\n".join(fact for fact in facts if fact not in whole))


def _states(value: Any) -> Iterator[str]:
    """The words of every `status` in a tool's value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "status":
                yield from terms(str(inner))
            elif not isinstance(inner, str):
                yield from _states(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _states(inner)


def _date_words(value: str) -> Iterator[str]:
    if not value[:4].isdigit():  # spares most facts the exception
        return
    try:
        yield _spoken(datetime.fromisoformat(value).date())
    except ValueError:
        return


@lru_cache(maxsize=1024)
def _spoken(when: date) -> str:
    month, day = calendar.month_name[when.month], calendar.day_name[when.weekday()]
    return f"{day} {day[:3]} {month} {month[:3]} {when.year} " + " ".join(
        f"{when.day}{ending}" for ending in ("", "st", "nd", "rd", "th")
    )
