"""
Cut a Markdown passage into sentences and list items, each a literal slice, and show them as a chat reads
them.

What a customer reads is a slice without its marks, what is cited is the slice itself; nothing here chooses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    SENTENCE = "sentence"
    BULLET = "bullet"
    STEP = "step"
    CODE = "code"
    """A line of the code that the piece before announces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    The smallest piece that an answer may show: `source[start:end]`, without its list mark.

    `block` counts paragraphs and lists through the passage; the items of one list share it. `depth` is 0 for
    a list's own items, 1 for what is nested in them. `heading` is the nearest heading above within the
    passage.
    """

    kind: Kind
    start: int
    end: int
    block: int
    depth: int
    heading: str
    shown: str
    number: int = 0

    @property
    def announces(self) -> bool:
        """It says nothing without what follows."""
        return self.kind is not Kind.CODE and self.shown.endswith(":")

    @property
    def leads_in(self) -> bool:
        return self.kind is Kind.SENTENCE and self.announces


_FENCE = re.compile(r"^\s*(?:```|~~~)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"^(\s*)(?:([-*+])|(\d{1,9})[.)])[ \t]+(?=\S)")
_QUOTED = re.compile(r"^\s*>+[ \t]?")
_NO_WORDS = re.compile(
    r"^\s*(?:[-*_=](?:\s*[-*_=]){2,}\s*|\|.*|<[^>]*>\s*(?:</[a-z]+>)?\s*|\[!\w+\]\s*|!\[[^\]]*\]\([^)]*\)\s*(?:\{[^}]*\})?\s*"
    r"|\[[^\]]+\]:\s.*|\{[^}]*\}\s*)$",
    re.IGNORECASE,
)
_CODE = r"(`[^`\n]*`)"  # what stands in code is no mark
_TAG = re.compile(_CODE + r"|</?[a-zA-Z][^<>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*_”]*\s+(?=[\"'(\[*_`“]*[A-Z0-9])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|nr|fig|inc|ltd|dr|mr|mrs|ms|st)\.)$", re.IGNORECASE
)
_LONGEST_ABBREVIATION = 8  # characters, with its dots and what may stand before
_NESTED_FROM = 2

_SHOWN = (
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?"), ""),
    (re.compile(r"\[([^\[\]]*)\]\((https?://[^()\s]*)(?:\s+[^()]*)?\)(?:\{[^}]*\})?"), r"[\1](\2)"),
    (re.compile(r"\[([^\[\]]*)\]\((?!https?://)[^()]*\)(?:\{[^}]*\})?"), r"\1"),
    (re.compile(r"\[\^[^\]]*\]"), ""),
    (_TAG, r"\1"),
    (re.compile(r"\{[#.][^}]*\}"), ""),
    (re.compile(_CODE + r"|(?<![\w*])\*{1,3}(?=\S)([^*\n]+?)(?<=\S)\*{1,3}(?![\w*])"), r"\1\2"),
    (re.compile(_CODE + r"|(?<![\w_])_{1,3}(?=\S)([^_\n]+?)(?<=\S)_{1,3}(?![\w_])"), r"\1\2"),
    (re.compile(r"\s*\n\s*(?:>+[ \t]?)?"), " "),
    (re.compile(r"[ \t ]+"), " "),
    (re.compile(r" (?=[.,;:!?])"), ""),
)


def shown(markdown: str) -> str:
    """One line for a chat: links to the web and code stay, other marks go."""
    for pattern, replacement in _SHOWN:
        markdown = pattern.sub(replacement, markdown)
    return markdown.strip()


def units(source: str) -> tuple[Unit, ...]:
    """
    In order of the source. Headings, tables, pictures and lists of contents are no units, nor is code that
    nothing announces.
    """
    return tuple(
        unit
        for unit in _Cutter(source).cut()
        if unit.shown and not _is_contents(source[unit.start : unit.end])
    )


@dataclass(slots=True)
class _Open:
    """A paragraph or list item that the next line may continue."""

    kind: Kind
    start: int
    end: int
    depth: int = 0
    number: int = 0


class _Cutter:
    """Reads lines one after the other, and keeps what the next line may continue."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._heading = ""
        self._block = 0
        self._in_list = False
        self._numbers: dict[int, int] = {}
        self._open: _Open | None = None
        self._announced_at: int | None = None

    def cut(self) -> Iterator[Unit]:
        has_gap = False
        for start, end, is_code in _lines(self._source):
            line = self._source[start:end]
            if is_code:
                yield from self._closed()
                yield from self._code(start, end)
                has_gap = False
                continue
            if not line and self._awaits_more():
                has_gap = True
                continue
            is_apart = has_gap and (line[:1] not in " \t" or not self._is_next(start))
            has_gap = False
            if line and (is_apart or not (self._open and not _ITEM.match(line) and not _HEADING.match(line))):
                yield from self._closed()
                self._begin(line, start, end)
            elif line and self._open:
                self._open.end = end
            else:
                yield from self._closed()
        yield from self._closed()

    def _awaits_more(self) -> bool:
        """An item such as "Enter this command:" says nothing without its next paragraph."""
        piece = self._open
        return (
            piece is not None and piece.kind is not Kind.SENTENCE and self._source[: piece.end].endswith(":")
        )

    def _is_next(self, start: int) -> bool:
        """Nothing, such as a table or a block of code, stands between."""
        return self._open is not None and not self._source[self._open.end : start].strip()

    def _code(self, start: int, end: int) -> Iterator[Unit]:
        if self._announced_at is not None:
            line = self._source[start:end]
            yield Unit(
                kind=Kind.CODE,
                start=start,
                end=end,
                block=self._block,
                depth=self._announced_at,
                heading=self._heading,
                shown=line if "`" in line else f"`{line}`",
            )

    def _begin(self, line: str, start: int, end: int) -> None:
        self._announced_at = None
        if title := _HEADING.match(line):
            self._block, self._in_list, self._heading = self._block + 1, False, shown(title[1])
        elif item := _ITEM.match(line):
            self._begin_item(item, start, end)
        elif not (self._in_list and line[:1] in " \t"):
            self._block, self._in_list = self._block + 1, False
            self._open = _Open(Kind.SENTENCE, start, end)
        # What is left is a further paragraph of a list item: its first paragraph is what a short answer
        # shows.

    def _begin_item(self, item: re.Match[str], start: int, end: int) -> None:
        depth = min(1, len(item[1].expandtabs(4)) // _NESTED_FROM) if self._in_list else 0
        if not self._in_list:
            self._block, self._in_list, self._numbers = self._block + 1, True, {}
        number = self._numbers[depth] + 1 if depth in self._numbers else int(item[3] or 1)
        self._numbers = {level: last for level, last in self._numbers.items() if level <= depth} | {
            depth: number
        }
        self._open = _Open(Kind.STEP if item[3] else Kind.BULLET, start + item.end(), end, depth, number)

    def _closed(self) -> Iterator[Unit]:
        piece, self._open = self._open, None
        if piece is not None:
            self._announced_at = piece.depth if self._source[: piece.end].endswith(":") else None
            yield from _units_of(self._source, piece, block=self._block, heading=self._heading)


def _units_of(source: str, piece: _Open, *, block: int, heading: str) -> Iterator[Unit]:
    spans = [(piece.start, piece.end)] if piece.kind is not Kind.SENTENCE else _sentences(source, piece)
    for start, end in spans:
        text = source[start:end]
        left = start + len(text) - len(text.lstrip())
        right = start + len(text.rstrip())
        yield Unit(
            kind=piece.kind,
            start=left,
            end=right,
            block=block,
            depth=piece.depth,
            heading=heading,
            shown=shown(source[left:right]),
            number=piece.number,
        )


def _sentences(source: str, piece: _Open) -> list[tuple[int, int]]:
    text = source[piece.start : piece.end]
    spans = []
    begin = 0
    for gap in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text, max(0, gap.start() - _LONGEST_ABBREVIATION), gap.start()):
            spans.append((piece.start + begin, piece.start + gap.end()))
            begin = gap.end()
    spans.append((piece.start + begin, piece.end))
    return spans


def _lines(source: str) -> Iterator[tuple[int, int, bool]]:
    """
    Where each line's text begins and ends, without marks of a quotation, and whether it is code; empty where
    there is nothing to read.
    """
    start = 0
    in_code = False
    for line in source.splitlines(keepends=True):
        text = line.rstrip("\r\n")
        mark = quoted.end() if (quoted := _QUOTED.match(text)) else 0
        is_fence = _FENCE.match(text) is not None
        in_code ^= is_fence
        is_empty = is_fence or not text[mark:].strip() or (not in_code and _NO_WORDS.match(text[mark:]))
        if is_empty:
            yield start, start, False
        elif in_code:
            yield start + len(text) - len(text.lstrip()), start + len(text.rstrip()), True
        else:
            yield start + mark, start + len(text), False
        start += len(line)


_CONTENTS = re.compile(r"^[*_\s]*\[[^\]]*\]\(#[^)]*\)[*_\s]*$")


def _is_contents(text: str) -> bool:
    """An entry that only points to a heading further down."""
    return _CONTENTS.match(text) is not None
