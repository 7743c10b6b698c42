"""
`careline deploy`: bring a control plane to what a file declares, and tell what happened.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from agent.cli.common import err, fail, out, printable
from core.clock import SystemClock
from core.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from agent.deploy.outcome import FieldChange, Observer, Outcome

_SHOWN = 72
_MARKS = {
    "to create": "+",
    "to update": "~",
    "to replace": "±",
    "to retire": "×",
    "to delete": "-",
    "unchanged": "=",
}
_COLOURS = {
    "+": "green", "~": "yellow", "±": "yellow", "×": "yellow", "-": "red", "failed": "red", "unknown": "red", "left": "red",
}  # fmt: skip
_INTERRUPTED = (
    "Run the same command again: it goes on from its journal. With --roll-back it takes back instead."
)

_ANSWER_SECONDS = 30.0


def deploy(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="YAML of classes, providers, tools, prompts, definitions and deployments."
        ),
    ],
    to: Annotated[
        str, typer.Option(envvar="CARELINE_DEPLOY_URL", help="URL of the service whose control plane it is.")
    ] = "http://127.0.0.1:8000",
    key: Annotated[
        str | None, typer.Option(envvar="CARELINE_DEPLOY_KEY", help="One of the service's CARELINE_API_KEYS.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Afterwards delete what this file's deploys made and it no longer declares."
        ),
    ] = False,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Only take back what an interrupted deploy of this file did.")
    ] = False,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Leave active what new deployments take over from.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until its deployments are active.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for that.")] = 300.0,
    at_once: Annotated[int, typer.Option(min=1, max=32, help="Requests at the same time.")] = 4,
    state: Annotated[
        Path | None, typer.Option(help="Folder for journal and record; else .careline-deploy beside FILE.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON, for scripts.")] = False,
) -> None:
    """
    Make, change and replace what the file declares, all of it or nothing.

    A failure takes back what was done. After an interruption, the same command goes on where it ended. Exit codes: 0 applied, or
    nothing to do; 1 failed and taken back: mend what it names; 2 a wrong call or file: nothing was sent; 3 not all could be taken
    back: needs a person; 4 run it again: the plane was away or too slow, or it was interrupted.
    """
    from agent.deploy.declared import Declaration
    from agent.deploy.folder import RunsAlready, folder_for, held
    from agent.deploy.http_plane import HttpPlane, make_plane_client
    from agent.deploy.outcome import ExitCode, Outcome, Result
    from agent.deploy.reading import FileUnusable, read_declaration
    from agent.deploy.run import Deploy, Wishes

    def refuse(message: str, next_step: str, code: int) -> NoReturn:
        if as_json:
            outcome = Outcome(
                result=Result.FAILED,
                exit_code=code,
                recoverable=code == ExitCode.RUN_AGAIN,
                error=message,
                next_step=next_step,
            )
            _write_json(outcome)
            raise typer.Exit(code)
        fail(message, next_step=next_step, code=code)

    configure_logging(level="error", format="console")
    if not _is_url(to):
        refuse(f"{printable(to)} is no URL", "Call it with --to http://HOST:PORT", ExitCode.WRONG_CALL)
    try:
        # What is taken back stands in the journal, whatever has become of the file.
        declaration = Declaration(entries=(), digest="") if roll_back else read_declaration(file)
    except FileUnusable as exc:
        refuse(str(exc), exc.next_step, ExitCode.WRONG_CALL)
    folder = folder_for(file, to, kept_in=state)
    wishes = Wishes(
        wait_seconds=timeout if wait else None, at_once=at_once, prunes=prune, retires=not keep_old
    )

    async def work() -> Outcome:
        clock = SystemClock()
        with _shown(is_quiet=as_json) as observer:
            async with make_plane_client(to, key=key, timeout_seconds=_ANSWER_SECONDS) as client:
                running = Deploy(
                    declaration,
                    HttpPlane(client, clock=clock),
                    folder,
                    clock=clock,
                    wishes=wishes,
                    observer=observer,
                )
                if dry_run:
                    return await running.show()
                return await (running.take_back() if roll_back else running.run())

    try:
        with contextlib.nullcontext() if dry_run else held(folder):
            outcome = asyncio.run(work())
    except RunsAlready as exc:
        refuse(str(exc), "Wait for its end, and run the command again.", ExitCode.RUN_AGAIN)
    except KeyboardInterrupt:
        refuse("interrupted", _INTERRUPTED, ExitCode.RUN_AGAIN)
    except OSError as exc:
        refuse(f"{folder} cannot be used: {exc}", "Name another folder with --state.", ExitCode.WRONG_CALL)
    if as_json:
        _write_json(outcome)
    else:
        _print(outcome, is_dry=dry_run)
    raise typer.Exit(outcome.exit_code)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class _Shown:
    """Implements `agent.deploy.outcome.Observer` on a terminal's standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def noted(self, text: str) -> None:
        self._progress.console.print(text, soft_wrap=True, markup=False)

    def stage(self, name: str, total: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def advanced(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)


@contextlib.contextmanager
def _shown(*, is_quiet: bool) -> "Iterator[Observer]":
    from agent.deploy.outcome import Silent

    if is_quiet:
        yield Silent()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield _Shown(progress)


def _write_json(outcome: "Outcome") -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode() + "\n")


def _print(outcome: "Outcome", *, is_dry: bool) -> None:
    for warning in outcome.warnings:
        err.print(Text(printable(warning), style="yellow"), soft_wrap=True)
    for each in outcome.resources:
        state = each.state.value
        if state == "unchanged":
            continue
        mark = _MARKS.get(state, "")
        line = Text(f"{mark or ' '} {state:11} ", style=_COLOURS.get(mark or state, ""))
        line.append(printable(f"{each.section}.{each.name}"), style="bold")
        line.append(f"  {each.id}" if each.id and not is_dry else "")
        line.append(f"  ({each.why})" if each.why else "")
        out.print(line, soft_wrap=True)
        for change in each.changes if is_dry else ():
            out.print(Text(f"      {_told(change)}"), soft_wrap=True)
        for text in (each.said, each.next_step):
            if text:
                out.print(Text(f"      {printable(text)}"), soft_wrap=True)
    out.print(Text(_summary(outcome)), soft_wrap=True)
    if outcome.error:
        err.print(Text(printable(outcome.error), style="red"), soft_wrap=True)
    if outcome.next_step:
        err.print(Text(printable(outcome.next_step)), soft_wrap=True)


def _told(change: "FieldChange") -> str:
    after = _shortened(change.after)
    return (
        f"{change.field}: {after}"
        if change.before is None
        else f"{change.field}: {_shortened(change.before)} → {after}"
    )


def _shortened(value: Any) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


_SUMMARIES = {
    "unchanged": "Nothing to do: {unchanged} as declared.",
    "planned": "Planned: {planned}. Nothing was written.",
    "applied": "Applied: {done}; {unchanged} as they were.",
    "rolled_back": "Taken back: the plane is as it was before.",
    "incomplete": "Not all could be taken back: this needs a person.",
    "pending": "Not ended: the journal has what is open.",
    "failed": "Nothing was changed.",
}


def _summary(outcome: "Outcome") -> str:
    states = [each.state.value for each in outcome.resources]
    counted = ", ".join(
        f"{states.count(state)} {state}" for state in dict.fromkeys(states) if state != "unchanged"
    )
    return _SUMMARIES[outcome.result.value].format(
        unchanged=states.count("unchanged"),
        planned=counted,
        done=counted or "only the end of an interrupted run",
    )
