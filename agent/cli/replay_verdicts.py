"""
Print what got worse from one replay to another, with examples, and which thresholds are kept.
"""

from rich.markup import escape
from rich.table import Table

from agent.cli.common import err, out, printable
from agent.replay.changes import NEUTRAL, TITLES, ChangeKind
from agent.replay.comparison import Comparison
from agent.replay.gate import Judgement
from agent.replay.significance import FEWEST_CONVERSATIONS, Difference

_EXAMPLES = 5


def print_comparison(found: Comparison) -> None:
    out.print(
        f"{found.pairs} turns are in both runs, {found.worse[ChangeKind.MISSING]} only in the base, "
        f"{found.added} only in the new one"
    )
    if found.unpaired_cells:
        out.print(f"only one run has the cells {', '.join(found.unpaired_cells)}: not compared", markup=False)
    measures = Table(box=None)
    for title in ("measure", "before", "now", "95 % of the change", ""):
        measures.add_column(title, justify="left" if title in ("measure", "") else "right")
    for each in sorted(found.differences, key=lambda each: not each.is_worse):
        measures.add_row(*_row(each))
    out.print(measures)
    if any(each.low is None for each in found.differences):
        out.print(f"fewer than {FEWEST_CONVERSATIONS} conversations: too few to tell a change from chance")
    turns = Table(box=None)
    for title in ("turns", "worse", "better"):
        turns.add_column(title, justify="left" if title == "turns" else "right")
    for kind, title in TITLES.items():
        if found.worse[kind] or found.better[kind]:
            better = "" if kind in NEUTRAL else str(found.better[kind])
            turns.add_row(title, str(found.worse[kind]), better)
    if turns.row_count:
        out.print(turns)


def _row(each: Difference) -> tuple[str, ...]:
    measure = each.measure
    factor, unit = (100, "%") if measure.kind == "share" else (1, measure.unit)
    bounds = ""
    if each.low is not None and each.high is not None:
        is_still = each.low == each.high == 0
        bounds = "0" if is_still else f"{factor * each.low:+.4g} … {factor * each.high:+.4g}"
    word = f"[red]{each.word}[/red]" if each.is_worse else f"[green]{each.word}[/green]" if each.word else ""
    return (
        f"{measure.title}" + (f" ({unit})" if unit else ""),
        f"{factor * each.base:,.4g}",
        f"{factor * each.new:,.4g}",
        bounds,
        word,
    )


def print_worst(judgement: Judgement) -> None:
    """A few examples of each kind; other words only count in the tables."""
    for kind in ChangeKind:
        examples = [each for each in judgement.worst if each.change.kind is kind]
        if not examples or kind in NEUTRAL:
            continue
        out.print(f"[bold]{TITLES[kind]}[/bold]")
        for each in examples[:_EXAMPLES]:
            cell = f" ({each.cell})" if each.cell else ""
            where = printable(f"{each.conversation}, turn {each.turn}{cell}: {each.change.detail}")
            out.print(f"  {escape(where)}", soft_wrap=True)


def print_verdicts(judgement: Judgement) -> None:
    for verdict in judgement.verdicts:
        told = escape(f"{verdict.threshold}: {verdict.seen}")
        if verdict.is_crossed:
            err.print(f"[red]crossed[/red] {told}", soft_wrap=True)
        else:
            out.print(f"[green]kept[/green] {told}", soft_wrap=True)
