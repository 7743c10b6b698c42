"""
Say in GitHub Actions what crossed a threshold: annotations as workflow commands, and a summary of the job in Markdown.

GitHub shows ten errors a step; the thresholds come first, then the gravest turns, and the last one says how many were left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.replay.changes import TITLES
from agent.replay.comparison import ChangedTurn, Comparison
from agent.replay.measures import MEASURES, Totals
from agent.replay.significance import Difference
from agent.replay.thresholds import Verdict

_MOST = 10
_LONGEST_DETAIL = 300
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~@:/&])")


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a recorded conversation stands in the repository."""

    file: str
    line: int


class _LineOfLog(msgspec.Struct):
    id: str


def log_places(logs: Iterable[Path], wanted: Iterable[str]) -> dict[str, LogPlace]:
    """The lines of Careline JSONL on which these conversations stand; of logs that are not there or in another format, none."""
    missing = set(wanted)
    places: dict[str, LogPlace] = {}
    decoder = msgspec.json.Decoder(_LineOfLog)
    for log in logs:
        if log.suffix != ".jsonl" or not log.is_file():
            continue
        with log.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not missing:
                    return places
                try:
                    found = decoder.decode(line).id
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
                if found in missing:
                    missing.discard(found)
                    places[found] = LogPlace(log.as_posix(), number)
    return places


def annotations(
    verdicts: Sequence[Verdict], turns: Sequence[ChangedTurn], places: Mapping[str, LogPlace]
) -> Iterator[str]:
    """Lines for standard output, none where nothing was crossed; `turns` are the gravest first."""
    crossed = [verdict for verdict in verdicts if verdict.is_crossed]
    failing = frozenset().union(*(verdict.kinds for verdict in crossed))
    said = [
        *(
            _command({"title": "Replay"}, f"{verdict.threshold} is crossed: {verdict.seen}")
            for verdict in crossed
        ),
        *(_of_turn(turn, places.get(turn.conversation)) for turn in turns if turn.change.kind in failing),
    ]
    if len(said) > _MOST:
        left_out = len(said) - _MOST + 1
        said[_MOST - 1 :] = [_command({"title": "Replay"}, f"and at least {left_out} more, see the report")]
    yield from said


def _of_turn(turn: ChangedTurn, place: LogPlace | None) -> str:
    properties = {"file": place.file, "line": str(place.line)} if place else {}
    where = f"{turn.conversation}, turn {turn.turn}" + (f" ({turn.cell})" if turn.cell else "")
    detail = turn.change.detail[:_LONGEST_DETAIL]
    return _command({**properties, "title": TITLES[turn.change.kind]}, f"{where}: {detail}")


def _command(properties: Mapping[str, str], message: str) -> str:
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {told}::{_data(message)}"


def _data(text: str) -> str:
    """As GitHub's own toolkit escapes a message (actions/toolkit, command.ts)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def job_summary(verdicts: Sequence[Verdict], totals: Totals, comparison: Comparison | None) -> str:
    """Markdown for the file that GITHUB_STEP_SUMMARY names: thresholds and measures, no recorded text."""
    lines = ["### Replay", "", "| threshold | seen | |", "|---|---|---|"]
    lines += [
        f"| {_markdown(each.threshold)} | {_markdown(each.seen)} | {'crossed' if each.is_crossed else 'kept'} |"
        for each in verdicts
    ]
    if comparison is None:
        lines += ["", "| measure | |", "|---|---|"]
        values = ((measure, totals.value(measure)) for measure in MEASURES)
        lines += [f"| {measure.title} | {value:,.4g} |" for measure, value in values if value is not None]
    else:
        lines += ["", "| measure | before | now | 95 % of the change | |", "|---|---|---|---|---|"]
        lines += [_compared(each) for each in comparison.differences]
        lines += ["", "| change of turns | worse | better |", "|---|---|---|"]
        lines += [
            f"| {title} | {comparison.worse[kind]} | {comparison.better[kind]} |"
            for kind, title in TITLES.items()
            if comparison.worse[kind] or comparison.better[kind]
        ]
    return "\n".join(lines) + "\n"


def _compared(difference: Difference) -> str:
    bounds = "" if difference.low is None else f"{difference.low:+,.4g} … {difference.high:+,.4g}"
    word = f"**{difference.word}**" if difference.is_worse else difference.word
    return (
        f"| {difference.measure.title} | {difference.base:,.4g} | {difference.new:,.4g} | {bounds} | {word} |"
    )


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
