"""
Show what customers asked for and no article answered.
"""

import asyncio
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from agent.cli.common import USAGE_ERROR, err, explained, fail, out, settings_or_exit
from core.identity import DEFAULT_TENANT

_AGO = re.compile(r"(\d{1,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def gaps(
    since: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Only questions since then: 30d, 12h, 4w, or a date like 2026-11-01."
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose conversations they are.")] = DEFAULT_TENANT,
    limit: Annotated[int, typer.Option(min=1, help="At most so many groups.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for scripts.")] = False,
) -> None:
    """
    List the questions of recorded conversations that no article answered, the most frequent first.

    Questions that mean the same are one line, with how often it was asked. Addresses, numbers and secrets are taken out. Of the
    newest 2,000 such questions.

    Examples:

    careline knowledge gaps --since 30d

    careline knowledge gaps --since 2026-11-01 --json
    """
    moment = _moment(since)
    settings = settings_or_exit()
    from agent.bootstrap import knowledge_gaps

    with explained():
        found, is_by_meaning = asyncio.run(knowledge_gaps(settings, tenant, moment))
    found = found[:limit]
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return
    if not is_by_meaning:
        err.print("No vectors: questions are put together by their words alone.", soft_wrap=True)
    if not found:
        out.print("Every question that was asked was answered from the articles.", soft_wrap=True)
    for gap in found:
        out.print(f"{gap.times:5} ×  {gap.question}", soft_wrap=True, markup=False)
        for example in gap.examples:
            out.print(f"          {example}", soft_wrap=True, markup=False)


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    ago = _AGO.fullmatch(since)
    if ago is not None:
        return datetime.now(UTC) - int(ago[1]) * _UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        fail(
            f"--since {since}: no time that can be read",
            next_step="Write 30d, 12h, 4w, or a date like 2026-11-01.",
            code=USAGE_ERROR,
        )
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
