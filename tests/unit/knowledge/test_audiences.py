"""
Who finds what: by audience, by date and by language, whatever the question and however it is ranked.
"""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.identity import DEFAULT_TENANT, Audience, Caller, CallerKind, unnamed_customer
from core.records import Article
from tests.fakes import FakeClock
from tests.unit.knowledge.shelf import CountingEmbedder, Shelf
from tools.knowledge.search import LocalKnowledge

AUDIENCES = list(Audience)


def about_parcels(article_id: str, audience: Audience = Audience.PUBLIC, **fields: Any) -> Article:
    return Article(
        article_id, f"Parcels {article_id}", "Parcels are sent by bike.", audience=audience, **fields
    )


def mixed(count: int, seed: int) -> list[Article]:
    """Most of them internal, so that a filter after the ranking would find nothing."""
    rng = random.Random(seed)
    weights = (1, 1, 20)
    return [
        about_parcels(f"{audience}-{number:03}", audience)
        for number, audience in enumerate(rng.choices(AUDIENCES, weights, k=count))
    ] + [about_parcels("public-x"), about_parcels("customer-x", Audience.CUSTOMER)]


@pytest.mark.parametrize("has_vectors", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_reader_finds_what_is_for_him_and_nothing_else(
    shelf: Shelf, seed: int, has_vectors: bool
) -> None:
    articles = mixed(300, seed)
    await shelf.put(*articles)
    knowledge = shelf.knowledge if has_vectors else LocalKnowledge(shelf.data_dir, None)

    for audience, readable in ((Audience.PUBLIC, {"public"}), (Audience.CUSTOMER, {"public", "customer"})):
        found = await knowledge.search(DEFAULT_TENANT, "bike parcels", limit=40, audience=audience)
        kinds = [passage.article_id.partition("-")[0] for passage in found.passages]

        assert set(kinds) == readable
        assert len(kinds) == min(40, sum(article.audience in readable for article in articles))


async def test_internal_articles_are_found_by_staff_alone(shelf: Shelf) -> None:
    await shelf.put(about_parcels("secret", Audience.INTERNAL))

    for audience in AUDIENCES:
        assert not (
            await shelf.knowledge.search(DEFAULT_TENANT, "parcels", limit=5, audience=audience)
        ).passages
        assert await shelf.knowledge.article(DEFAULT_TENANT, "secret", audience=Audience.CUSTOMER) is None
    found = await shelf.knowledge.search_for_staff(DEFAULT_TENANT, "parcels", limit=5)

    assert [passage.article_id for passage in found.passages] == ["secret"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(AUDIENCES), st.sampled_from([None, -1, 0, 1]), st.sampled_from(["en", "es-MX"])
        ),
        min_size=1,
        max_size=12,
    ),
    audience=st.sampled_from(AUDIENCES[:2]),
    languages=st.sampled_from([(), ("es",), ("en", "fr")]),
    has_vectors=st.booleans(),
)
async def test_what_is_found_is_exactly_what_may_be_found(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[tuple[Audience, int | None, str]],
    audience: Audience,
    languages: tuple[str, ...],
    has_vectors: bool,
) -> None:
    clock = FakeClock()
    later = clock.now() + timedelta(days=3)
    articles = [
        about_parcels(
            f"a{number:02}",
            each,
            language=language,
            expires_at=None if days is None else later + timedelta(days=days),
        )
        for number, (each, days, language) in enumerate(kinds)
    ]
    shelf = Shelf(tmp_path_factory.mktemp("shelf"), CountingEmbedder(), clock=clock)
    await shelf.put(*articles)
    embedder = CountingEmbedder() if has_vectors else None
    knowledge = LocalKnowledge(shelf.data_dir, embedder, clock=clock)
    await clock.run_for(timedelta(days=3).total_seconds())

    found = await knowledge.search(
        DEFAULT_TENANT, "parcels", limit=20, audience=audience, languages=languages
    )

    spoken = {language.partition("-")[0] for language in languages}
    assert {passage.article_id for passage in found.passages} == {
        article.article_id
        for article in articles
        if AUDIENCES.index(article.audience) <= AUDIENCES.index(audience)
        and (article.expires_at is None or article.expires_at > later)
        and (not spoken or article.language.partition("-")[0] in spoken)
    }


async def test_an_article_past_its_date_is_not_found_without_a_rebuild(tmp_path: Path) -> None:
    clock = FakeClock()
    shelf = Shelf(tmp_path, CountingEmbedder(), clock=clock)
    await shelf.put(
        about_parcels("sale", expires_at=clock.now() + timedelta(hours=1)), about_parcels("always")
    )
    knowledge = LocalKnowledge(tmp_path, None, clock=clock)

    before = await knowledge.search(DEFAULT_TENANT, "parcels", limit=5)
    await clock.run_for(3600)
    after = await knowledge.search(DEFAULT_TENANT, "parcels", limit=5)

    assert {passage.article_id for passage in before.passages} == {"sale", "always"}
    assert {passage.article_id for passage in after.passages} == {"always"}
    assert await knowledge.article(DEFAULT_TENANT, "sale") is None


@pytest.mark.parametrize(
    ("caller", "audience"),
    [
        (Caller(kind=CallerKind.CUSTOMER, customer_id="ada"), Audience.CUSTOMER),
        (Caller(kind=CallerKind.SERVER, customer_id="ada"), Audience.CUSTOMER),
        (Caller(kind=CallerKind.SERVER), Audience.PUBLIC),
        (Caller(kind=CallerKind.LOCAL), Audience.PUBLIC),
        (Caller(kind=CallerKind.VISITOR, customer_id="anon_x"), Audience.PUBLIC),
        (
            Caller(kind=CallerKind.CUSTOMER, customer_id=unnamed_customer("default", "server:shop", "m1")),
            Audience.PUBLIC,
        ),
    ],
)
def test_only_a_named_customer_is_more_than_anybody(caller: Caller, audience: Audience) -> None:
    assert caller.audience is audience


def test_an_article_from_before_audiences_is_public() -> None:
    old = msgspec.msgpack.encode({"article_id": "a", "title": "A", "body": "B"})

    article = msgspec.msgpack.decode(old, type=Article)

    assert article.audience is Audience.PUBLIC
    assert article.expires_at is None


@pytest.mark.parametrize("question", ["what is E-4711?", "secret-77", "tell me about Zephyr Nine"])
async def test_what_is_named_outright_is_not_found_by_whom_it_is_not_for(shelf: Shelf, question: str) -> None:
    body = "Error E-4711 means that the fuse is out. Zephyr Nine has two fuses."
    await shelf.put(
        Article("secret-77", "Zephyr Nine", body, audience=Audience.INTERNAL),
        *(about_parcels(f"public-{number}") for number in range(3)),
    )

    public = await shelf.knowledge.search(DEFAULT_TENANT, question, limit=9, audience=Audience.CUSTOMER)
    staff = await shelf.knowledge.search_for_staff(DEFAULT_TENANT, question, limit=9)

    assert "secret-77" not in {passage.article_id for passage in public.passages}
    assert staff.passages[0].article_id == "secret-77"
