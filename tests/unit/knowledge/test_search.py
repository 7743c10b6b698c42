"""
What is found and how it is ranked, with words, with vectors, and without them.
"""

import asyncio
from pathlib import Path

import pytest

from core.errors import DependencyUnavailable
from core.identity import DEFAULT_TENANT
from tests.unit.knowledge.shelf import SHOP, CountingEmbedder, Shelf, article
from tools.knowledge.search import LocalKnowledge


async def test_a_passage_stands_literally_in_its_article(shelf: Shelf) -> None:
    await shelf.put(*SHOP)

    result = await shelf.knowledge.search(DEFAULT_TENANT, "when is my money refunded?", limit=3)
    passage = result.passages[0]
    whole = await shelf.knowledge.article(DEFAULT_TENANT, passage.article_id)

    assert whole is not None
    assert passage.article_id == "returns"
    assert passage.text in whole.body


async def test_inside_an_article_the_part_about_the_question_is_chosen(shelf: Shelf) -> None:
    filler = "Nothing of interest stands in this part of the text. " * 12
    body = f"## Parcels\n\n{filler}\n\n## Customs\n\n{filler}\nDuties are paid at the border.\n\n## Gifts\n\n{filler}"
    await shelf.put(article("shipping", "Shipping", body), *SHOP[2:])

    result = await shelf.knowledge.search(DEFAULT_TENANT, "who pays duties at the border", limit=1)

    assert result.passages[0].heading == "Customs"
    assert "Duties are paid at the border." in result.passages[0].text


async def test_a_word_in_the_title_counts_twice(shelf: Shelf) -> None:
    lexical = LocalKnowledge(shelf.data_dir, None)
    await shelf.put(
        article("a", "Batteries", "They come with the lamp."),
        article("b", "Lamp", "Batteries: two batteries come, and a cable."),
        article("c", "Cables", "Nothing else."),
        article("d", "Screens", "Nothing else."),
        article("e", "Desks", "Nothing else."),
    )

    result = await lexical.search(DEFAULT_TENANT, "batteries", limit=2)

    assert [passage.article_id for passage in result.passages] == ["a", "b"]


async def test_endings_do_not_matter(shelf: Shelf) -> None:
    await shelf.put(*SHOP)

    assert (await shelf.found("returning items"))[0] == "returns"
    assert (await shelf.found("repairing a broken lamp"))[0] == "warranty"


@pytest.mark.parametrize("words", ["wifi", "WiFi", "Wi-Fi", "wi fi"])
async def test_a_compound_is_found_however_it_is_written(shelf: Shelf, words: str) -> None:
    lexical = LocalKnowledge(shelf.data_dir, None)
    await shelf.put(
        article("one", "One", "Join a wifi network."),
        article("two", "Two", "Join a WiFi network."),
        article("three", "Three", "Join a Wi-Fi network."),
        *SHOP,
    )

    result = await lexical.search(DEFAULT_TENANT, words, limit=3)

    # Two words are not one: nobody can tell that "wi fi" belongs together.
    assert {passage.article_id for passage in result.passages} == (
        {"two", "three"} if words == "wi fi" else {"one", "two", "three"}
    )


async def test_an_article_without_a_title_is_found_by_its_text(
    shelf: Shelf, embedder: CountingEmbedder
) -> None:
    await shelf.put(article("untitled", "", "How to change the battery of a lamp."), *SHOP)

    assert (await shelf.found("change the battery"))[0] == "untitled"
    assert "" not in embedder.embedded


async def test_each_earlier_message_is_embedded_by_itself(shelf: Shelf, embedder: CountingEmbedder) -> None:
    await shelf.put(*SHOP)
    embedder.embedded.clear()

    await shelf.found("how long?", context=("I ordered a lamp", " ", "is it shipped?"))

    assert embedder.embedded == ["how long?", "I ordered a lamp", "is it shipped?"]


async def test_of_two_earlier_messages_the_newer_weighs_more(shelf: Shelf) -> None:
    await shelf.put(
        article("red", "Red", "Red for walls."), article("blue", "Blue", "Blue for walls."), *SHOP
    )

    assert (await shelf.found("how?", context=("blue", "red")))[0] == "red"
    assert (await shelf.found("how?", context=("red", "blue")))[0] == "blue"


async def test_an_empty_index_is_not_worth_running_the_model(
    shelf: Shelf, embedder: CountingEmbedder
) -> None:
    await shelf.put()
    embedder.embedded.clear()

    result = await shelf.knowledge.search(DEFAULT_TENANT, "shipping", limit=3, context=("a lamp",))

    assert result.passages == ()
    assert result.built_at is not None
    assert embedder.embedded == []


async def test_the_lexical_share_tells_how_much_of_the_question_was_found(shelf: Shelf) -> None:
    await shelf.put(*SHOP)

    whole = await shelf.knowledge.search(DEFAULT_TENANT, "customs abroad", limit=1)
    half = await shelf.knowledge.search(DEFAULT_TENANT, "customs xylophone", limit=1)

    assert whole.passages[0].lexical == pytest.approx(1.0)
    assert 0 < half.passages[0].lexical < 0.5


