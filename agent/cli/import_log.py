"""
`careline import-log`: conversations of other systems as Careline JSONL, ready to be replayed.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from agent.cli.common import err, fail, out
from agent.cli.files import written_whole
from agent.replay.formats import BrokenLines, LogUnreadable, Mapped, read_log, read_mapping

_SHOWN = 20
_STEP = "docs/recordings.md describes the formats and mapping files."


def import_log(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...",
            help="Zendesk, Intercom and Chatwoot exports, CSV, text, SGD, DSTC, ABCD, τ²-bench, or Careline JSONL.",
        ),
    ],
    output: Annotated[Path, typer.Option("--out", help="The JSONL file to be written.")],
    mapping: Annotated[
        Path | None, typer.Option(help="YAML that says where a log of another form has its messages.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first line that cannot be read.")
    ] = False,
) -> None:
    """
    Read conversations of other systems and write them as Careline JSONL, one a line.

    Lines that cannot be read are named by file and number, counted and left out; with --strict the first one ends it and nothing
    is written.
    """
    broken = BrokenLines()
    try:
        mapped = read_mapping(mapping) if mapping is not None else None
        conversations = _written(logs, mapped, output, None if strict else broken)
    except LogUnreadable as exc:
        fail(str(exc), next_step=getattr(exc, "next_step", _STEP))
    tell_broken(broken)
    if not conversations:
        fail("No conversation could be read.", next_step=_STEP)
    out.print(f"{conversations} conversations in {output}", soft_wrap=True)


def _written(logs: list[Path], mapped: Mapped | None, output: Path, broken: BrokenLines | None) -> int:
    conversations = 0
    with written_whole(output) as file:
        for log in logs:
            for conversation in read_log(log, mapped, broken=broken):
                file.write(msgspec.json.encode(conversation) + b"\n")
                conversations += 1
    return conversations


def tell_broken(broken: BrokenLines) -> None:
    """The first of them, and how many there are."""
    for told in broken.first[:_SHOWN]:
        err.print(f"[yellow]{escape(told)}[/yellow]", soft_wrap=True)
    if broken.count:
        more = f", {broken.count - _SHOWN} of them not shown" if broken.count > _SHOWN else ""
        lines = "line" if broken.count == 1 else "lines"
        err.print(f"{broken.count} {lines} could not be read{more}", soft_wrap=True)
