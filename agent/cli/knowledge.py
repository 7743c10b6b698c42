"""
What an operator does with the knowledge base as a whole: look at its versions, return to one, try what is found and for
whom; and, beside it, measure it and see what it does not say.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from agent.cli import knowledge_eval, knowledge_gaps
from agent.cli.common import explained, fail, out, settings_or_exit
from core.identity import DEFAULT_TENANT, Audience
from core.records import Release, SearchResult

if TYPE_CHECKING:
    from tools.knowledge.versions import Versions

T = TypeVar("T")

app = typer.Typer(
    help="The knowledge base as a whole: its versions, and what it finds.", no_args_is_help=True
)

_Tenant = Annotated[str, typer.Option(help="Whose knowledge base it is.")]
_SHOWN_CHARACTERS = 300


@app.callback()
def knowledge() -> None:
    """The knowledge base as a whole: its versions, and what it finds."""


@app.command("versions")
def versions(tenant: _Tenant = DEFAULT_TENANT) -> None:
    """List the versions that can be returned to, newest first: what each ingest came to."""
    releases = _with_versions(lambda versions: versions.list(tenant))
    for release in releases:
        out.print(_line(release), soft_wrap=True, markup=False)
    if not releases:
        out.print("Nothing was ingested yet: careline ingest PATH")


@app.command("rollback")
def rollback(
    version: Annotated[
        int | None,
        typer.Argument(help="One of `careline knowledge versions`; left out: the one before that is served."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Serve the newest version again.")] = False,
    tenant: _Tenant = DEFAULT_TENANT,
) -> None:
    """
    Serve an earlier version of the articles, on every replica within seconds.

    It stays until the next ingest that changes something, or `rollback --undo`.
    """
    if undo and version is not None:
        fail("--undo takes no VERSION.", next_step="Give one of them.", code=2)
    now = _with_versions(
        lambda versions: versions.undo(tenant) if undo else versions.roll_back(tenant, version),
        next_step="`careline knowledge versions` lists what can be returned to.",
    )
    out.print(_line(now), soft_wrap=True, markup=False)


@app.command("find")
def find(
    question: Annotated[str, typer.Argument(help="As a customer would ask it.")],
    audience: Annotated[
        Audience, typer.Option(help="Whose eyes to look with: internal shows what no customer ever sees.")
    ] = Audience.PUBLIC,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many passages at most.")] = 5,
    tenant: _Tenant = DEFAULT_TENANT,
) -> None:
    """Search the local index as a visitor, a known customer, or the company's own people would."""
    settings = settings_or_exit()
    from agent.bootstrap import find_passages

    with explained("`careline ingest PATH` builds the index; CARELINE_DATA_DIR names its folder."):
        found = asyncio.run(find_passages(settings, tenant, question, limit=limit, audience=audience))
    _show(found)


def _show(found: SearchResult) -> None:
    for number, passage in enumerate(found.passages, start=1):
        place = f" › {passage.heading}" if passage.heading else ""
        out.print(
            f"[bold]{number}. {escape(passage.title)}[/bold]{escape(place)}  ({escape(passage.article_id)}, {passage.score:.2f})",
            soft_wrap=True,
        )
        out.print(" ".join(passage.text.split())[:_SHOWN_CHARACTERS], soft_wrap=True, markup=False)
    if not found.passages:
        out.print("Nothing fits.")
    if found.is_lexical_only:
        out.print("By words alone: not all vectors are there.")


def _with_versions(work: "Callable[[Versions], Awaitable[T]]", next_step: str | None = None) -> T:
    settings = settings_or_exit()
    from agent.bootstrap import open_versions

    async def run() -> T:
        async with open_versions(settings) as opened:
            return await work(opened)

    with explained(next_step) if next_step is not None else explained():
        return asyncio.run(run())


def _line(release: Release) -> str:
    served = "  served" if release.is_served else ""
    note = f"  {release.note}" if release.note else ""
    return f"{release.version:>4}  {release.at:%Y-%m-%d %H:%M} UTC  {release.articles} articles{served}{note}"


app.command("eval")(knowledge_eval.evaluate)
app.command("gaps")(knowledge_gaps.gaps)
