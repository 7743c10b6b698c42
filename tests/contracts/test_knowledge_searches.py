"""Every knowledge search keeps the port's promises: the local index with and without vectors, a search over HTTP."""

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.clock import SystemClock
from core.errors import DependencyError, DependencyUnavailable, ToolMisconfigured
from core.http import make_client
from core.identity import Audience
from core.lookup_settings import KnowledgeApi, OpenSearchIndex
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.opensearch_server import OpenSearchServer
from tests.servers import free_port
from tests.unit.knowledge.shelf import SHOP, CountingEmbedder, Shelf
from tools.knowledge.http_search import HttpKnowledgeSearch
from tools.knowledge.opensearch import OpenSearchKnowledge
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.stand_in import KnowledgeWithStandIn
from tools.knowledge.words import terms
from tools.ports import KnowledgeSearch

TLS = ssl.create_default_context()
FIELDS = {
    "article_id": "_id",
    "title": "_source.title",
    "text": "_source.body",
    "url": "_source.link",
    "score": "_score",
    "language": "_source.lang",
}
BODIES = {article.article_id: " ".join(article.body.split()) for article in SHOP}


@dataclass(frozen=True, slots=True)
class World:
    """`away` is the same search where there is nothing to ask."""

    search: KnowledgeSearch
    away: KnowledgeSearch


def find(asked: Asked) -> Answer:
    """Counts common words, and answers in the shape of OpenSearch."""
    if asked.method == "POST":
        question = msgspec.json.decode(asked.body)
        words, size = question["query"]["multi_match"]["query"], question["size"]
    else:
        words, size = asked.query.get("q", ""), int(asked.query["size"])
    wanted = set(terms(words))
    hits: list[dict[str, Any]] = [
        {
            "_id": each.article_id,
            "_score": len(wanted & set(terms(f"{each.title} {each.body}"))) + 0.5,
            "_source": {
                "title": f"<b>{each.title}</b>",
                "body": f"<p>{each.body}</p>",
                "link": f"https://shop.example/help/{each.article_id}",
                "lang": each.language,
                "author": "anna@shop.example",
            },
        }
        for each in SHOP
    ]
    found = sorted((hit for hit in hits if hit["_score"] > 1), key=lambda hit: -hit["_score"])
    return as_json({"took": 1, "hits": {"total": len(found), "hits": found[:size]}})


def api(url: str, method: str) -> KnowledgeApi:
    ways: dict[str, dict[str, Any]] = {
        "GET": {"path": "/help/_search?q={words}&size={limit}"},
        "POST": {
            "path": "/help/_search",
            "body": {
                "size": "{limit}",
                "query": {"multi_match": {"query": "{words}", "fields": ["title^2", "body"]}},
                "before": "{context}",
            },
        },
    }
    return KnowledgeApi.model_validate(
        {
            "url": url,
            "method": method,
            "hits": "hits.hits",
            "passage": FIELDS,
            "markup": "html",
            **ways[method],
        }
    )


async def opensearch(embedder: CountingEmbedder | None, *, made_by: str | None = None) -> OpenSearchServer:
    """The shop's articles, of two tenants, as whoever fills the index would write them."""
    documents: dict[str, dict[str, Any]] = {}
    for each in SHOP:
        documents[each.article_id] = {
            "title": f"<b>{each.title}</b>",
            "text": f"<p>{each.body}</p>",
            "lang": each.language,
            "tenant": "default",
        }
        if embedder is not None:
            (vector,) = await embedder.embed([f"{each.title}\n{each.body}"])
            documents[each.article_id]["vector"] = vector.tolist()
    vector_field = {
        "type": "knn_vector",
        "dimension": CountingEmbedder.dimension,
        "space_type": "cosinesimil",
    }
    mappings = {
        "_meta": {"embedder": made_by or CountingEmbedder.name},
        "properties": {"title": {"type": "text"}, "text": {"type": "text"}}
        | ({"vector": vector_field} if embedder is not None else {}),
    }
    return OpenSearchServer("help", documents, mappings)


def opensearch_index(url: str, *, has_vectors: bool) -> OpenSearchIndex:
    return OpenSearchIndex.model_validate(
        {
            "url": url,
            "index": "help",
            "tenant_field": "tenant",
            "fields": {"language": "lang"},
            "vector_field": "vector" if has_vectors else None,
            "markup": "html",
        }
    )


