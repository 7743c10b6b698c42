"""
`careline replay`: recorded conversations, run again against this version or a running service.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent.cli.common import err, explained, fail, settings_or_exit
from agent.cli.import_log import tell_broken
from agent.cli.replay_gate import FailOn, GitHub, JUnitFile, ReplayGate, ReportFile
from agent.cli.replay_tables import print_matrix, print_summary
from agent.cli.replaying import Replaying, replayed, replayed_matrix
from agent.replay.faults import Fault, read_plan
from agent.replay.formats import BrokenLines, LogUnreadable, Mapped, read_log, read_mapping
from agent.replay.log import RecordedConversation
from agent.replay.matrix import pairs, singles
from agent.replay.plan import Mode, ReplayPlan
from agent.replay.run_folder import Survey, survey
from core.settings import Settings

_FORMATS_STEP = "docs/replay.md describes the formats; nothing was replayed."
_LONG_AGO = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""Where neither the command nor the log says what time it is."""


class HowLive(StrEnum):
    LIVE = "live"
    STUBBED = "stubbed"


class Together(StrEnum):
    SINGLES = "singles"
    PAIRS = "pairs"


def replay_logs(
    logs: Annotated[
        list[Path],
        typer.Argument(
            help="Careline JSONL, or an export of any other known format (docs/replay.md).", metavar="LOG..."
        ),
    ],
    mode: Annotated[
        HowLive, typer.Option(help="Call the tools and models, or give back what was recorded of them.")
    ] = HowLive.LIVE,
    against: Annotated[
        str | None, typer.Option(help="URL of a running service; left out, this version in this process.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="CARELINE_REPLAY_KEY", help="API key for --against.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="Folder for turns.jsonl, summary.json and run.json.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what a killed run left in --out.")
    ] = False,
    mapping: Annotated[
        Path | None, typer.Option(help="YAML that says where a log of another form has its messages.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first line that cannot be read.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay only the first N conversations.")] = None,
    seed: Annotated[int, typer.Option(help="All that is left to chance comes from it.")] = 0,
    clock: Annotated[
        datetime | None,
        typer.Option(help="When the replay takes place; left out, when the log's first message was written."),
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="YAML plan of what fails how, and how often.", metavar="PLAN")
    ] = None,
    expect: Annotated[
        Path | None, typer.Option(help="YAML of what is expected of certain conversations.", metavar="FILE")
    ] = None,
    matrix: Annotated[
        Together | None, typer.Option(help="One run for each fault of each dependency, or each pair of them.")
    ] = None,
    lexical: Annotated[
        bool, typer.Option("--lexical", help="Search by words alone: without the embedding model.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Left out, one for each core that may be used.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, in place of processes here.")
    ] = None,
    at_once: Annotated[
        int, typer.Option(min=1, max=256, help="Conversations at the same time, where time is real.")
    ] = 4,
    shard_size: Annotated[int, typer.Option(min=1, help="Conversations that share one service.")] = 25,
    pause: Annotated[
        float | None, typer.Option(min=0, help="Seconds from an answer to the customer's next message.")
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds to go on sending a message that is not answered: 30 to --against, else 120.",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Name of this run; the same name again gets the stored answers of --against."),
    ] = None,
    fail_on: FailOn = None,
    junit: JUnitFile = None,
    github: GitHub = False,
    report: ReportFile = None,
) -> None:
    """
    Feed the customer turns of recorded conversations to the agent and report what it answered.

    Without --against it runs in processes of its own on scratch databases, with the articles of the configured one and its
    customers; tickets and notifications go nowhere. Writes one JSON line per turn to turns.jsonl, the totals to summary.json and
    what was asked for to run.json. Lines that cannot be read are named by file and number and left out. Exit code 1 when a
    threshold of --fail-on is crossed; without it, when a turn got no answer or broke a rule.
    """
    if against is not None:
        if not against.startswith(("http://", "https://")):
            fail(f"{against} is no URL", next_step="Call it with --against http://HOST:PORT")
        if faults or matrix or mode is HowLive.STUBBED or dask or (processes or 1) > 1:
            fail(
                "--against asks a running service: it takes no faults, no stubs and no processes",
                next_step="Leave --against out to replay in this process.",
                code=2,
            )
    gate = ReplayGate.of_a_run(
        fail_on, junit=junit, github=github, report=report, logs=logs, is_matrix=matrix is not None
    )
    settings = settings_or_exit(log_level="error")
    broken = BrokenLines()
    log = _Log(logs, mapping, limit, None if strict else broken)
    try:
        seen = survey(log)
    except LogUnreadable as exc:
        fail(str(exc), next_step=getattr(exc, "next_step", _FORMATS_STEP))
    tell_broken(broken)
    if not seen.conversations:
        fail("No conversation could be read.", next_step=_FORMATS_STEP)
    now = datetime.now(UTC)
    plan = ReplayPlan(
        mode="against" if against is not None else _MODES[mode],
        seed=seed,
        clock=_virtual_clock(settings, mode, clock, seen) if against is None else None,
        uses_vectors=not lexical,
        has_redis=against is None and _can_have_redis(settings),
        pause_seconds=pause if pause is not None else (2.0 if against is None else 0.0),
        patience_seconds=patience if patience is not None else (120.0 if against is None else 30.0),
        shard_size=shard_size,
        run=run or (f"seed{seed}" if against is None else f"{now:%Y%m%dT%H%M%S}"),
        url=against,
    )
    if plan.clock is None:
        plan = msgspec.structs.replace(plan, at_once=at_once if faults is None and matrix is None else 1)
    folder = output or Path("replay-results") / f"{now:%Y%m%dT%H%M%S}"
    with explained():
        replaying = Replaying(
            settings,
            log,
            seen,
            folder,
            resumes=resume,
            processes=processes,
            dask=dask,
            key=key,
            expected=expect,
        )
        replaying.expectations()  # a slip in them costs no waiting
        planned = read_plan(faults, known=replaying.dependencies(plan)) if faults is not None else ()
        if matrix is not None:
            _matrix(replaying, plan, planned, matrix)
        else:
            _one(replaying, msgspec.structs.replace(plan, faults=planned))
    gate.close(folder)


