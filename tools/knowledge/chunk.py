"""
Cut an article's body into the pieces that search finds and replies quote.

The chunks are literal slices that together are the whole body, so whatever is quoted from one stands in the
article. `plain` is for readers that know no Markdown (word index and vectors), never for quotes.
"""

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

TARGET_CHARACTERS = 500
"""Sections are joined up to this size, about 110 tokens: single steps do not say what they are about."""

MAX_CHARACTERS = 900
"""No chunk is longer: about 200 tokens of prose, so title, heading and chunk fit into the model's 256."""

_MARKDOWN = MarkdownIt("commonmark").enable("table")

_LINE_END = re.compile(r"\r\n?|\n")  # what the Markdown parser counts lines by

_BREAKS = (re.compile(r"\n"), re.compile(r"[.!?…。！？][\"')\]]*\s"), re.compile(r"\s"))

_PLAIN = (
    (re.compile(r"<!--.{0,2000}?-->|</?[A-Za-z][^<>]{0,300}>", re.DOTALL), " "),
    (re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\n]|\([^()\n]*\))*\)"), r"\1"),
    (re.compile(r"https?://\S+"), " "),
    (re.compile(r"\[!(NOTE|TIP|WARNING|IMPORTANT|CAUTION)\]|\{#[\w-]*\}"), " "),
    (re.compile(r"^[ \t]*(?:#{1,6}|>|[-*+]|\d{1,9}[.)])(?=[ \t])", re.MULTILINE), " "),
    (re.compile(r"[|`*~#]+|[-=_:]{3,}|\\(?=[^\w\s])"), " "),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text` is `body[start:start + len(text)]`; `heading` the headings above it, outermost first."""

    heading: str
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    headings: tuple[str, ...]
    opens_section: bool

    @property
    def size(self) -> int:
        return self.end - self.start


def chunks(body: str) -> tuple[Chunk, ...]:
    """In order, without gap or overlap; none for a body without a visible character."""
    if not body.strip():
        return ()
    cut: list[Chunk] = []
    group: list[_Block] = []
    for block in (piece for whole in _blocks(body) for piece in _pieces(body, whole)):
        size = block.end - group[0].start if group else 0
        if group and size > (TARGET_CHARACTERS if block.opens_section else MAX_CHARACTERS):
            cut.append(_chunk(body, group))
            group = []
        group.append(block)
    cut.append(_chunk(body, group))
    return tuple(cut)


def plain(text: str) -> str:
    """The words of a piece of Markdown, on one line, without its marks and addresses."""
    for pattern, replacement in _PLAIN:
        text = pattern.sub(replacement, text)
    return text.strip()


def title_of(body: str) -> str | None:
    """The first heading, without its marks."""
    for token, following in zip(tokens := _MARKDOWN.parse(body), tokens[1:], strict=False):
        if token.type == "heading_open":
            return plain(following.content) or None
    return None


def _chunk(body: str, group: list[_Block]) -> Chunk:
    start = group[0].start
    return Chunk(heading=" › ".join(group[0].headings), start=start, text=body[start : group[-1].end])


def _blocks(body: str) -> list[_Block]:
    """Top-level Markdown blocks, each reaching to the next one's start; the first begins at 0."""
    line_starts = [0]
    line_starts += [match.end() for match in _LINE_END.finditer(body)]
    marks: list[tuple[int, Token, str]] = []
    tokens = _MARKDOWN.parse(body)
    for position, token in enumerate(tokens):
        if token.level == 0 and token.map and token.nesting >= 0:
            heading = plain(tokens[position + 1].content) if token.type == "heading_open" else ""
            marks.append((line_starts[token.map[0]], token, heading))

    path: dict[int, str] = {}
    blocks: list[_Block] = []
    for position, (start, token, heading) in enumerate(marks):
        opens = token.type == "heading_open"
        if opens:
            level = int(token.tag[1:])
            path = {depth: name for depth, name in path.items() if depth < level} | {level: heading}
        end = marks[position + 1][0] if position + 1 < len(marks) else len(body)
        blocks.append(
            _Block(
                start=start if blocks else 0,
                end=end,
                headings=tuple(name for name in path.values() if name),
                opens_section=opens,
            )
        )
    return blocks or [_Block(start=0, end=len(body), headings=(), opens_section=False)]


def _pieces(body: str, block: _Block) -> list[_Block]:
    """The block cut at lines, else sentences, else words, else anywhere: no piece is over the maximum."""
    pieces = []
    start = block.start
    while block.end - start > MAX_CHARACTERS:
        end = _break_before(body, start, start + MAX_CHARACTERS)
        pieces.append(_Block(start, end, block.headings, block.opens_section and start == block.start))
        start = end
    pieces.append(_Block(start, block.end, block.headings, block.opens_section and start == block.start))
    return pieces


def _break_before(body: str, start: int, limit: int) -> int:
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(body, start + MAX_CHARACTERS // 3, limit)]
        if ends:
            return ends[-1]
    return limit
