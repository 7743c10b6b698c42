"""
What every command needs: the settings, read with an error that names the variable to mend, and a way to fail with a next step.
"""

import asyncio
import difflib
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from core.errors import CarelineError
from core.settings import Settings
from core.telemetry.logging import configure_logging

USAGE_ERROR = 2

_PREFIX = "CARELINE_"
_OF_COMMANDS = frozenset({"CARELINE_REPLAY_KEY"})
"""Variables that one command reads by itself."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def settings_or_exit(**overrides: Any) -> Settings:
    """The settings with the command line's overrides (None means: not given). Also sets up logging."""
    _warn_of_unknown_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as exc:
        for problem in exc.errors():
            name = "_".join(str(part) for part in problem["loc"]) or "settings"
            variable = f"CARELINE_{name.upper()}" if problem["loc"] else "settings"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = "no such setting; docs/settings.md lists all"
            err.print(f"[red]{variable}[/red]: {message}", soft_wrap=True)
        raise typer.Exit(USAGE_ERROR) from None
    configure_logging(level=settings.log_level, format=settings.log_format)
    return settings


def _warn_of_unknown_variables() -> None:
    """A slip in a name would otherwise leave the default in force without a word. Values may be secret."""
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | _OF_COMMANDS
    for variable in sorted(os.environ):
        name = variable.upper()
        if name.startswith(_PREFIX) and name not in known:
            likely = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            hint = f"did you mean {likely[0]}?" if likely else "docs/settings.md lists all"
            err.print(
                f"[yellow]{escape(variable)}[/yellow]: no such setting, ignored; {hint}", soft_wrap=True
            )


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run the service on the fastest event loop there is."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        import uvloop

        uvloop.run(work)


_DATABASE_STEP = "Check that the database runs and that CARELINE_DATABASE_URL names it."


@contextmanager
def explained(next_step: str = _DATABASE_STEP) -> Iterator[None]:
    """A failure that Careline foresees ends the command with what went wrong and what to do, instead of a traceback."""
    try:
        yield
    except CarelineError as exc:
        fail(str(exc), next_step=next_step)


def fail(message: str, *, next_step: str) -> NoReturn:
    """Say what went wrong and what to do, on standard error; exit code 1."""
    err.print(f"[red]{message}[/red]", soft_wrap=True)
    err.print(next_step, soft_wrap=True)
    raise typer.Exit(1)