@pytest.fixture(
    params=[
        "local-words",
        "local-vectors",
        "http-GET",
        "http-POST",
        "opensearch-words",
        "opensearch-vectors",
        "stand_in-away",
    ]
)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    kind, _, variety = request.param.partition("-")
    async with AsyncExitStack() as stack:
        if kind == "local":
            embedder = CountingEmbedder() if variety == "vectors" else None
            shelf = Shelf(tmp_path / "data", embedder)
            await shelf.put(*SHOP)
            local = LocalKnowledge(shelf.data_dir, embedder, has_articles=lambda tenant: tenant == "default")
            nothing = LocalKnowledge(tmp_path / "elsewhere", embedder)
            yield World(
                await stack.enter_async_context(local),
                await stack.enter_async_context(nothing),
            )
            return
        if kind == "stand_in":
            yield await stood_in(tmp_path, stack)
            return
        embedder = CountingEmbedder() if variety == "vectors" else None
        server = FaultyServer(find if kind == "http" else await opensearch(embedder))
        await stack.enter_async_context(server.listening())
        searches = []
        for base in (server.url, f"http://127.0.0.1:{free_port()}"):
            client = make_client("knowledge", base_url=base, timeout_seconds=5.0, tls=TLS)
            await stack.enter_async_context(client)
            searches.append(
                HttpKnowledgeSearch(client, api(base, variety))
                if kind == "http"
                else OpenSearchKnowledge(
                    client, opensearch_index(base, has_vectors=embedder is not None), embedder
                )
            )
        yield World(*searches)


async def stood_in(folder: Path, stack: AsyncExitStack) -> World:
    """The company's search is away, and what was ingested stands in; or nothing was."""
    client = make_client(
        "knowledge", base_url=f"http://127.0.0.1:{free_port()}", timeout_seconds=5.0, tls=TLS
    )
    search = HttpKnowledgeSearch(
        await stack.enter_async_context(client), api(f"http://127.0.0.1:{free_port()}", "POST")
    )
    await Shelf(folder / "data", None).put(*SHOP)
    guard = Guard(
        "search_service",
        GuardPolicy(retry=RetryPolicy(attempts=1)),
        clock=SystemClock(),
        rng=random.Random(7),
    )
    locals_ = [
        await stack.enter_async_context(
            LocalKnowledge(folder / name, None, has_articles=lambda tenant: tenant == "default")
        )
        for name in ("data", "elsewhere")
    ]
    return World(*(KnowledgeWithStandIn(search, local, guard) for local in locals_))


async def test_the_best_passage_comes_first_and_can_be_quoted(world: World) -> None:
    found = await world.search.search("default", "are broken lamps repaired under warranty?", limit=3)

    best = found.passages[0]
    assert (best.article_id, best.title, best.language) == ("warranty", "Warranty", "en")
    assert " ".join(best.text.split()) in BODIES["warranty"]
    assert best.lexical > 0.5
    assert [passage.score for passage in found.passages] == sorted(
        (passage.score for passage in found.passages), reverse=True
    )


@pytest.mark.parametrize("limit", [1, 2])
async def test_there_are_no_more_passages_than_were_asked_for(world: World, limit: int) -> None:
    found = await world.search.search("default", "a week or two days or two years", limit=limit)

    assert len(found.passages) == limit


async def test_nothing_that_fits_is_an_empty_result(world: World) -> None:
    found = await world.search.search("default", "xylophone", limit=5)

    assert [passage for passage in found.passages if passage.lexical] == []


@pytest.mark.parametrize(
    "words",
    [
        '"',
        "}",
        "{limit}",
        "{words}",
        "a AND (",
        "*:*",
        "x&size=100",
        "warranty#",
        "\x00",
        "\\",
        "ﷺ" * 100,
        "?" * 500,
    ],
)
async def test_no_question_is_syntax(world: World, words: str) -> None:
    found = await world.search.search("default", words, limit=2, context=("{words}", '"}'))

    assert len(found.passages) <= 2


async def test_who_has_no_articles_finds_none(world: World) -> None:
    assert (await world.search.search("other", "warranty", limit=3)).passages == ()


async def test_a_search_that_cannot_be_asked_is_never_an_empty_result(world: World) -> None:
    with pytest.raises(DependencyUnavailable) as raised:
        await world.away.search("default", "warranty", limit=3)

    assert raised.value.dependency == "knowledge"


