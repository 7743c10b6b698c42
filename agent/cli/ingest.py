"""
Put help articles into the knowledge base from the command line.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli.common import err, explained, out, settings_or_exit
from core.identity import DEFAULT_TENANT
from core.settings import Settings

if TYPE_CHECKING:
    from tools.knowledge.ingest import IngestReport

_PHASES = {
    "read": "Reading articles",
    "embed": "Learning what they mean",
    "index": "Building the index",
}


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            show_default=False,
            help="Files or folders: Markdown, HTML, text, PDF, or JSONL with id, title, body.",
        ),
    ],
    tenant: Annotated[str, typer.Option(help="Whose knowledge base it is.")] = DEFAULT_TENANT,
    source: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="A name for these paths together; without it each path is a source of its own."
            " An article that its source no longer has is removed.",
        ),
    ] = None,
) -> None:
    """
    Put help articles into the knowledge base, or bring them up to date.

    Only what changed is worked on, and what is gone from a path is removed.

    A file that cannot be read is named, the rest goes in, and the exit code is 1.

    Examples:

    careline ingest help-centre/

    careline ingest faq.jsonl manual.pdf --tenant acme

    careline ingest export/2026-11 --source help-centre
    """
    settings = settings_or_exit()
    with explained("Check CARELINE_DATABASE_URL and CARELINE_DATA_DIR, then run the same command again."):
        report = asyncio.run(_ingest(settings, paths, tenant, source))
    _print(report)
    if report.failed:
        raise typer.Exit(1)


async def _ingest(settings: Settings, paths: list[Path], tenant: str, source: str | None) -> "IngestReport":
    from agent.bootstrap import open_ingestion

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # The bar belongs to the eyes at the terminal; what is printed at the end can be piped.
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {phase: bar.add_task(text, total=None, visible=False) for phase, text in _PHASES.items()}

        def show(phase: str, done: int, whole: int) -> None:
            bar.update(tasks[phase], completed=done, total=whole or None, visible=True)

        async with open_ingestion(settings) as ingestion:
            return await ingestion.run(paths, tenant, show, source=source)


def _print(report: "IngestReport") -> None:
    out.print(
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged,"
        f" {report.removed} removed ({report.embedded_texts} texts embedded)",
        soft_wrap=True,
    )
    if report.is_without_vectors:
        err.print(
            "The embedding model did not run: until it does, search goes by words alone.", soft_wrap=True
        )
    for name, why in report.failed:
        err.print(f"[red]{escape(name)}[/red]: {escape(why)}", soft_wrap=True)
    if report.failed:
        err.print(f"{len(report.failed)} did not go in; everything else did.", soft_wrap=True)
    for source, articles in report.held_back:
        err.print(
            f"{escape(source)}: {articles} no longer found there, but kept, because what could not be read may be"
            " one of them. Mend that and run the same command again.",
            soft_wrap=True,
        )
