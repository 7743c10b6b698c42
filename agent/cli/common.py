"""
What every command needs: the settings, read with an error that names the variable to mend, and a way to fail with a next step.
"""

import asyncio
import logging
import os
import sys
import tomllib
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from agent.cli.wrong_settings import PREFIX, likely, wrong_settings
from core.errors import CarelineError, ToolMisconfigured
from core.settings import Settings
from core.telemetry.logging import configure_logging

USAGE_ERROR = 2

_OF_COMMANDS = frozenset({"CARELINE_REPLAY_KEY", "CARELINE_DEPLOY_KEY", "CARELINE_DEPLOY_URL"})
"""Variables that one command reads by itself."""

_LEFTOVER_TRIES = 20
_LEFTOVER_SECONDS = 0.05

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def settings_or_exit(**overrides: Any) -> Settings:
    """The settings with the command line's overrides (None means: not given). Also sets up logging."""
    _warn_of_unknown_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        fail(
            f"careline.toml cannot be read: {exc}",
            next_step="Mend the line that it names; docs/settings.md has an example.",
            code=USAGE_ERROR,
        )
    except ValidationError as exc:
        for wrong in wrong_settings(exc):
            err.print(f"[red]{escape(wrong.said)}[/red]", soft_wrap=True)
            err.print(escape(wrong.next_step), soft_wrap=True)
        raise typer.Exit(USAGE_ERROR) from None
    configure_logging(level=settings.log_level, format=settings.log_format)
    return settings


def _warn_of_unknown_variables() -> None:
    for variable, hint in unknown_variables():
        err.print(f"[yellow]{escape(variable)}[/yellow]: no such setting, ignored; {hint}", soft_wrap=True)


def unknown_variables() -> Iterator[tuple[str, str]]:
    """A slip in a name would otherwise leave the default in force without a word. Values may be secret."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _OF_COMMANDS
    for variable in sorted(os.environ):
        name = variable.upper()
        if name.startswith(PREFIX) and name not in known:
            meant = likely(name, sorted(known))
            yield variable, f"did you mean {meant}?" if meant else "docs/settings.md lists all"


def run_loop(work: Coroutine[Any, Any, None], *, ends_process: bool = False) -> None:
    """
    Run the service on the fastest event loop there is; what drivers still do when it has ended is ended with it.

    `ends_process`: where the work ends well, so does the process, at once, with code 0. Everything was closed by then; what is
    left is to take the interpreter apart, which needs 0.3 s of a processor and on a busy machine many seconds, and to wait for
    threads in which somebody still waits for a server.
    """
    if sys.platform == "win32":
        asyncio.run(_to_the_end(work, ends_process=ends_process))
    else:
        import uvloop

        uvloop.run(_to_the_end(work, ends_process=ends_process))


async def _to_the_end(work: Coroutine[Any, Any, None], *, ends_process: bool) -> None:
    try:
        await work
    finally:
        await _end_leftovers()
    if ends_process:
        end_process()


def end_process() -> NoReturn:
    """At once, with code 0, from any thread; what was printed and logged is."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


async def _end_leftovers() -> None:
    """
    Cancel again what outlives a cancellation: `asyncio.wait_for` of Python 3.11 loses one that comes as its own work fails, so a
    driver that connects over and over would go on, and the loop waits for it without end.
    """
    for _ in range(_LEFTOVER_TRIES):
        leftovers = asyncio.all_tasks() - {asyncio.current_task()}
        if not leftovers:
            return
        for task in leftovers:
            task.cancel()
        await asyncio.wait(leftovers, timeout=_LEFTOVER_SECONDS)


_SETTINGS_STEP = "Correct the setting that it names; docs/settings.md explains each."
_DATABASE_STEP = "Check that the database runs and that CARELINE_DATABASE_URL names it."


@contextmanager
def explained(next_step: str = _DATABASE_STEP) -> Iterator[None]:
    """A failure that Careline foresees ends the command with what went wrong and what to do, instead of a traceback."""
    try:
        yield
    except CarelineError as exc:
        if next_step == _DATABASE_STEP and isinstance(exc, ToolMisconfigured):
            next_step = _SETTINGS_STEP
        fail(str(exc), next_step=getattr(exc, "next_step", next_step))


def fail(message: str, *, next_step: str, code: int = 1) -> NoReturn:
    """Say what went wrong and what to do, on standard error."""
    err.print(f"[red]{escape(message)}[/red]", soft_wrap=True)
    err.print(escape(next_step), soft_wrap=True)
    raise typer.Exit(code)


def printable(text: str) -> str:
    """What comes from customers, models and other systems must not steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
