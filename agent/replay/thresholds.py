"""
The limits that a replay must keep (`--fail-on`): read from words, held against a run or the comparison of two.

A figure that no turn has (an overlap without recorded replies, a latency without an answer) counts as crossed: a gate that could
not look does not open.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from agent.replay.changes import NEUTRAL, TITLES, ChangeKind
from agent.replay.comparison import Comparison
from agent.replay.measures import AVERAGED, MEASURES, PERCENTILES, Totals
from core.errors import InvalidInput

OF_A_RUN = ("answered<100%", "findings>0")
"""Where nothing else is asked for: every turn has an answer, and nothing is there that must not be."""
OF_A_MATRIX = ("findings>0",)
"""What is broken on purpose may leave a message without an answer, but nothing that must not be."""
OF_TWO_RUNS = tuple(f"worse:{kind}" for kind in ("finding", "answer", "missing", "citation", "tool"))
"""The changes that are no matter of degree."""

_SHARES = {measure.name for measure in AVERAGED if measure.kind == "share"}
_COUNTS: dict[str, Callable[[Totals], float]] = {
    "turns": lambda totals: totals.turns,
    "conversations": lambda totals: totals.conversations,
    "total_tokens": lambda totals: totals.sum("tokens"),
}
_NAMES = sorted({*(measure.name for measure in AVERAGED), *PERCENTILES, *_COUNTS})
_SIGNIFICANT = sorted(measure.name for measure in MEASURES)
_ANY = "any"
_OF_THE_MACHINE = {"real_ms"}
"""Says as much of the machine as of the version: only where it is asked for by name."""

_NOTHING = "no turn has such a figure"

_LIMIT = re.compile(
    r"(?P<name>\w+)(?::(?P<rule>\S+?))?\s*(?P<sign><=|>=|<|>)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%?)"
)
_CHANGE = re.compile(r"(?P<name>\w+)\s+(?P<sign>[+-])\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%?)")
_WORSE = re.compile(r"worse:(?P<name>\w+)(?:\s*>\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%?))?")
_BEYOND_CHANCE = re.compile(r"significant:(?P<name>\w+)")

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda seen, limit: seen < limit,
    "<=": lambda seen, limit: seen <= limit,
    ">": lambda seen, limit: seen > limit,
    ">=": lambda seen, limit: seen >= limit,
}
_KINDS_OF_NAMES = {
    "answered": ChangeKind.ANSWER,
    "findings": ChangeKind.FINDING,
    "cited": ChangeKind.CITATION,
    "tool_failures": ChangeKind.TOOL,
    "degraded": ChangeKind.DEGRADED,
    "handed_over": ChangeKind.HANDOVER,
}


class ThresholdUnreadable(InvalidInput):
    """The message says what is wrong with it, and what may be written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What thresholds are held against; `comparison` is None of a run by itself."""

    totals: Totals
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`seen` says what was found in place of the threshold; `kinds` are the changes of turns that make it so."""

    threshold: str
    is_crossed: bool
    seen: str
    kinds: frozenset[ChangeKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Threshold:
    text: str
    needs_base: bool
    judge: Callable[[Seen], Verdict]


def read_thresholds(texts: Sequence[str], *, has_base: bool) -> tuple[Threshold, ...]:
    """
    Raises:
        ThresholdUnreadable
    """
    thresholds = tuple(_read(text.strip()) for text in texts)
    for threshold in thresholds:
        if threshold.needs_base and not has_base:
            raise ThresholdUnreadable(
                f"--fail-on {threshold.text!r} needs a run to compare with: careline replay-compare BASE NEW"
            )
    return thresholds


def _read(text: str) -> Threshold:
    if found := _WORSE.fullmatch(text):
        return _worse(text, found)
    if found := _BEYOND_CHANCE.fullmatch(text):
        return _beyond_chance(text, found)
    if found := _LIMIT.fullmatch(text):
        return _limit(text, found)
    if found := _CHANGE.fullmatch(text):
        return _change(text, found)
    raise ThresholdUnreadable(
        f"--fail-on {text!r} cannot be read; write NAME<N, NAME>N, NAME<N%, 'NAME +N%', 'NAME -N%', worse:KIND or "
        "significant:NAME (docs/how-to-gate-a-release.md)"
    )


def _limit(text: str, found: re.Match[str]) -> Threshold:
    name, rule = found["name"], found["rule"]
    if rule is not None and name != "findings":
        raise ThresholdUnreadable(
            f"--fail-on {text!r}: only findings are told apart by a rule (findings:RULE>0)"
        )
    _known(text, name, _NAMES)
    if found["percent"] and name not in _SHARES:
        raise ThresholdUnreadable(
            f"--fail-on {text!r}: {name} is no share of the turns, so write a number without %"
        )
    limit, sign = float(found["number"]), _SIGNS[found["sign"]]

    def judge(seen: Seen) -> Verdict:
        totals = seen.totals
        value = _value(totals, name) if rule is None else totals.findings[rule]
        if value is None or not totals.turns:
            return Verdict(text, True, _NOTHING, _kinds(name))
        told = _told(value)
        if name in _SHARES:
            told = f"{told} of {totals.turns:,} turns ({_told(100 * value / totals.turns)}%)"
        if found["percent"]:
            value = 100 * value / totals.turns
        return Verdict(text, sign(value, limit), told, _kinds(name))

    return Threshold(text, needs_base=False, judge=judge)


def _change(text: str, found: re.Match[str]) -> Threshold:
    name = found["name"]
    _known(text, name, _NAMES)
    limit, rises = float(found["number"]), found["sign"] == "+"

    def judge(seen: Seen) -> Verdict:
        base, new = (_comparable(totals, name) for totals in (_compared(seen).base, _compared(seen).new))
        if base is None or new is None:
            return Verdict(text, True, _NOTHING, _kinds(name))
        change = new - base if rises else base - new
        allowed = limit / 100 * abs(base) if found["percent"] else limit
        unit = "%" if name in _SHARES else ""
        return Verdict(
            text, change > allowed, f"{_told(base)}{unit} before, {_told(new)}{unit} now", _kinds(name)
        )

    return Threshold(text, needs_base=True, judge=judge)


def _worse(text: str, found: re.Match[str]) -> Threshold:
    kinds = [kind for kind in ChangeKind if kind not in NEUTRAL]
    _known(text, found["name"], [_ANY, *kinds])
    wanted = frozenset(kinds if found["name"] == _ANY else [ChangeKind(found["name"])])
    limit = float(found["number"] or 0)

    def judge(seen: Seen) -> Verdict:
        comparison = _compared(seen)
        count = sum(comparison.worse[kind] for kind in wanted)
        pairs = comparison.pairs + comparison.worse[ChangeKind.MISSING]
        if not pairs:
            return Verdict(text, True, "no turn is in both runs", wanted)
        value = 100 * count / pairs if found["percent"] else count
        told = ", ".join(
            f"{TITLES[kind]}: {comparison.worse[kind]}"
            for kind in kinds
            if kind in wanted and comparison.worse[kind]
        )
        return Verdict(text, value > limit, f"{told or 'none'} of {pairs} turns", wanted)

    return Threshold(text, needs_base=True, judge=judge)


def _beyond_chance(text: str, found: re.Match[str]) -> Threshold:
    _known(text, found["name"], [_ANY, *_SIGNIFICANT])
    wanted = {*_SIGNIFICANT} - _OF_THE_MACHINE if found["name"] == _ANY else {found["name"]}

    def judge(seen: Seen) -> Verdict:
        asked = [each for each in _compared(seen).differences if each.measure.name in wanted]
        if not any(each.low is not None for each in asked):
            return Verdict(text, True, "too few conversations to say")
        worse = [each for each in asked if each.is_worse]
        told = ", ".join(
            f"{each.measure.name} {_told(each.base)} before, {_told(each.new)} now" for each in worse
        )
        kinds = frozenset().union(*(_kinds(each.measure.name) for each in worse))
        return Verdict(text, bool(worse), told or "nothing got worse beyond chance", kinds)

    return Threshold(text, needs_base=True, judge=judge)


def _compared(seen: Seen) -> Comparison:
    if seen.comparison is None:
        raise ThresholdUnreadable("there is no run to compare with")
    return seen.comparison


def _comparable(totals: Totals, name: str) -> float | None:
    """Runs may have different numbers of turns: shares in percent."""
    if name in _SHARES:
        mean = totals.mean(name)
        return None if mean is None else 100 * mean
    return _value(totals, name)


def _value(totals: Totals, name: str) -> float | None:
    """A count of turns for shares, the mean or the percentile for the others."""
    if name in PERCENTILES:
        return totals.latency(PERCENTILES[name])
    if name in _SHARES:
        return totals.sum(name)
    if name in _COUNTS:
        return _COUNTS[name](totals)
    return totals.mean(name)


def _kinds(name: str) -> frozenset[ChangeKind]:
    return frozenset({_KINDS_OF_NAMES[name]}) if name in _KINDS_OF_NAMES else frozenset()


def _known(text: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ThresholdUnreadable(f"--fail-on {text!r}: {name} is unknown; {hint}")


def _told(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
