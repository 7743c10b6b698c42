"""
Put help articles into the knowledge base from the command line.
"""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli.common import USAGE_ERROR, err, explained, fail, out, settings_or_exit
from core.identity import DEFAULT_TENANT, Audience
from core.settings import Settings

if TYPE_CHECKING:
    from agent.bootstrap import Wanted
    from tools.knowledge.ingest import IngestReport

_PHASES = {
    "read": "Reading articles",
    "embed": "Learning what they mean",
    "index": "Building the index",
}


_INTERCOM_HOSTS = {
    "us": "https://api.intercom.io",
    "eu": "https://api.eu.intercom.io",
    "au": "https://api.au.intercom.io",
}
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def ingest(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH|URL]...",
            show_default=False,
            help="Files or folders (Markdown, HTML, text, PDF, DOCX, or JSONL with id, title, body), or pages of a web site.",
        ),
    ] = None,
    sitemap: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", show_default=False, help="The pages that a sitemap names."),
    ] = None,
    zendesk: Annotated[
        str | None,
        typer.Option(
            metavar="URL", show_default=False, help="A Zendesk help centre: https://SHOP.zendesk.com"
        ),
    ] = None,
    intercom: Annotated[
        str | None,
        typer.Option(
            metavar="REGION",
            show_default=False,
            help="Intercom's articles: us, eu, au, or the API's address.",
        ),
    ] = None,
    audience: Annotated[
        Audience,
        typer.Option(
            help="Who finds these: anybody, known customers, or no customer. What an article says itself can only narrow it."
        ),
    ] = Audience.PUBLIC,
    language: Annotated[
        str | None,
        typer.Option(show_default=False, help="Of articles that do not say theirs, such as es; else en."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DAY",
            show_default=False,
            help="The last day on which they are found, for those that do not say their own.",
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(
            min=0, max=20, help="How many links away from a page to go, on its host and below its folder."
        ),
    ] = 0,
    max_pages: Annotated[
        int, typer.Option(min=1, help="Of each web site or sitemap, at most so many pages.")
    ] = 1000,
    max_minutes: Annotated[
        float, typer.Option(min=0.1, help="For each web site or sitemap, at most so long.")
    ] = 60.0,
    pause: Annotated[
        float,
        typer.Option(
            min=0.0, help="Seconds between two requests to a host; its robots.txt may ask for more."
        ),
    ] = 1.0,
    inside: Annotated[
        bool,
        typer.Option("--inside", help="The addresses may lie in your own network; else such are refused."),
    ] = False,
    tenant: Annotated[str, typer.Option(help="Whose knowledge base it is.")] = DEFAULT_TENANT,
    source: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="A name for these together; without it each is a source of its own."
            " An article that its source no longer has is removed.",
        ),
    ] = None,
) -> None:
    """
    Put help articles into the knowledge base, or bring them up to date.

    Only what changed is worked on, and what is gone from a place is removed. All of it is served at once, at the end.

    A run that was interrupted is completed by the same command.

    What cannot be read is named, the rest goes in, and the exit code is 1.

    Examples:

    careline ingest help-centre/

    careline ingest faq.jsonl manual.pdf --tenant acme

    careline ingest export/2026-11 --source help-centre

    careline ingest --sitemap https://shop.example/sitemap.xml

    careline ingest https://shop.example/help/ --depth 2

    careline ingest runbooks/ --audience internal
    """
    from tools.knowledge.article import Terms, expiry_of, language_tag
    from tools.knowledge.crawl import Bounds
    from tools.knowledge.formats import UnreadableError

    try:
        terms = Terms(
            audience,
            language_tag(language) if language is not None else None,
            expiry_of(expires) if expires is not None else None,
        )
    except UnreadableError as exc:
        fail(str(exc), next_step="`careline ingest --help` shows the options.", code=USAGE_ERROR)
    if not (places or sitemap or zendesk or intercom):
        fail(
            "There is nothing to ingest.",
            next_step="Name a file, a folder or a URL, or use --sitemap, --zendesk or --intercom.",
            code=USAGE_ERROR,
        )
    settings = settings_or_exit()
    from agent.bootstrap import Wanted

    web = [place for place in places or () if _WEB_ADDRESS.match(place)]
    wanted = Wanted(
        paths=[Path(place) for place in places or () if place not in web],
        pages=web,
        sitemaps=sitemap or (),
        zendesk=zendesk,
        intercom=_INTERCOM_HOSTS.get(intercom, intercom) if intercom is not None else None,
        source=source,
        terms=terms,
        bounds=Bounds(pages=max_pages, seconds=60 * max_minutes, depth=depth),
        pause_seconds=pause,
        is_inside=inside,
    )
    with explained("Check CARELINE_DATABASE_URL and CARELINE_DATA_DIR, then run the same command again."):
        report = asyncio.run(_ingest(settings, wanted, tenant))
    _print(report)
    if report.failed:
        raise typer.Exit(1)


async def _ingest(settings: Settings, wanted: "Wanted", tenant: str) -> "IngestReport":
    from agent.bootstrap import open_ingestion

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # The bar belongs to the eyes at the terminal; what is printed at the end can be piped.
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {phase: bar.add_task(text, total=None, visible=False) for phase, text in _PHASES.items()}

        def show(phase: str, done: int, whole: int) -> None:
            bar.update(tasks[phase], completed=done, total=whole or None, visible=True)

        async with open_ingestion(settings, wanted, tenant) as (ingestion, sources):
            return await ingestion.take_in(sources, tenant, show)


def _print(report: "IngestReport") -> None:
    out.print(
        f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged,"
        f" {report.removed} removed ({report.embedded_texts} texts embedded)",
        soft_wrap=True,
    )
    if report.version is not None:
        out.print(f"Version {report.version} of the knowledge base is served now.", soft_wrap=True)
    if report.rolled_back_to is not None:
        err.print(
            f"Version {report.rolled_back_to} is served, to which the knowledge base was rolled back, and nothing new came:"
            " `careline knowledge rollback --undo` serves the newest.",
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
