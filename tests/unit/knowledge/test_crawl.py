"""
A web site as a source of articles: within bounds, as its robots.txt says, and not twice what is the same.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.identity import DEFAULT_TENANT, Audience
from core.outward import OutwardClient
from tests.fakes import FakeClock
from tests.http_faults import Answer, Asked, FaultyServer
from tests.unit.knowledge.shelf import Shelf, pdf_with
from tools.knowledge.article import Terms
from tools.knowledge.crawl import Bounds, WebSite
from tools.knowledge.fetch import Fetcher
from tools.knowledge.ingest import IngestReport, Together
from tools.knowledge.memory import MemoryPages


def page(title: str, *links: str, head: str = "") -> Answer:
    anchors = "".join(f'<a href="{link}">more</a> ' for link in links)
    body = f"<html lang=en><head>{head}</head><body><h1>{title}</h1><p>All about {title}.</p>{anchors}</body></html>"
    return Answer(body=body.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


@dataclass
class Moving:
    """A clock that only `sleep` moves, and that notes how long it slept."""

    elapsed: float = 0.0
    slept: list[float] = field(default_factory=list)
    _clock: FakeClock = field(default_factory=FakeClock)

    def now(self) -> Any:
        return self._clock.now()

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.elapsed += seconds
            self.slept.append(seconds)
        await asyncio.sleep(0)


class Site:
    """`answers` by path; what is not in it is 404. Pages have an ETag made of their bodies."""

    def __init__(self, server: FaultyServer, shelf: Shelf) -> None:
        self.server = server
        self.shelf = shelf
        self.answers: dict[str, Answer | Callable[[Asked], Answer]] = {}
        self.clock = Moving()
        self.pages = MemoryPages()
        self.pause_seconds = 1.0
        self.has_etags = True
        server.answer = self._answer

    @property
    def url(self) -> str:
        return self.server.url

    def asked(self) -> list[str]:
        found = [asked.path for asked in self.server.asked]
        self.server.asked.clear()
        return found

    async def ingest(self, path: str = "/help/", **options: Any) -> IngestReport:
        async with self.client() as web:
            fetcher = Fetcher(web, clock=self.clock, pause_seconds=self.pause_seconds)
            site = WebSite(self.url + path, fetcher, self.pages, DEFAULT_TENANT, **options)
            return await self.shelf.ingestion.take_in([site], DEFAULT_TENANT)

    def client(self, **options: Any) -> OutwardClient:
        return OutwardClient(
            "ingest", timeout_seconds=5.0, answer_bytes=5_000_000, **({"may_ask": lambda _: True} | options)
        )

    async def ids(self) -> list[str]:
        return [each.removeprefix(self.url) for each in await self.shelf.ids()]

    def _answer(self, asked: Asked) -> Answer:
        found = self.answers.get(asked.target, self.answers.get(asked.path, Answer(status=404)))
        answer = found(asked) if callable(found) else found
        if not self.has_etags or answer.status != 200 or answer.resets:
            return answer
        etag = f'"{hash(answer.body)}"'
        if asked.headers.get("if-none-match") == etag:
            return Answer(status=304, headers={"ETag": etag})
        return Answer(body=answer.body, headers={**answer.headers, "ETag": etag})


@pytest.fixture
async def site(shelf: Shelf) -> AsyncIterator[Site]:
    server = FaultyServer(lambda _: Answer(status=404))
    async with server.listening():
        made = Site(server, shelf)
        made.answers = {
            "/help/": page(
                "Help", "returns", "orders/track#top", "/shop/lamp", "https://elsewhere.example/x"
            ),
            "/help/returns": page("Returns", "/help/", "deep"),
            "/help/orders/track": page("Track"),
            "/help/deep": page("Deep", "deeper"),
            "/help/deeper": page("Deeper"),
            "/shop/lamp": page("Lamp"),
        }
        yield made


async def test_one_page_is_one_article_called_by_its_address(site: Site) -> None:
    report = await site.ingest("/help/returns")
    found = await site.shelf.knowledge.search(DEFAULT_TENANT, "returns", limit=1)

    assert report.added == 1
    assert site.asked() == ["/robots.txt", "/help/returns"]
    assert (found.passages[0].title, found.passages[0].url) == ("Returns", f"{site.url}/help/returns")


@pytest.mark.parametrize(
    ("depth", "ids"),
    [
        (0, ["/help/"]),
        (1, ["/help/", "/help/orders/track", "/help/returns"]),
        (2, ["/help/", "/help/deep", "/help/orders/track", "/help/returns"]),
        (9, ["/help/", "/help/deep", "/help/deeper", "/help/orders/track", "/help/returns"]),
    ],
)
async def test_links_are_followed_on_the_host_below_the_folder_and_no_deeper(
    site: Site, depth: int, ids: list[str]
) -> None:
    report = await site.ingest(bounds=Bounds(depth=depth))

    assert report.failed == ()
    assert await site.ids() == ids


async def test_what_is_the_same_is_not_fetched_again_and_stays(site: Site) -> None:
    await site.ingest(bounds=Bounds(depth=2))
    site.asked()
    site.answers["/help/returns"] = page("Returns for everybody", "/help/", "deep")
    statuses: list[int] = []
    inner = site.server.answer

    def noted(asked: Asked) -> Answer:
        answer = inner(asked)
        statuses.append(answer.status)
        return answer

    site.server.answer = noted

    report = await site.ingest(bounds=Bounds(depth=2))

    assert (report.changed, report.unchanged, report.removed) == (1, 3, 0)
    assert sorted(statuses) == [200, 304, 304, 304, 404]


async def test_a_page_that_is_gone_is_removed(site: Site) -> None:
    await site.ingest(bounds=Bounds(depth=2))
    del site.answers["/help/deep"]

    report = await site.ingest(bounds=Bounds(depth=2))

    assert report.removed == 1
    assert "/help/deep" not in await site.ids()


async def test_a_page_that_fails_keeps_its_article_and_what_it_leads_to(site: Site) -> None:
    await site.ingest(bounds=Bounds(depth=2))
    site.answers["/help/returns"] = Answer(status=500)

    report = await site.ingest(bounds=Bounds(depth=2))

    assert report.failed == ((f"{site.url}/help/returns", "it answers 500"),)
    assert (report.removed, report.unchanged) == (0, 3)
    assert await site.ids() == ["/help/", "/help/deep", "/help/orders/track", "/help/returns"]


async def test_nothing_goes_where_the_first_page_cannot_be_had(site: Site) -> None:
    await site.ingest(bounds=Bounds(depth=2))

    for answer in (Answer(status=404), Answer(status=500), Answer(resets=True)):
        site.answers["/help/"] = answer
        report = await site.ingest(bounds=Bounds(depth=2))
        assert report.removed == 0
        assert len(report.failed) == 1
    assert len(await site.ids()) == 4


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (Bounds(pages=2, depth=9), "stopped at 2 pages"),
        (Bounds(bytes_=200, depth=9), "stopped at 0.0002 MB"),
        (Bounds(seconds=2.5, depth=9), "stopped at 2.5 seconds"),
    ],
)
async def test_a_bound_stops_it_says_so_and_removes_nothing(site: Site, bounds: Bounds, why: str) -> None:
    await site.ingest(bounds=Bounds(depth=9))

    site.has_etags = False
    report = await site.ingest(bounds=bounds)

    assert report.removed == 0
    assert report.failed[0][1].startswith(why)
    assert report.held_back
    assert len(await site.ids()) == 5


async def test_robots_txt_is_kept_to(site: Site) -> None:
    rules = b"User-agent: *\nDisallow: /help/orders\nCrawl-delay: 7\n\nUser-agent: other\nDisallow: /\n"
    site.answers["/robots.txt"] = Answer(body=rules, headers={"Content-Type": "text/plain"})

    await site.ingest(bounds=Bounds(depth=2))

    assert await site.ids() == ["/help/", "/help/deep", "/help/returns"]
    assert "/help/orders/track" not in site.asked()
    assert site.clock.slept == [1.0, 7.0, 7.0]


async def test_where_our_own_rules_are_stricter_they_count(site: Site) -> None:
    site.answers["/robots.txt"] = Answer(
        body=b"User-agent: *\nAllow: /\n\nUser-agent: Careline\nDisallow: /\n"
    )

    report = await site.ingest()

    assert report.failed == ((f"{site.url}/help/", "robots.txt does not allow it"),)
    assert site.asked() == ["/robots.txt"]


@pytest.mark.parametrize("answer", [Answer(status=500), Answer(resets=True), Answer(status=503)])
async def test_a_robots_txt_that_cannot_be_read_forbids_everything(site: Site, answer: Answer) -> None:
    site.answers["/robots.txt"] = answer

    report = await site.ingest()

    assert "/robots.txt cannot be read" in report.failed[0][1]
    assert set(site.asked()) == {"/robots.txt"}


async def test_a_site_that_says_later_is_asked_later(site: Site) -> None:
    answers = [Answer(status=429, headers={"Retry-After": "30"}), Answer(status=503), page("Help")]
    site.answers["/help/"] = lambda _: answers.pop(0)

    report = await site.ingest()

    assert report.added == 1
    assert site.clock.slept == [1.0, 30.0, 10.0]


async def test_a_site_that_says_much_later_is_left_alone(site: Site) -> None:
    site.answers["/help/"] = Answer(status=429, headers={"Retry-After": "86400"})

    report = await site.ingest()

    assert report.failed[0][1].startswith("it answers 429")
    assert site.asked() == ["/robots.txt", "/help/"]


async def test_redirects_are_followed_on_the_site_alone_and_asked_of_robots_txt(site: Site) -> None:
    site.answers |= {
        "/robots.txt": Answer(body=b"User-agent: *\nDisallow: /help/secret\n"),
        "/help/": page("Help", "moved", "away", "hidden"),
        "/help/moved": Answer(status=301, headers={"Location": "/help/returns"}),
        "/help/away": Answer(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
        "/help/hidden": Answer(status=302, headers={"Location": "/help/secret"}),
        "/help/secret": page("Secret"),
    }

    report = await site.ingest(bounds=Bounds(depth=1))

    assert await site.ids() == ["/help/", "/help/returns"]
    assert [why.partition(":")[0] for _, why in report.failed] == ["it leads to another site"]
    assert "/help/secret" not in site.asked()


async def test_what_a_page_says_to_robots_is_kept_to(site: Site) -> None:
    site.answers |= {
        "/help/": page("Help", "a", "b", "c", head='<meta name="Robots" content="NOINDEX">'),
        "/help/a": page("A", "deep", head='<meta name=robots content="nofollow">'),
        "/help/b": Answer(
            body=page("B").body, headers={"Content-Type": "text/html", "X-Robots-Tag": "noindex"}
        ),
        "/help/c": page("C", head='<link rel=canonical href="/help/returns">'),
        "/help/returns": page("Returns"),
    }

    await site.ingest(bounds=Bounds(depth=3))

    assert await site.ids() == ["/help/a", "/help/returns"]
    assert "/help/deep" not in site.asked()


async def test_documents_are_read_and_other_things_passed_over(site: Site) -> None:
    site.answers |= {
        "/help/": page("Help", "manual.pdf", "picture.png", "broken.pdf", "empty"),
        "/help/manual.pdf": Answer(
            body=pdf_with("Press the red button"), headers={"Content-Type": "application/pdf"}
        ),
        "/help/picture.png": Answer(body=b"PNG", headers={"Content-Type": "image/png"}),
        "/help/broken.pdf": Answer(body=b"%PDF-", headers={"Content-Type": "application/pdf"}),
        "/help/empty": Answer(body=b"<script>x()</script>", headers={"Content-Type": "text/html"}),
    }

    report = await site.ingest(bounds=Bounds(depth=1))

    assert await site.ids() == ["/help/", "/help/manual.pdf"]
    assert [name.removeprefix(site.url) for name, _ in report.failed] == ["/help/broken.pdf", "/help/empty"]


@pytest.mark.parametrize("is_packed", [False, True])
async def test_a_sitemap_names_the_pages_of_its_host(site: Site, is_packed: bool) -> None:
    def urls(*paths: str) -> bytes:
        return (
            "<urlset>" + "".join(f"<url><loc>{path}</loc></url>" for path in paths) + "</urlset>"
        ).encode()

    inner = urls(
        f"{site.url}/help/returns", f"<![CDATA[{site.url}/shop/lamp]]>", "https://elsewhere.example/x"
    )
    site.answers |= {
        "/sitemap.xml": Answer(
            body=f"<?xml version='1.0'?><sitemapindex><sitemap><loc>\n{site.url}/one.xml.gz?a=1&amp;b=2 </loc></sitemap>"
            "</sitemapindex>".encode()
        ),
        "/one.xml.gz?a=1&b=2": Answer(body=gzip.compress(inner) if is_packed else inner),
    }

    report = await site.ingest("/sitemap.xml", is_sitemap=True)
    again = await site.ingest("/sitemap.xml", is_sitemap=True)

    assert await site.ids() == ["/help/returns", "/shop/lamp"]
    assert (report.failed, again.unchanged, again.embedded_texts) == ((), 2, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>no sitemap</html>",
        gzip.compress(b"x" * 9, mtime=0)[:-3],
        gzip.compress(b"<urlset>" + b" " * 60_000_000, mtime=0),
    ],
)
async def test_a_broken_sitemap_is_named_and_removes_nothing(site: Site, body: bytes) -> None:
    site.answers["/sitemap.xml"] = Answer(
        body=f"<urlset><url><loc>{site.url}/help/returns</loc></url></urlset>".encode()
    )
    await site.ingest("/sitemap.xml", is_sitemap=True)
    site.answers["/sitemap.xml"] = Answer(body=body)

    report = await site.ingest("/sitemap.xml", is_sitemap=True)

    assert [name for name, _ in report.failed] == [f"{site.url}/sitemap.xml"]
    assert (report.removed, len(await site.ids())) == (0, 1)


async def test_other_terms_make_other_articles_of_the_same_pages(site: Site) -> None:
    await site.ingest("/help/returns")

    report = await site.ingest("/help/returns", terms=Terms(Audience.INTERNAL))

    assert report.changed == 1
    assert await site.shelf.found("returns") == []


async def test_an_article_that_was_not_stored_is_fetched_again(site: Site) -> None:
    await site.ingest("/help/returns")
    await site.shelf.store.remove(DEFAULT_TENANT, [f"{site.url}/help/returns"])

    report = await site.ingest("/help/returns")

    assert report.added == 1


async def test_addresses_that_lead_inside_are_refused(site: Site) -> None:
    async with site.client(may_ask=lambda _: False) as web:
        fetcher = Fetcher(web, clock=site.clock)
        inside = WebSite(site.url + "/help/", fetcher, site.pages, DEFAULT_TENANT)
        report = await site.shelf.ingestion.take_in([inside], DEFAULT_TENANT)

    assert "does not lead to a public place" in report.failed[0][1]
    assert "--inside" in report.failed[0][1]
    assert site.asked() == []


async def test_two_places_of_one_name_do_not_remove_each_others_articles(site: Site) -> None:
    for _ in range(2):
        async with site.client() as web:
            fetcher = Fetcher(web, clock=site.clock)
            both = [
                WebSite(site.url + path, fetcher, site.pages, DEFAULT_TENANT, name="shop")
                for path in ("/help/returns", "/shop/lamp")
            ]
            report = await site.shelf.ingestion.take_in([Together("shop", both)], DEFAULT_TENANT)

    assert (report.unchanged, report.removed) == (2, 0)
    assert await site.shelf.ids() == [f"shop/{site.url}/help/returns", f"shop/{site.url}/shop/lamp"]
