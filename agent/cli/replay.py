"""
`careline replay`: recorded conversations, run again against this version or a running service.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agent.cli.common import err, explained, fail, out, settings_or_exit
from agent.replay.formats import LogUnreadable, read_log
from agent.replay.log import RecordedConversation
from agent.replay.report import Summary
from agent.replay.runner import ReplayedTurn, replay
from agent.replay.targets import HttpTarget, ReplayTarget
from core.clock import SystemClock
from core.http import make_client

_TIMEOUT_SECONDS = 60.0


def replay_logs(
    logs: Annotated[
        list[Path],
        typer.Argument(
            help="Careline JSONL (*.jsonl), Schema-Guided Dialogue, DSTC logs.json or ABCD files.",
            metavar="LOG...",
        ),
    ],
    against: Annotated[
        str | None, typer.Option(help="URL of a running service; left out, this version in this process.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="CARELINE_REPLAY_KEY", help="API key for --against.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="Folder for turns.jsonl and summary.json.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Conversations at the same time.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay only the first N conversations.")] = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to go on trying a message that --against does not answer.")
    ] = 30.0,
    run: Annotated[
        str | None,
        typer.Option(help="Name of this run; the same name again gets the stored answers of --against."),
    ] = None,
) -> None:
    """
    Feed the customer turns of recorded conversations to the agent and report what it answered.

    Without --against it runs in this process on a scratch database, with the articles of the configured one and its customers;
    tickets and notifications go nowhere. Writes one JSON line per turn to turns.jsonl and the totals to summary.json. Exit code
    1 when a turn got no answer.
    """
    if against is not None and not against.startswith(("http://", "https://")):
        fail(f"{against} is no URL", next_step="Call it with --against http://HOST:PORT")
    conversations: list[RecordedConversation] = []
    for log_file in logs:
        try:
            conversations += read_log(log_file)
        except LogUnreadable as exc:
            fail(str(exc), next_step="docs/replay.md describes the formats; nothing was replayed.")
    if limit is not None:
        conversations = conversations[:limit]
    started = datetime.now(UTC)
    run = run or f"{started:%Y%m%dT%H%M%S}"
    folder = output or Path("replay-results") / run
    folder.mkdir(parents=True, exist_ok=True)

    with explained():
        target = _in_process() if against is None else _over_http(against, key, patience)
        summary = asyncio.run(_run(conversations, target, folder / "turns.jsonl", run=run, at_once=at_once))
    (folder / "summary.json").write_text(json.dumps(summary.as_dict(), indent=2) + "\n", encoding="utf-8")
    _print(summary, folder)
    if summary.errors:
        err.print(
            f"[red]{summary.errors} turns got no answer[/red]: see the rows with error in {folder / 'turns.jsonl'}"
        )
        raise typer.Exit(1)


async def _run(
    conversations: Sequence[RecordedConversation],
    opening: AbstractAsyncContextManager[ReplayTarget],
    rows: Path,
    *,
    run: str,
    at_once: int,
) -> Summary:
    summary = Summary()
    with rows.open("wb") as file, _progress() as progress:
        task = progress.add_task("replaying", total=len(conversations))

        def report(turn: ReplayedTurn) -> None:
            file.write(msgspec.json.encode(turn) + b"\n")
            summary.add(turn)

        async with opening as target:
            await replay(
                conversations,
                target,
                run=run,
                at_once=at_once,
                report=report,
                finished_one=lambda: progress.advance(task),
            )
    return summary


def _in_process() -> AbstractAsyncContextManager[ReplayTarget]:
    from agent.bootstrap import open_scratch_replay

    return open_scratch_replay(settings_or_exit(log_level="error"))


@asynccontextmanager
async def _over_http(url: str, key: str | None, patience: float) -> AsyncIterator[ReplayTarget]:
    headers = {"Authorization": f"Bearer {key}"} if key else None
    async with make_client(
        "agent", base_url=url, timeout_seconds=_TIMEOUT_SECONDS, headers=headers
    ) as client:
        yield HttpTarget(client, patience_seconds=patience, clock=SystemClock())


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
    )


def _print(summary: Summary, folder: Path) -> None:
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
        ("with citations", totals["cited"]),
        ("tools", _listed(totals["tools"])),
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


def _listed(counts: dict[str, object]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
