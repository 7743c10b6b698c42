"""
What `careline replay` shows in the end.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from agent.cli.common import out
from agent.replay.report import Summary


def print_summary(summary: Summary, folder: Path) -> None:
    totals = summary.as_dict()
    table = Table(show_header=False, box=None)
    difference = totals["difference"]
    compared = difference["compared_replies"]
    for name, value in (
        ("conversations", totals["conversations"]),
        ("customer turns", totals["turns"]),
        ("answered", totals["answered"]),
        ("  by status", _listed(totals["by_status"])),
        ("not answered", _listed(totals["errors"]) or 0),
        ("degraded", totals["degraded"]),
        ("  parts", _listed(totals["degraded_parts"])),
        ("handed over", totals["handed_over"]),
        ("with citations", totals["cited"]),
        ("tools", _listed(totals["tools"])),
        ("met faults", _listed(totals["faults"])),
        ("broke a rule", totals["with_findings"]),
        ("  rules", _listed(totals["findings"])),
        ("same tools as recorded", difference["same_tools_as_recorded"]),
        (
            "word overlap with recording",
            f"{difference['mean_word_overlap']} over {compared} replies" if compared else "",
        ),
        ("latency ms", _listed(totals["latency_ms"]) if totals["answered"] else ""),
    ):
        if value != "":
            table.add_row(name, str(value))
    out.print(table)
    out.print(f"rows: {folder / 'turns.jsonl'}   totals: {folder / 'summary.json'}", soft_wrap=True)


def print_matrix(cells: Sequence[Mapping[str, Any]], folder: Path) -> None:
    table = Table(box=None)
    table.add_column("fault")
    for name in ("turns", "met it", "answered", "degraded", "handed over", "longest s", "broke a rule"):
        table.add_column(name, justify="right")
    for cell in cells:
        table.add_row(
            cell["cell"],
            *(str(cell[name]) for name in ("turns", "met_faults", "answered", "degraded", "handed_over")),
            f"{(cell['latency_ms']['max'] or 0) / 1000:.1f}",
            _listed(cell["findings"]) or "0",
        )
    out.print(table)
    out.print(f"all totals: {folder / 'matrix.json'}", soft_wrap=True)


def _listed(counts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
