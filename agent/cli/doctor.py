"""
Look at the settings and at everything they name, and say what to do about what does not work.
"""

import asyncio
import sys
import tomllib
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from pydantic import ValidationError

from agent.cli.common import out, unknown_variables
from agent.cli.wrong_settings import wrong_settings
from agent.doctor.findings import Finding, Status, broken, exit_code, ok, warn
from core.settings import Settings
from core.telemetry.logging import configure_logging

_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.BROKEN: "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for scripts.")] = False,
) -> None:
    """
    Check the settings and every dependency, and say what to do.

    Changes nothing, and needs nothing to be up. Exit code 0: all is well; 1: warnings; 2: something is broken.
    """
    findings = _findings()
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n")
    else:
        for finding in findings:
            out.print(
                f"[{_COLOURS[finding.status]}]{finding.status.value:6}[/] {finding.name:12} ",
                end="",
            )
            out.print(finding.found, soft_wrap=True, markup=False)
            if finding.next_step is not None:
                out.print(f"{'':20}→ {finding.next_step}", soft_wrap=True, markup=False)
    raise typer.Exit(exit_code(findings))


def _findings() -> Sequence[Finding]:
    from agent.doctor.checks import diagnose

    configure_logging(level="error", format="json")
    try:
        settings = Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        return [broken("settings", f"careline.toml cannot be read: {exc}", "Mend the line that it names.")]
    except ValidationError as exc:
        return [broken("settings", wrong.said, wrong.next_step) for wrong in wrong_settings(exc)]
    unknown = [
        warn("settings", f"{variable}: no such setting, ignored", f"Correct or remove it; {hint}.")
        for variable, hint in unknown_variables()
    ]
    where = "local mode, no credentials" if settings.is_local else "with credentials"
    return [*(unknown or [ok("settings", where)]), *asyncio.run(diagnose(settings))]
