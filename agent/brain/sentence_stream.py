"""
Cut a model's text into whole sentences while it is still being written.

A sentence takes the citation markers behind it along, and a list item or heading is a sentence of its own.
"""

import re
from dataclasses import dataclass

_BOUNDARY = re.compile(
    r"""(?:[.!?…]["'”’»)*_`]*(?:[ \t]*\[\d{1,3}\])*(?P<gap>[ \t]+)(?=\S))  # the end of a sentence
      | (?P<line>[ \t]*\n\s*)(?=\S)                                            # the end of a line
    """,
    re.VERBOSE,
)
_MAY_END = re.compile(r"[.!?…\n]")
"""Every boundary has one of these; most words that a model adds have none."""
_MARKERS_MAY_FOLLOW = re.compile(r"(?:\[\d{1,3}\]\s*)*(?:\[\d{0,3})?\Z")
_NO_END = re.compile(
    r"(?:(?:\A|\n)\s*\d{1,3}\."
    r"|\b(?:e\.g|i\.e|etc|vs|approx|no|nr|fig|inc|ltd|dr|mr|mrs|ms|st|z\.b|bzw|ca)\.)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """`gap` is the white space before it in the model's text."""

    gap: str
    text: str


class SentenceStream:
    def __init__(self) -> None:
        self._rest = ""
        self._gap = ""

    def feed(self, text: str) -> list[Sentence]:
        """The sentences that are certainly complete now: the first sign of the next one has been seen."""
        self._rest += text
        if not _MAY_END.search(self._rest):
            return []
        done: list[Sentence] = []
        searched = 0
        while boundary := _BOUNDARY.search(self._rest, searched):
            kind = "gap" if boundary["gap"] is not None else "line"
            after = boundary.end()
            if kind == "gap":
                if _MARKERS_MAY_FOLLOW.match(self._rest, after):
                    break
                if self._rest[after].islower() or _NO_END.search(self._rest[: boundary.start() + 1]):
                    searched = after
                    continue
            done.extend(self._cut(boundary.start(kind), after))
            searched = 0
        return done

    def flush(self) -> list[Sentence]:
        """What is left, when the model has said its last word."""
        return self._cut(len(self._rest), len(self._rest))

    def _cut(self, end: int, next_start: int) -> list[Sentence]:
        whole, rest = self._rest[:end], self._rest[next_start:]
        text = whole.strip()
        gap = self._gap + whole[: len(whole) - len(whole.lstrip())]
        self._gap, self._rest = self._rest[end:next_start], rest
        return [Sentence(gap, text)] if text else []
