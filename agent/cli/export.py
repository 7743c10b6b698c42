"""
`careline export` and `careline reveal`: conversations as logs that can be replayed, without personal data unless it is wanted.
"""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent.cli.common import USAGE_ERROR, err, explained, fail, out, settings_or_exit
from agent.cli.files import written_whole
from agent.replay.privacy import Cover, Redacted, covered
from agent.replay.tokens import Tokens
from core.settings import Settings
from state.sql.history import Wanted

_KEY_STEP = "Name the file that the export was made with: careline export --tokens FILE."


def export(
    output: Annotated[Path, typer.Option("--out", help="The JSONL file to be written.")],
    conversation: Annotated[str | None, typer.Option(help="Only this conversation.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only conversations that went on after this time (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only conversations that began before this time (UTC).")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's; left out: every tenant's.")] = None,
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            help="Put personal data under tokens, which `careline reveal` opens with the key in this file; a new one is made."
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Personal data and secrets as they are.")] = False,
) -> None:
    """
    Write conversations as Careline JSONL, one a line, with their calls, results, found articles, model messages and versions.

    Addresses, numbers, names and secrets are taken out; with --tokens they can be put back. What tools and models answered is
    there as far as CARELINE_RECORDED_DAYS or CARELINE_EXPLAINED_DAYS kept it.
    """
    if plain and tokens is not None:
        fail("--plain and --tokens exclude each other", next_step="Leave one of them out.", code=USAGE_ERROR)
    settings = settings_or_exit()
    wanted = Wanted(tenant, conversation, customer, _in_utc(since), _in_utc(until))
    with explained():
        cover: Cover | None = None
        if tokens is not None:
            cover = Tokens.from_file(tokens, may_make=True)
        elif not plain:
            cover = Redacted()
        written = asyncio.run(_export(settings, wanted, output, cover))
    if plain:
        err.print(
            "[yellow]The file holds personal data and secrets as they were said[/yellow]: keep it like your database.",
            soft_wrap=True,
        )
    if conversation is not None and not written:
        fail(f"no conversation {conversation}", next_step="Check the id, --tenant and --customer.")
    out.print(f"{written} conversations in {output}", soft_wrap=True)


async def _export(settings: Settings, wanted: Wanted, output: Path, cover: Cover | None) -> int:
    from agent.bootstrap import open_history
    from agent.replay.exporting import exported

    written = 0
    with written_whole(output) as file:
        async with open_history(settings) as history:
            async for conversation in exported(history, wanted):
                told = covered(conversation, cover) if cover is not None else conversation
                file.write(msgspec.json.encode(told) + b"\n")
                written += 1
    return written


def reveal(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="What `careline export --tokens` has written.")],
    tokens: Annotated[Path, typer.Option(help="The file with the key that it was written with.")],
    output: Annotated[Path, typer.Option("--out", help="The file to be written.")],
) -> None:
    """Put back what stands under tokens: the file then holds personal data as it was said."""
    with explained(_KEY_STEP):
        cover = Tokens.from_file(tokens)
    try:
        with log.open(encoding="utf-8") as lines, written_whole(output) as file:
            for line in lines:
                file.write(_revealed(line, cover).encode())
    except (OSError, UnicodeDecodeError) as exc:
        fail(f"{log}: cannot be read: {exc}", next_step="Name a file that careline export has written.")
    out.print(f"{output} holds personal data: keep it like your database.", soft_wrap=True)


def _revealed(line: str, cover: Tokens) -> str:
    """Within JSON, where what comes out has to be escaped."""
    return cover.revealed(line, written=lambda words: json.dumps(words, ensure_ascii=False)[1:-1])


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
