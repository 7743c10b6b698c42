"""
The pages of a shop around the chat window: a start page, and its help articles to read.

Only `careline demo` serves them. What the shop is called and sells comes from outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt

from core.errors import NotFound
from core.records import Article, Customer

_HERE = Path(__file__).parent
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopWindow:
    """What a visitor of the demo sees. One can pretend to be one of `customers`, in local mode only."""

    company: str
    contact: str
    articles: Sequence[Article]
    questions: Sequence[str]
    customers: Sequence[Customer] = ()


def demo_router(window: ShopWindow) -> APIRouter:
    templates = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True)
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    articles = {article.article_id: article for article in window.articles}
    router = APIRouter(include_in_schema=False)

    def page(template: str, **values: object) -> HTMLResponse:
        return HTMLResponse(
            templates.get_template(template).render(window=window, **values), headers=_SECURITY
        )

    @router.get("/")
    async def start() -> HTMLResponse:
        return page("start.html", shelves=_shelves(window))

    @router.get("/help/{article_id}")
    async def article(article_id: str) -> HTMLResponse:
        found = articles.get(article_id)
        if found is None:
            raise NotFound(f"no article {article_id!r}")
        return page("article.html", article=found, body=markdown.render(found.body))

    @router.get("/demo.css")
    async def styles() -> Response:
        return FileResponse(_HERE / "demo.css", media_type="text/css", headers=_SECURITY)

    @router.get("/demo.js")
    async def script() -> Response:
        return FileResponse(_HERE / "demo.js", media_type="text/javascript", headers=_SECURITY)

    return router


def _shelves(window: ShopWindow) -> Mapping[str, list[Article]]:
    shelves: dict[str, list[Article]] = {}
    for article in window.articles:
        shelves.setdefault(article.category or "More", []).append(article)
    return shelves