async def test_what_was_said_before_and_the_limit_reach_the_search_as_values() -> None:
    async with (
        FaultyServer(find).listening() as server,
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = HttpKnowledgeSearch(client, api(server.url, "POST"))
        await search.search("default", 'how "long"?', limit=3, context=("a lamp", "{limit}"))

    assert msgspec.json.decode(server.asked[0].body) == {
        "size": 3,
        "query": {"multi_match": {"query": 'how "long"?', "fields": ["title^2", "body"]}},
        "before": "a lamp\n{limit}",
    }


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://shop.example/a", "https://shop.example/a"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//shop.example/a", None),
        ("http://[", None),
        (None, None),
    ],
)
async def test_only_links_to_the_web_reach_a_customer(link: str | None, shown: str | None) -> None:
    hit = {"_id": 7, "_source": {"title": "Lamps", "body": "About lamps.", "link": link}}
    async with (
        FaultyServer(lambda _: as_json({"hits": {"hits": [hit]}})).listening() as server,
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = HttpKnowledgeSearch(client, api(server.url, "GET"))
        found = await search.search("default", "lamps", limit=3)

    assert [(passage.article_id, passage.url) for passage in found.passages] == [("7", shown)]


async def test_opensearch_is_asked_for_words_and_neighbours_and_both_count() -> None:
    embedder = CountingEmbedder()
    server = FaultyServer(await opensearch(embedder))
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = OpenSearchKnowledge(client, opensearch_index(server.url, has_vectors=True), embedder)
        found = await search.search("default", "how long is the warranty?", limit=3, context=("a lamp",))

    queries = [msgspec.json.decode(asked.body) for asked in server.asked if asked.path.endswith("_search")]
    words = next(query for query in queries if "bool" in query["query"])
    near = next(query for query in queries if "knn" in query["query"])
    of_tenant = [{"term": {"tenant": "default"}}]
    assert words["query"]["bool"]["filter"] == of_tenant
    assert [each["multi_match"]["query"] for each in words["query"]["bool"]["should"]] == [
        "how long is the warranty?",
        "a lamp",
    ]
    assert near["query"]["knn"]["vector"]["filter"] == {"bool": {"filter": of_tenant}}
    assert found.passages[0].article_id == "warranty"
    question, before, article = await embedder.embed(
        ["how long is the warranty?", "a lamp", f"{SHOP[2].title}\n{SHOP[2].body}"]
    )
    drawn = question + 0.65 * before
    assert found.passages[0].cosine == pytest.approx(float(drawn @ article / np.linalg.norm(drawn)), abs=1e-4)
    assert not found.is_lexical_only


async def test_vectors_that_another_embedder_made_are_not_compared_with_ours() -> None:
    embedder = CountingEmbedder()
    server = FaultyServer(await opensearch(embedder, made_by="another-model"))
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = OpenSearchKnowledge(client, opensearch_index(server.url, has_vectors=True), embedder)
        found = await search.search("default", "lamp warranty", limit=3)

    assert (found.is_lexical_only, found.passages[0].article_id, found.passages[0].cosine) == (
        True,
        "warranty",
        None,
    )
    assert not [asked for asked in server.asked if b"knn" in asked.body]


async def test_vectors_that_come_into_the_index_later_are_noticed_by_the_probe() -> None:
    embedder = CountingEmbedder()
    server = FaultyServer(await opensearch(embedder, made_by="another-model"))
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = OpenSearchKnowledge(client, opensearch_index(server.url, has_vectors=True), embedder)
        before = await search.search("default", "lamp warranty", limit=3)
        server.answer = await opensearch(embedder)
        await search.probe()
        after = await search.search("default", "lamp warranty", limit=3)

    assert (before.is_lexical_only, after.is_lexical_only) == (True, False)


async def test_without_the_embedder_opensearch_is_asked_by_words_and_that_is_said() -> None:
    embedder = CountingEmbedder()
    server = FaultyServer(await opensearch(embedder))
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        search = OpenSearchKnowledge(client, opensearch_index(server.url, has_vectors=True), embedder)
        embedder.is_broken = True
        found = await search.search("default", "lamp warranty", limit=3)

    assert (found.is_lexical_only, found.passages[0].article_id) == (True, "warranty")


async def test_an_index_that_is_not_there_is_a_mistake_in_the_settings() -> None:
    server = FaultyServer(await opensearch(None))
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        index = opensearch_index(server.url, has_vectors=False).model_copy(update={"index": "other"})
        with pytest.raises(ToolMisconfigured, match="no index other"):
            await OpenSearchKnowledge(client, index, None).search("default", "lamp", limit=3)


@pytest.mark.parametrize(
    "answer",
    [Answer(status=503), Answer(status=401), Answer(status=404), Answer(resets=True), Answer(body=b"<")],
)
async def test_while_the_companys_search_is_down_what_was_ingested_is_searched_and_that_is_said(
    tmp_path: Path, answer: Answer
) -> None:
    await Shelf(tmp_path / "data", None).put(*SHOP)
    server = FaultyServer(lambda _: answer)
    guard = Guard(
        "search_service",
        GuardPolicy(retry=RetryPolicy(attempts=1)),
        clock=SystemClock(),
        rng=random.Random(7),
    )
    async with (
        server.listening(),
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
        LocalKnowledge(tmp_path / "data", None) as local,
        LocalKnowledge(tmp_path / "nothing", None) as nothing,
    ):
        api_search = HttpKnowledgeSearch(client, api(server.url, "POST"))
        found = await KnowledgeWithStandIn(api_search, local, guard).search(
            "default", "lamp warranty", limit=1
        )
        with pytest.raises((DependencyError, ToolMisconfigured)):
            await KnowledgeWithStandIn(api_search, nothing, guard).search("default", "lamp warranty", limit=1)
        server.answer = find
        back = await KnowledgeWithStandIn(api_search, local, guard).search(
            "default", "lamp warranty", limit=1
        )

    assert (found.is_stand_in, found.passages[0].article_id) == (True, "warranty")
    assert found.built_at is not None
    assert not back.is_stand_in


async def test_with_nothing_to_stand_in_an_open_breaker_is_an_outage_of_knowledge(tmp_path: Path) -> None:
    guard = Guard("search_service", GuardPolicy(), clock=SystemClock(), rng=random.Random(7))
    guard.breaker.isolate()
    async with (
        FaultyServer(find).listening() as server,
        make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
        LocalKnowledge(tmp_path, None) as nothing,
    ):
        search = KnowledgeWithStandIn(HttpKnowledgeSearch(client, api(server.url, "POST")), nothing, guard)
        with pytest.raises(DependencyUnavailable) as raised:
            await search.search("default", "lamp", limit=1)

    assert (raised.value.dependency, server.asked) == ("knowledge", [])


@pytest.mark.parametrize(
    ("audience", "shown"),
    [
        (Audience.PUBLIC, {"public"}),
        (Audience.CUSTOMER, {"public", "customer"}),
        (Audience.INTERNAL, {"public", "customer"}),
    ],
)
async def test_a_hit_for_another_audience_or_of_none_is_not_shown(
    audience: Audience, shown: set[str]
) -> None:
    asked_as = []

    def answer(asked: Asked) -> Answer:
        asked_as.append(asked.query["for"])
        hits = [
            {"_id": who or "none", "_source": {"title": "Lamps", "body": "About lamps.", "who": who}}
            for who in ("internal", "customer", "Public", None, ["public"], "public")
        ]
        return as_json({"hits": {"hits": hits}})

    mapping = api("http://127.0.0.1:1", "GET").model_dump() | {
        "path": "/s?q={words}&size={limit}&for={audience}"
    }
    mapping["passage"] |= {"audience": "_source.who"}
    async with FaultyServer(answer).listening() as server:
        mapping["url"] = server.url
        async with make_client("knowledge", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client:
            search = HttpKnowledgeSearch(client, KnowledgeApi.model_validate(mapping))
            found = await search.search("default", "lamps", limit=10, audience=audience)

    assert {passage.article_id for passage in found.passages} == shown
    assert asked_as == ["public" if audience is Audience.PUBLIC else "customer"]


async def test_other_languages_are_left_out_where_some_are_asked_for(world: World) -> None:
    everything = await world.search.search("default", "week days years", limit=5)
    none = await world.search.search("default", "week days years", limit=5, languages=("es",))
    english = await world.search.search("default", "week days years", limit=5, languages=("es", "en-GB"))

    assert none.passages == ()
    assert english.passages == everything.passages != ()
