"""Every article store keeps the port's promises: versions appear whole, can be returned to, and do not pile up."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import NotFound
from core.identity import Audience
from core.records import Article
from state.sql.engine import Database
from state.sql.knowledge import SqlArticles
from state.sql.migrate import upgrade
from tests.contracts.databases import NOON
from tools.knowledge.memory import MemoryArticles
from tools.knowledge.store import ArticleStore

FULL = Article(
    "full",
    "Title",
    "Body",
    "https://shop.example/a",
    "cat",
    "es",
    "one",
    "h",
    NOON,
    Audience.INTERNAL,
    NOON + timedelta(days=3),
)


def article(article_id: str, body: str = "body") -> Article:
    return Article(article_id, "T", body)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ArticleStore]:
    if request.param == "memory":
        yield MemoryArticles()
        return
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    url: str = request.getfixturevalue(name)
    upgrade(url)
    database = Database(url, timeout_seconds=5.0)
    yield SqlArticles(database)
    await database.close()


async def bodies(store: ArticleStore, version: int) -> dict[str, str]:
    return {found.article_id: found.body for found in await store.at("default", version)}


async def test_nothing_is_version_zero(store: ArticleStore) -> None:
    assert await store.version("default") == 0
    assert list(await store.all("default")) == []
    assert list(await store.at("default", 0)) == []
    assert list(await store.releases("default")) == []
    assert await store.release("default", note="") is None


async def test_an_article_comes_back_as_it_was_put_in(store: ArticleStore) -> None:
    await store.put("default", [FULL])

    expected = [msgspec.structs.replace(FULL, version=1)]
    assert list(await store.all("default")) == expected
    assert list(await store.at("default", 1)) == expected
    assert list(await store.all("other")) == []


async def test_what_is_not_released_is_not_served(store: ArticleStore) -> None:
    await store.put("default", [article("a"), article("b")])
    await store.put("default", [article("a", "new")], release=False)
    await store.put("default", [article("c")], release=False)
    await store.remove("default", ["b"], release=False)

    assert await store.version("default") == 1
    assert await bodies(store, 1) == {"a": "body", "b": "body"}
    assert {found.article_id: found.body for found in await store.all("default")} == {"a": "new", "c": "body"}

    assert await store.release("default", note="two changed") == 2
    assert await store.version("default") == 2
    assert await bodies(store, 2) == {"a": "new", "c": "body"}
    assert await bodies(store, 1) == {"a": "body", "b": "body"}
    assert await store.release("default", note="") is None


async def test_a_rollback_stays_until_the_next_release(store: ArticleStore) -> None:
    for body in ("one", "two", "three"):
        await store.put("default", [article("a", body)])

    await store.serve("default", 1)
    assert await store.version("default") == 1
    assert [(each.version, each.is_served) for each in await store.releases("default")] == [
        (3, False),
        (2, False),
        (1, True),
    ]
    await store.put("default", [article("a", "four")], release=False)
    assert await store.version("default") == 1
    await store.release("default", note="")

    assert await store.version("default") == 4
    assert await bodies(store, 4) == {"a": "four"}


async def test_the_newest_version_can_be_served_again(store: ArticleStore) -> None:
    await store.put("default", [article("a", "one")])
    await store.put("default", [article("a", "two")])

    await store.serve("default", 1)
    await store.serve("default", 2)

    assert await store.version("default") == 2


@pytest.mark.parametrize("version", [0, 7, -1])
async def test_a_version_that_is_not_there_is_refused(store: ArticleStore, version: int) -> None:
    await store.put("default", [article("a")])

    with pytest.raises(NotFound):
        await store.serve("default", version)
    assert await store.version("default") == 1


async def test_old_versions_are_let_go_of(store: ArticleStore) -> None:
    for number in range(14):
        await store.put("default", [article("a", f"body {number}")])

    kept = [each.version for each in await store.releases("default")]
    assert kept == list(range(14, 4, -1))
    assert [await bodies(store, version) for version in kept] == [
        {"a": f"body {version - 1}"} for version in kept
    ]
    assert await bodies(store, 4) == {}
    with pytest.raises(NotFound):
        await store.serve("default", 4)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "release"]),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True),
    ),
    max_size=18,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
async def test_every_version_is_what_it_was_when_it_was_released(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, list[str]]]
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('store') / 'careline.db'}"
    upgrade(url)
    database = Database(url, timeout_seconds=5.0)
    store, expected = SqlArticles(database), {}
    try:
        for number, (change, ids) in enumerate(changes):
            if change == "put":
                await store.put("default", [article(each, f"{number}") for each in ids], release=False)
            elif change == "remove":
                await store.remove("default", ids, release=False)
            elif (version := await store.release("default", note="")) is not None:
                expected[version] = {each.article_id: each.body for each in await store.all("default")}
        found = {version: await bodies(store, version) for version in expected}
    finally:
        await database.close()

    kept = sorted(expected)[-10:]
    assert {version: found[version] for version in kept} == {version: expected[version] for version in kept}
