"""
Which dependency fails how, how often and in which turns: read from a YAML plan, whose mistakes are named by line and field.
"""

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from agent.brain.flows.located import Located, Node, Problem
from core.errors import ToolMisconfigured

ALIASES = {"search": "knowledge", "mail": "notifications", "directory": "customers", "desk": "tickets"}


class FaultKind(StrEnum):
    DOWN = "down"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    WRITE_THEN_TIMEOUT = "write-then-timeout"
    LOST = "lost"
    SLOW = "slow"
    ERROR = "error"
    RATE_LIMITED = "429"


MEANING = {
    FaultKind.DOWN: "nobody listens; nothing is done",
    FaultKind.REFUSED: "the connection is refused; nothing is done",
    FaultKind.TIMEOUT: "nothing is done, and no answer comes",
    FaultKind.WRITE_THEN_TIMEOUT: "it is done, and no answer comes",
    FaultKind.LOST: "it is done, and the connection breaks before the answer",
    FaultKind.SLOW: "it is done, and the answer comes later",
    FaultKind.ERROR: "it answers with an error of its own (500)",
    FaultKind.RATE_LIMITED: "it answers that there were too many calls",
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    `share` of the calls fail, in the turns `first_turn` to `last_turn` of each conversation (None: all). `seconds` is how long an
    answer takes that is slow, and how long an outage lasts that is not to last for its turns; `retry_after` what a 429 says.
    """

    dependency: str
    kind: FaultKind
    share: float = 1.0
    first_turn: int = 1
    last_turn: int | None = None
    seconds: float | None = None
    retry_after: float | None = None

    @property
    def name(self) -> str:
        return f"{self.dependency}:{self.kind.value}"

    def is_on_in(self, turn: int) -> bool:
        return self.first_turn <= turn and (self.last_turn is None or turn <= self.last_turn)


class PlanUnreadable(ToolMisconfigured):
    """All that is wrong with a plan, a line for each, by line and field."""

    next_step = "Mend what is named above and try again; docs/replay.md lists what a plan may say."


def read_plan(file: Path, *, known: Collection[str]) -> tuple[Fault, ...]:
    """
    A mapping of dependencies to a fault, or a list of faults: `search: timeout 10 %`. `known` are the dependencies there are.

    Raises:
        PlanUnreadable: nothing of the plan is used.
    """
    problems: list[Problem] = []
    located = Located(file, problems)
    root = located.load()
    planned = tuple(_faults(located, root, known)) if root is not None else ()
    if problems:
        raise PlanUnreadable("\n".join(map(str, problems)))
    return planned


def _faults(located: Located, root: Node, known: Collection[str]) -> Iterator[Fault]:
    names = {*known, *(alias for alias, name in ALIASES.items() if name in known)}
    seen: set[str] = set()
    for name, node in located.mapping(root, known=names).items():
        dependency = ALIASES.get(name, name)
        if dependency in seen:
            located.wrong(node, f"{dependency} has another name, and is given twice")
        seen.add(dependency)
        for each in located.items(node):
            if text := located.text(each):
                try:
                    yield parse_fault(dependency, text)
                except ValueError as exc:
                    located.wrong(each, str(exc))


_NUMBER = r"(\d+(?:\.\d+)?)"
_WORDS = (
    ("share", re.compile(rf"{_NUMBER}\s*%")),
    ("turns", re.compile(r"turns?\s+(\d+)(?:\s*(?:-|–|to)\s*(\d+))?")),
    ("retry_after", re.compile(rf"retry-after\s+{_NUMBER}")),
    ("seconds", re.compile(rf"(?:for\s+|by\s+)?{_NUMBER}\s*s\b")),
)


def parse_fault(dependency: str, text: str) -> Fault:
    """
    `timeout 10 %`, `down turns 3–5`, `429 retry-after 2`, `slow 1.5 s 20 %`, `down turn 2 for 8 s`.

    Raises:
        ValueError: what is not understood, or does not fit together.
    """
    words = text.split(maxsplit=1)
    kinds = [kind.value for kind in FaultKind]
    if not words or words[0] not in kinds:
        raise ValueError(f"kind: {words[0] if words else 'nothing'!r} is none of {', '.join(kinds)}")
    kind, rest = FaultKind(words[0]), words[1] if len(words) > 1 else ""
    found: dict[str, re.Match[str]] = {}
    while rest := rest.strip(" ,"):
        for field, pattern in _WORDS:
            if match := pattern.match(rest):
                if field in found:
                    raise ValueError(f"{field}: given twice")
                found[field] = match
                rest = rest[match.end() :]
                break
        else:
            raise ValueError(f"{rest!r} is not understood; there is N %, turn(s) A–B, N s, retry-after N")
    return _checked(dependency, kind, found)


def _checked(dependency: str, kind: FaultKind, found: dict[str, re.Match[str]]) -> Fault:
    share = float(found["share"][1]) / 100 if "share" in found else 1.0
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share: {found['share'][0]} is not between 0 and 100 %")
    first, last = 1, None
    if "turns" in found:
        first = int(found["turns"][1])
        last = int(found["turns"][2] or first)
        if not 1 <= first <= last:
            raise ValueError(f"turns: {first} to {last} are none; the first turn is 1")
    seconds = float(found["seconds"][1]) if "seconds" in found else None
    if kind is FaultKind.SLOW and seconds is None:
        raise ValueError("seconds: slow by how much, as in `slow 2 s`")
    if seconds is not None and kind not in (FaultKind.SLOW, FaultKind.DOWN):
        raise ValueError(f"seconds: {kind.value} takes none; slow and down do")
    if kind is FaultKind.DOWN and seconds is not None and "turns" not in found:
        raise ValueError("turns: an outage of some seconds begins in a turn, as in `down turn 2 for 8 s`")
    if "retry_after" in found and kind is not FaultKind.RATE_LIMITED:
        raise ValueError(f"retry-after: {kind.value} says none; 429 does")
    return Fault(
        dependency=dependency,
        kind=kind,
        share=share,
        first_turn=first,
        last_turn=last,
        seconds=seconds,
        retry_after=float(found["retry_after"][1]) if "retry_after" in found else None,
    )
