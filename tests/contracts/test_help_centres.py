"""Help centres behind their vendors' APIs: what of them becomes an article, for whom, and what never does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from core.identity import DEFAULT_TENANT, Audience
from core.lookup_settings import credential_header
from core.outward import OutwardClient
from core.records import Article
from tests.unit.knowledge.shelf import Shelf
from tests.unit.knowledge.test_crawl import Moving
from tests.vendors.help_centres import (
    INTERCOM_KEY,
    ZENDESK_CREDENTIALS,
    IntercomArticles,
    ZendeskArticles,
    intercom_article,
    zendesk_article,
)
from tests.vendors.server import Answer
from tools.knowledge.fetch import Fetcher
from tools.knowledge.help_centres import IntercomHelpCentre, ZendeskHelpCentre
from tools.knowledge.ingest import IngestReport


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"), None)


@pytest.fixture
async def zendesk() -> AsyncIterator[ZendeskArticles]:
    async with ZendeskArticles() as server:
        yield server
    assert server.refused == []


@pytest.fixture
async def intercom() -> AsyncIterator[IntercomArticles]:
    async with IntercomArticles() as server:
        yield server
    assert server.refused == []
    assert server.mistakes == []


@asynccontextmanager
async def fetching(clock: Moving) -> AsyncIterator[Fetcher]:
    async with OutwardClient(
        "ingest", timeout_seconds=5.0, answer_bytes=5_000_000, may_ask=lambda _: True
    ) as web:
        yield Fetcher(web, clock=clock)


async def ingest(
    shelf: Shelf,
    server: ZendeskArticles | IntercomArticles,
    credentials: str | None = "",
    clock: Moving | None = None,
) -> IngestReport:
    is_zendesk = isinstance(server, ZendeskArticles)
    if credentials == "":
        credentials = ZENDESK_CREDENTIALS if is_zendesk else f"bearer {INTERCOM_KEY}"
    headers: Mapping[str, str] = {} if credentials is None else dict([credential_header(credentials)])
    async with fetching(clock or Moving()) as fetcher:
        kind = ZendeskHelpCentre if is_zendesk else IntercomHelpCentre
        centre = kind(server.url, fetcher, headers=headers)
        return await shelf.ingestion.take_in([centre], DEFAULT_TENANT)


async def stored(shelf: Shelf) -> dict[str, Article]:
    return {article.article_id: article for article in await shelf.store.all(DEFAULT_TENANT)}


# -- Zendesk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_old", [False, True])
async def test_zendesk_articles_come_in_all_languages_from_all_pages(
    shelf: Shelf, zendesk: ZendeskArticles, is_old: bool
) -> None:
    zendesk.is_old = is_old
    zendesk.articles = {
        "en-us": [zendesk_article(number) for number in range(1, 6)],
        "es": [zendesk_article(2, title="Dos")],
    }

    report = await ingest(shelf, zendesk)
    again = await ingest(shelf, zendesk)
    found = await stored(shelf)

    assert report.failed == ()
    assert sorted(found) == [*(f"zendesk/{number}/en-us" for number in (1, 2)), "zendesk/2/es"] + [
        f"zendesk/{number}/en-us" for number in (3, 4, 5)
    ]
    spanish = found["zendesk/2/es"]
    assert (spanish.title, spanish.language, spanish.category, spanish.url) == (
        "Dos",
        "es",
        "Pedidos",
        "https://shop.zendesk.com/hc/articles/2",
    )
    assert spanish.body == "## Steps\n\nAll about thing 2.\n"
    assert again.unchanged == 6


async def test_zendesk_drafts_stay_out_and_audiences_are_kept_to(
    shelf: Shelf, zendesk: ZendeskArticles
) -> None:
    zendesk.articles["en-us"] = [
        zendesk_article(1),
        zendesk_article(2, draft=True),
        zendesk_article(3, user_segment_id=1),
        zendesk_article(4, user_segment_id=2),
        zendesk_article(5, user_segment_id=3),
        zendesk_article(6, user_segment_id=99),
        zendesk_article(7, user_segment_id=1, user_segment_ids=[1, 2]),
    ]

    await ingest(shelf, zendesk)

    assert {name.split("/")[1]: article.audience for name, article in (await stored(shelf)).items()} == {
        "1": Audience.PUBLIC,
        "3": Audience.CUSTOMER,
        **dict.fromkeys("4567", Audience.INTERNAL),
    }


async def test_zendesk_without_the_fields_that_say_it_is_public_is_not(
    shelf: Shelf, zendesk: ZendeskArticles
) -> None:
    unsaid, undrafted = zendesk_article(1), zendesk_article(2)
    del unsaid["user_segment_id"]
    del undrafted["draft"]
    zendesk.articles["en-us"] = [unsaid, undrafted]

    await ingest(shelf, zendesk)

    assert {name: article.audience for name, article in (await stored(shelf)).items()} == {
        "zendesk/1/en-us": Audience.INTERNAL
    }


async def test_zendesk_without_credentials_gives_what_everybody_sees(
    shelf: Shelf, zendesk: ZendeskArticles
) -> None:
    zendesk.articles["en-us"] = [zendesk_article(1), zendesk_article(2, user_segment_id=1)]

    report = await ingest(shelf, zendesk, credentials=None)

    assert report.failed == ()
    assert list(await stored(shelf)) == ["zendesk/1/en-us"]


async def test_zendesk_that_is_busy_is_waited_for_as_long_as_it_says(
    shelf: Shelf, zendesk: ZendeskArticles
) -> None:
    zendesk.articles["en-us"] = [zendesk_article(number) for number in range(1, 4)]
    zendesk.fails_with.append(Answer(429, {"error": "TooManyRequests"}, {"Retry-After": "93"}))
    zendesk.fails_when = lambda asked: "page[after]" in asked.query
    clock = Moving()

    report = await ingest(shelf, zendesk, clock=clock)

    assert report.added == 3
    assert 93.0 in clock.slept


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {"error": "boom"}),
        Answer(200, raw=b"<html>maintenance</html>"),
        Answer(200, {"unexpected": []}),
        Answer(
            200, {"articles": [], "meta": {"has_more": True}, "links": {"next": "http://127.0.0.1:1/steal"}}
        ),
        Answer(301, {}, {"Location": "http://127.0.0.1:1/steal"}),
    ],
)
async def test_zendesk_that_breaks_off_removes_nothing(
    shelf: Shelf, zendesk: ZendeskArticles, answer: Answer
) -> None:
    zendesk.articles["en-us"] = [zendesk_article(number) for number in range(1, 6)]
    await ingest(shelf, zendesk)
    zendesk.fails_with.append(answer)
    zendesk.fails_when = lambda asked: asked.path.endswith("en-us/articles") and "page[after]" in asked.query

    report = await ingest(shelf, zendesk)

    assert len(report.failed) == 1
    assert (report.removed, report.unchanged) == (0, 2)
    assert len(await stored(shelf)) == 5


async def test_zendesk_articles_that_are_gone_or_drafts_again_are_removed(
    shelf: Shelf, zendesk: ZendeskArticles
) -> None:
    zendesk.articles["en-us"] = [zendesk_article(number) for number in (1, 2, 3)]
    await ingest(shelf, zendesk)
    zendesk.articles["en-us"] = [zendesk_article(1), zendesk_article(2, draft=True)]

    report = await ingest(shelf, zendesk)

    assert report.removed == 2
    assert list(await stored(shelf)) == ["zendesk/1/en-us"]


async def test_wrong_credentials_are_named(shelf: Shelf, zendesk: ZendeskArticles) -> None:
    report = await ingest(shelf, zendesk, credentials="bearer nonsense")

    assert "CARELINE_HELP_CENTRE_CREDENTIALS" in report.failed[0][1]


# -- Intercom --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns_by", ["cursor", "number"])
async def test_intercom_articles_come_in_all_languages_from_all_pages(
    shelf: Shelf, intercom: IntercomArticles, turns_by: str
) -> None:
    intercom.turns_by = turns_by
    spanish = {
        "type": "article_content",
        "title": "Dos",
        "body": "<p>Todo.</p>",
        "state": "published",
        "url": "https://help.shop.example/es/articles/2",
    }
    intercom.articles = [intercom_article(number) for number in range(1, 6)]
    intercom.articles[1]["translated_content"] = {
        "type": "article_translated_content",
        "es": spanish,
        "fr": spanish | {"state": "draft"},
        "de": None,
    }

    report = await ingest(shelf, intercom)
    again = await ingest(shelf, intercom)
    found = await stored(shelf)

    assert report.failed == ()
    assert sorted(found) == sorted([*(f"intercom/{number}/en" for number in range(1, 6)), "intercom/2/es"])
    assert (found["intercom/2/es"].title, found["intercom/2/es"].language) == ("Dos", "es")
    assert (found["intercom/1/en"].category, found["intercom/1/en"].url) == (
        "Orders",
        "https://help.shop.example/en/articles/1",
    )
    assert again.unchanged == 6


async def test_intercom_drafts_stay_out_and_audiences_are_kept_to(
    shelf: Shelf, intercom: IntercomArticles
) -> None:
    intercom.articles = [
        intercom_article(1),
        intercom_article(2, state="draft"),
        intercom_article(3, help_center_audience="all_users"),
        intercom_article(4, help_center_audience="restricted"),
        intercom_article(5),
        intercom_article(6, url=None),
    ]
    del intercom.articles[4]["help_center_audience"]
    intercom.internal = [{"id": "9", "title": "Limits", "body": "<p>Refund 50.</p>", "locale": "en"}]

    await ingest(shelf, intercom)

    assert {name: article.audience for name, article in (await stored(shelf)).items()} == {
        "intercom/1/en": Audience.PUBLIC,
        "intercom/3/en": Audience.CUSTOMER,
        "intercom/4/en": Audience.INTERNAL,
        "intercom/5/en": Audience.INTERNAL,
        "intercom/6/en": Audience.INTERNAL,
        "intercom/internal/9": Audience.INTERNAL,
    }


async def test_what_intercom_will_unpublish_expires_then(shelf: Shelf, intercom: IntercomArticles) -> None:
    intercom.articles = [intercom_article(1, scheduled_unpublish_at=1_798_761_600)]

    await ingest(shelf, intercom)

    assert (await stored(shelf))["intercom/1/en"].expires_at == datetime(2027, 1, 1, tzinfo=UTC)


async def test_a_token_without_internal_articles_gets_the_others(
    shelf: Shelf, intercom: IntercomArticles
) -> None:
    intercom.may_read_internal = False
    intercom.articles = [intercom_article(1)]

    report = await ingest(shelf, intercom)

    assert (report.added, report.failed) == (1, ())


async def test_an_article_without_text_is_named_and_the_rest_goes_in(
    shelf: Shelf, intercom: IntercomArticles
) -> None:
    intercom.articles = [intercom_article(1, body=None), intercom_article(2)]

    report = await ingest(shelf, intercom)

    assert report.failed == (("intercom/1/en", "there is no text in it"),)
    assert list(await stored(shelf)) == ["intercom/2/en"]


async def test_a_list_that_never_ends_is_left(shelf: Shelf, intercom: IntercomArticles) -> None:
    pages = {"type": "pages", "next": {"per_page": 2, "starting_after": "again"}}
    endless = Answer(200, {"type": "list", "pages": pages, "data": []})
    intercom.fails_with.extend([endless] * 5)

    report = await ingest(shelf, intercom)

    assert "has no last page" in report.failed[0][1]
