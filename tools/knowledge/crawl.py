"""
The articles of a web site: a page and what it links to, or the pages of a sitemap, within bounds.

Every page is an article called by its address. What a site says is the same as at the last visit is not fetched again.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import msgspec

from core.errors import CarelineError
from core.ids import digest
from core.outward import OutwardAnswer
from core.records import Article
from tools.knowledge.article import NO_TERMS, Failure, Kept, Terms, make_article
from tools.knowledge.fetch import Fetcher
from tools.knowledge.formats import UnreadableError
from tools.knowledge.pages import ACCEPTED, Page, is_readable, read_page, read_sitemap, validators_of
from tools.knowledge.store import PageStore

_READER = "1"  # counts up when the same page would be read otherwise, so that all are fetched again
_KEPT_AT_ONCE = 20
_SITEMAP_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """`depth` counts links from the first page; 0 is that page alone. `bytes_` is what may be fetched in all."""

    pages: int = 1_000
    bytes_: int = 500_000_000
    seconds: float = 3_600.0
    depth: int = 0


class _Known(msgspec.Struct, frozen=True):
    """
    Of a page at the last visit. `content_hash` is that of the article that came of it (None: it was none), and `made_as` says how
    it was made.
    """

    validators: dict[str, str]
    links: tuple[str, ...]
    content_hash: str | None
    made_as: str


@dataclass(slots=True)
class _Visit:
    """One run. `gaps` are reasons why pages that were not seen may still be there."""

    todo: deque[tuple[str, int]]
    known: Mapping[str, _Known]
    began: float
    met: set[str] = field(default_factory=set)
    pages: int = 0
    fetched_bytes: int = 0
    gaps: list[Failure] = field(default_factory=list)
    learned: dict[str, bytes] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)


class WebSite:
    """
    Implements `tools.knowledge.ingest.Source`.

    Links are followed on the first page's host and below its folder only; a sitemap's pages are those of its own host.
    """

    def __init__(
        self,
        url: str,
        fetcher: Fetcher,
        pages: PageStore,
        tenant: str,
        *,
        name: str | None = None,
        is_sitemap: bool = False,
        bounds: Bounds | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        self.name = name or url
        self._url = url if urlsplit(url).path else url + "/"
        self._prefix = f"{name}/" if name else ""
        self._shelf = f"{name} {url}" if name else url
        self._fetcher = fetcher
        self._pages = pages
        self._tenant = tenant
        self._is_sitemap = is_sitemap
        self._bounds = bounds or Bounds()
        self._terms = terms
        parts = urlsplit(self._url)
        self._origin = (parts.scheme, parts.netloc.lower())
        self._folder = parts.path.rpartition("/")[0] + "/"
        self._made_as = digest(_READER, repr(terms), self._prefix).hex()

    async def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        stored = await self._pages.of(self._tenant, self._shelf)
        decoded = {url: msgspec.msgpack.decode(record, type=_Known) for url, record in stored.items()}
        visit = _Visit(deque(), decoded, self._fetcher.monotonic())
        try:
            start = [(url, 0) for url in await self._first(visit)]
        except (CarelineError, UnreadableError) as exc:
            yield Failure(self._url, str(exc))
            return
        visit.todo.extend(start)
        while visit.todo:
            if (bound := self._reached(visit)) is not None:
                left = len({url for url, _ in visit.todo} - visit.met)
                visit.gaps.append(
                    Failure(self.name, f"stopped at {bound}; {left} known addresses were not read")
                )
                break
            url, depth = visit.todo.popleft()
            if url in visit.met:
                continue
            visit.met.add(url)
            if (one := await self._page(url, depth, visit, known)) is not None:
                yield one
            if len(visit.learned) >= _KEPT_AT_ONCE:
                await self._keep(visit)
        await self._keep(visit)
        for gap in visit.gaps:
            yield gap
        if not visit.gaps:
            await self._pages.forget(
                self._tenant, self._shelf, [url for url in stored if url not in visit.kept]
            )

    async def _first(self, visit: _Visit) -> list[str]:
        """Where to begin."""
        if not self._is_sitemap:
            return [self._url]
        found: list[str] = []
        todo: deque[tuple[str, int]] = deque([(self._url, 0)])
        met: set[str] = set()
        while todo and len(met) <= self._bounds.pages:
            url, depth = todo.popleft()
            if url in met or depth > _SITEMAP_DEPTH:
                continue
            met.add(url)
            if not await self._fetcher.may_fetch(url):
                raise UnreadableError(f"robots.txt does not allow {url}")
            answer = await self._fetcher.get(url)
            visit.fetched_bytes += len(answer.body)
            location = answer.headers.get("location")
            if answer.status_code // 100 == 3 and location is not None:
                todo.append((urljoin(url, location), depth + 1))
                continue
            if answer.status_code != 200:
                raise UnreadableError(f"{url} answers {answer.status_code}")
            sitemap = read_sitemap(answer)
            found += [page for page in sitemap.pages if self._is_here(page)]
            todo.extend((each, depth + 1) for each in sitemap.sitemaps if self._is_here(each))
        return list(dict.fromkeys(found))

    async def _page(
        self, url: str, depth: int, visit: _Visit, known: Mapping[str, Article]
    ) -> Article | Failure | Kept | None:
        article_id = self._prefix + url
        before = visit.known.get(url)
        try:
            if not await self._fetcher.may_fetch(url):
                return Failure(url, "robots.txt does not allow it", None) if url == self._url else None
            visit.pages += 1
            answer = await self._fetcher.get(
                url, headers={"Accept": ACCEPTED, **self._validators(before, known.get(article_id))}
            )
            visit.fetched_bytes += len(answer.body)
            return self._read(answer, url, depth, visit)
        except (CarelineError, UnreadableError) as exc:
            # What only this page leads to is not seen now, and yet not gone.
            if before is None and depth < self._depth:
                return Failure(url, str(exc))
            self._follow(before.links if before is not None else (), depth, visit)
            visit.kept.add(url)
            return Failure(url, str(exc), article_id)

    def _read(
        self, answer: OutwardAnswer, url: str, depth: int, visit: _Visit
    ) -> Article | Failure | Kept | None:
        status = answer.status_code
        before = visit.known.get(url)
        if status == 304 and before is not None:
            visit.kept.add(url)
            self._follow(before.links, depth, visit)
            return Kept(self._prefix + url) if before.content_hash is not None else None
        if status // 100 == 3:
            target = urljoin(url, answer.headers.get("location", ""))
            if not self._is_here(target):
                raise UnreadableError(f"it leads to another site: {target[:200]}")
            visit.todo.appendleft((target, depth))
            return None
        if status in {404, 410}:
            return Failure(url, "there is no such page") if url == self._url else None
        if not 200 <= status < 300:
            raise UnreadableError(f"it answers {status}")
        if not is_readable(answer):
            kind = answer.headers.get("content-type", "of no kind")
            return Failure(url, f"{kind[:80]} is not read") if url == self._url else None
        page = read_page(answer)
        self._follow(page.links, depth, visit)
        if page.problem is not None:
            visit.kept.add(url)
            return Failure(url, page.problem, self._prefix + url)
        return self._article(page, answer, url, depth, visit)

    def _article(
        self, page: Page, answer: OutwardAnswer, url: str, depth: int, visit: _Visit
    ) -> Article | None:
        article = None
        is_itself = page.canonical is None or page.canonical == url or not self._is_here(page.canonical)
        if not is_itself and page.canonical is not None:
            visit.todo.appendleft(
                (page.canonical, depth)
            )  # the same page, under the name it wants to be known by
        elif page.document is not None:
            article = make_article(
                self._prefix + url,
                title=page.document.title or urlsplit(url).path.rstrip("/").rpartition("/")[2] or url,
                body=page.document.body,
                url=url,
                category=page.document.fields.get("category"),
                source=self.name,
                terms=self._terms.said_by(
                    {name: value for name, value in page.document.fields.items() if name != "url"}
                ),
            )
        learned = _Known(
            validators_of(answer.headers) if is_itself else {},
            page.links,
            article.content_hash if article is not None else None,
            self._made_as,
        )
        visit.kept.add(url)
        visit.learned[url] = msgspec.msgpack.encode(learned)
        return article

    def _validators(self, before: _Known | None, article: Article | None) -> Mapping[str, str]:
        """None where what would be kept is not what would be made now."""
        stored = article.content_hash if article is not None else None
        if before is None or before.made_as != self._made_as or before.content_hash != stored:
            return {}
        return before.validators

    def _follow(self, links: tuple[str, ...], depth: int, visit: _Visit) -> None:
        if depth < self._depth:
            below = [
                link for link in links if self._is_here(link) and urlsplit(link).path.startswith(self._folder)
            ]
            visit.todo.extend((link, depth + 1) for link in below if link not in visit.met)

    @property
    def _depth(self) -> int:
        return 0 if self._is_sitemap else self._bounds.depth

    def _is_here(self, url: str) -> bool:
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc.lower()) == self._origin

    def _reached(self, visit: _Visit) -> str | None:
        if visit.pages >= self._bounds.pages:
            return f"{self._bounds.pages} pages"
        if visit.fetched_bytes >= self._bounds.bytes_:
            return f"{self._bounds.bytes_ / 1_000_000:g} MB"
        if self._fetcher.monotonic() - visit.began >= self._bounds.seconds:
            return f"{self._bounds.seconds:g} seconds"
        return None

    async def _keep(self, visit: _Visit) -> None:
        await self._pages.keep(self._tenant, self._shelf, visit.learned)
        visit.learned = {}
