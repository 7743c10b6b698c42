"""
Write a replay as JUnit XML, which CI services show: one test case a threshold, one a turn.

A case fails exactly where a crossed `--fail-on` is about it, so that the file is red when the exit code is 1, and only then. What
else a turn's case has to tell stands in its `system-out`. Written turn by turn: a run may be longer than memory.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from xml.sax.saxutils import escape, quoteattr

from agent.replay.changes import TITLES, Change
from agent.replay.results import TimedTurn
from agent.replay.thresholds import Verdict

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SUITE = "careline replay"

JudgedTurn = tuple[str, TimedTurn, tuple[Change, ...]]
"""Cell, turn, what is wrong with it."""


def write_junit(file: Path, verdicts: Sequence[Verdict], turns: Iterable[JudgedTurn]) -> None:
    failing = frozenset().union(*(verdict.kinds for verdict in verdicts if verdict.is_crossed))
    cases = failures = 0
    with TemporaryFile("w+", encoding="utf-8", newline="\n") as body:
        for cell, turn, found in turns:
            bad = [change for change in found if change.kind in failing]
            other = [change for change in found if change.kind not in failing]
            cases += 1
            failures += bool(bad)
            body.write(_turn_case(cell, turn, bad, other))
        crossed = sum(verdict.is_crossed for verdict in verdicts)
        with file.open("w", encoding="utf-8", newline="\n") as out:
            out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
            out.write(
                f'<testsuites name="{_SUITE}" tests="{len(verdicts) + cases}" failures="{crossed + failures}">\n'
            )
            out.write(f'<testsuite name="thresholds" tests="{len(verdicts)}" failures="{crossed}">\n')
            out.writelines(_threshold_case(verdict) for verdict in verdicts)
            out.write("</testsuite>\n")
            out.write(f'<testsuite name="turns" tests="{cases}" failures="{failures}">\n')
            body.seek(0)
            out.writelines(body)
            out.write("</testsuite>\n</testsuites>\n")


def _threshold_case(verdict: Verdict) -> str:
    case = f'<testcase classname="thresholds" name={_attribute(verdict.threshold)}'
    if verdict.is_crossed:
        return f'{case}><failure type="threshold" message={_attribute(verdict.seen)}/></testcase>\n'
    return f"{case}/>\n"


def _turn_case(cell: str, turn: TimedTurn, bad: Sequence[Change], other: Sequence[Change]) -> str:
    group = f"{cell}: {turn.conversation}" if cell else turn.conversation
    seconds = turn.latency_ms / 1000
    case = f'<testcase classname={_attribute(group)} name="turn {turn.turn}" time="{seconds:.3f}"'
    parts = []
    if bad:
        lines = [f"{TITLES[change.kind]}: {change.detail}" for change in bad]
        said = _text("\n".join([*lines, f"customer: {turn.customer}", f"agent: {turn.reply}"]))
        parts.append(f'<failure type="{bad[0].kind}" message={_attribute(lines[0])}>{said}</failure>')
    if other:
        told = _text("\n".join(f"{TITLES[change.kind]}: {change.detail}" for change in other))
        parts.append(f"<system-out>{told}</system-out>")
    return f"{case}>{''.join(parts)}</testcase>\n" if parts else f"{case}/>\n"


def _attribute(text: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("\ufffd", text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text), {"\r": "&#13;"})