_MODES: dict[HowLive, Mode] = {HowLive.LIVE: "live", HowLive.STUBBED: "stubbed"}


class _Log:
    """All conversations of all files, read anew each time. `broken` hears of what cannot be read; None: the first ends it."""

    def __init__(
        self, files: list[Path], mapping: Path | None, limit: int | None, broken: BrokenLines | None
    ) -> None:
        self._files = files
        self._mapping = mapping
        self._limit = limit
        self._broken = broken

    def __iter__(self) -> Iterator[RecordedConversation]:
        mapped: Mapped | None = read_mapping(self._mapping) if self._mapping is not None else None
        everything = (one for file in self._files for one in read_log(file, mapped, broken=self._broken))
        return islice(everything, self._limit)


def _virtual_clock(settings: Settings, mode: HowLive, given: datetime | None, log: Survey) -> str | None:
    from agent.bootstrap import can_be_virtual

    if not can_be_virtual(settings, is_stubbed=mode is HowLive.STUBBED):
        err.print(
            "[yellow]Somebody outside of this process is asked, so time is real and no two runs are the same.[/yellow]"
        )
        return None
    start = given
    if start is None and log.first_at is not None:
        try:
            start = datetime.fromisoformat(log.first_at)
        except ValueError:
            start = None
    start = start or _LONG_AGO
    return (start if start.tzinfo is not None else start.replace(tzinfo=UTC)).isoformat()


def _can_have_redis(settings: Settings) -> bool:
    """A service that works with one is replayed with one."""
    from agent.bootstrap import can_have_redis

    if settings.redis_url is None:
        return False
    if not can_have_redis():
        err.print("[yellow]Replayed without Redis: pip install 'careline[replay]' to have one.[/yellow]")
        return False
    return True


def _one(replaying: Replaying, plan: ReplayPlan) -> None:
    summary = replayed(replaying, plan)
    print_summary(summary, replaying.folder)
    rows = replaying.folder / "turns.jsonl"
    if summary.errors:
        err.print(f"[red]{summary.errors} turns got no answer[/red]: see the rows with error in {rows}")
    if summary.turns_with_findings:
        err.print(
            f"[red]{summary.turns_with_findings} turns broke a rule[/red]: see the rows with findings in {rows}"
        )


def _matrix(replaying: Replaying, plan: ReplayPlan, always: tuple[Fault, ...], matrix: Together) -> None:
    """`always` are faults that are there in each cell."""
    dependencies = replaying.dependencies(plan)
    cells = singles(dependencies) if matrix is Together.SINGLES else pairs(dependencies)
    done = replayed_matrix(replaying, plan, [(), *((*always, *cell) for cell in cells)])
    print_matrix(done, replaying.folder)