async def test_earlier_words_decide_what_is_meant_but_weigh_less(shelf: Shelf) -> None:
    await shelf.put(*SHOP)

    assert (await shelf.found("how long?", context=("shipping parcels",)))[0] == "shipping"
    assert (await shelf.found("lamp warranty", context=("shipping",)))[0] == "warranty"


async def test_earlier_words_count_without_vectors_too(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    lexical = LocalKnowledge(shelf.data_dir, None)

    result = await lexical.search(DEFAULT_TENANT, "a week", limit=1, context=("shipping customs",))
    own_words = await lexical.search(DEFAULT_TENANT, "warranty", limit=1, context=("shipping",))

    assert result.passages[0].article_id == "shipping"
    assert own_words.passages[0].article_id == "warranty"


async def test_the_customers_language_goes_first_among_equals(shelf: Shelf) -> None:
    await shelf.put(
        article("en", "Wifi", "Wifi setup"), article("es", "Wifi", "Wifi setup", language="es"), *SHOP
    )

    spanish = await shelf.knowledge.search(DEFAULT_TENANT, "wifi", limit=2, language="es-MX")
    english = await shelf.knowledge.search(DEFAULT_TENANT, "wifi", limit=2, language="en")

    assert [passage.article_id for passage in spanish.passages] == ["es", "en"]
    assert [passage.article_id for passage in english.passages] == ["en", "es"]


async def test_without_an_embedder_words_find_alone_and_nothing_is_called_lost(shelf: Shelf) -> None:
    await shelf.put(*SHOP)

    result = await LocalKnowledge(shelf.data_dir, None).search(DEFAULT_TENANT, "shipping", limit=1)

    assert result.passages[0].article_id == "shipping"
    assert result.passages[0].cosine is None
    assert not result.is_lexical_only


async def test_a_broken_embedder_leaves_the_words_and_recovers(
    shelf: Shelf, embedder: CountingEmbedder
) -> None:
    await shelf.put(*SHOP)

    embedder.is_broken = True
    broken = await shelf.knowledge.search(DEFAULT_TENANT, "shipping", limit=1)
    embedder.is_broken = False
    mended = await shelf.knowledge.search(DEFAULT_TENANT, "shipping", limit=1)

    assert (broken.is_lexical_only, broken.passages[0].article_id) == (True, "shipping")
    assert (mended.is_lexical_only, mended.passages[0].article_id) == (False, "shipping")


async def test_vectors_of_another_model_are_not_compared(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    newer = CountingEmbedder()
    newer.name = "counting-2"

    result = await LocalKnowledge(shelf.data_dir, newer).search(DEFAULT_TENANT, "shipping", limit=1)

    assert result.is_lexical_only
    assert result.passages[0].article_id == "shipping"


@pytest.mark.parametrize("words", ["", "   ", "?!…", "\x00", "\ud800", "zzyzx"])
async def test_nothing_fitting_is_an_empty_result(shelf: Shelf, words: str) -> None:
    await shelf.put(*SHOP)

    assert await shelf.found(words) == []


async def test_tenants_do_not_see_each_other(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    await shelf.store.put("acme", [article("secret", "Shipping plans", "Acme ships by drone.")])
    await shelf.indexer.refresh("acme")

    acme = await shelf.knowledge.search("acme", "shipping", limit=5)

    assert [passage.article_id for passage in acme.passages] == ["secret"]
    assert "secret" not in await shelf.found("shipping drone")
    assert await shelf.knowledge.article(DEFAULT_TENANT, "secret") is None


@pytest.mark.parametrize("tenant", ["../default", "..", "a/b", "", "Default"])
async def test_a_tenants_name_never_leads_to_anothers_folder(shelf: Shelf, tenant: str) -> None:
    await shelf.put(*SHOP)

    with pytest.raises(DependencyUnavailable):
        await shelf.knowledge.search(tenant, "shipping", limit=1)


async def test_a_long_message_is_searched_by_its_rarest_words(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    message = " ".join(f"word{n}" for n in range(900)) + " customs abroad"

    assert (await shelf.found(message[-8000:]))[0] == "shipping"


async def test_the_loop_goes_on_while_a_question_is_searched(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    searches = [shelf.found("shipping customs") for _ in range(50)]

    found = await asyncio.gather(*searches)

    assert {tuple(ids) for ids in found} == {tuple(found[0])}


async def test_a_tenant_that_never_had_articles_finds_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    """Its name may come from a token: it must not count as an index that was lost."""
    async with LocalKnowledge(tmp_path, None, has_articles={DEFAULT_TENANT}.__contains__) as knowledge:
        found = await knowledge.search("stranger", "shipping", limit=3)
        with pytest.raises(DependencyUnavailable):
            await knowledge.search(DEFAULT_TENANT, "shipping", limit=3)

    assert found.passages == ()
