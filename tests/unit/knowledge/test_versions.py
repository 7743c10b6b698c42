"""
Going back to an earlier version of the knowledge base: on every replica, at once where its build is still there.
"""

from pathlib import Path

import pytest

from core.errors import DependencyUnavailable, NotFound
from core.identity import DEFAULT_TENANT
from tests.unit.knowledge.shelf import CountingEmbedder, Shelf, article
from tools.knowledge import indexer as indexing
from tools.knowledge.folder import IndexFolder
from tools.knowledge.index import read_manifest
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Files
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.versions import Versions


def versions_of(shelf: Shelf) -> Versions:
    return Versions(shelf.store, shelf.indexer)


async def three_versions(shelf: Shelf) -> None:
    for body in ("apples", "pears", "plums"):
        await shelf.put(article("fruit", "Fruit", f"We sell {body}."))


async def test_a_rollback_serves_what_was_before_it(shelf: Shelf) -> None:
    await three_versions(shelf)

    back = await versions_of(shelf).roll_back(DEFAULT_TENANT)

    assert (back.version, back.is_served) == (2, True)
    assert await shelf.found("pears") == ["fruit"]
    assert await texts(shelf) == ["We sell pears."]


async def texts(shelf: Shelf) -> list[str]:
    found = await shelf.knowledge.search(DEFAULT_TENANT, "sell fruit", limit=3)
    return [passage.text for passage in found.passages]


async def test_a_second_rollback_goes_one_further_and_undo_comes_back(shelf: Shelf) -> None:
    await three_versions(shelf)
    versions = versions_of(shelf)

    await versions.roll_back(DEFAULT_TENANT)
    await versions.roll_back(DEFAULT_TENANT)
    assert await texts(shelf) == ["We sell apples."]
    with pytest.raises(NotFound, match="before the one that is served"):
        await versions.roll_back(DEFAULT_TENANT)
    await versions.undo(DEFAULT_TENANT)

    assert await texts(shelf) == ["We sell plums."]


async def test_a_build_that_is_still_there_is_switched_to_without_reading_the_articles(shelf: Shelf) -> None:
    await three_versions(shelf)
    before = set(IndexFolder(shelf.data_dir, DEFAULT_TENANT).builds())
    shelf.store.at = None  # type: ignore[assignment, method-assign]  # whoever builds, breaks

    await versions_of(shelf).roll_back(DEFAULT_TENANT, 1)

    assert set(IndexFolder(shelf.data_dir, DEFAULT_TENANT).builds()) == before
    assert await texts(shelf) == ["We sell apples."]


async def test_a_replica_that_never_saw_the_version_builds_it(
    shelf: Shelf, tmp_path: Path, embedder: CountingEmbedder
) -> None:
    await three_versions(shelf)
    await versions_of(shelf).roll_back(DEFAULT_TENANT, 1)
    embedder.embedded.clear()
    clock = shelf.indexer._clock
    replica = Indexer(shelf.store, shelf.cache, embedder, tmp_path / "replica", clock=clock)

    await replica.refresh(DEFAULT_TENANT)
    found = await LocalKnowledge(tmp_path / "replica", None).search(DEFAULT_TENANT, "fruit", limit=1)

    assert [passage.text for passage in found.passages] == ["We sell apples."]
    assert embedder.embedded == []


async def test_a_damaged_build_is_not_switched_to_but_built_again(shelf: Shelf) -> None:
    await three_versions(shelf)
    for build in IndexFolder(shelf.data_dir, DEFAULT_TENANT).builds():
        if read_manifest(build).version == 1:
            (build / "articles.sqlite").write_bytes(b"no index at all")

    await versions_of(shelf).roll_back(DEFAULT_TENANT, 1)

    assert await texts(shelf) == ["We sell apples."]


async def test_a_rollback_ends_with_the_next_ingest_that_changes_something(
    shelf: Shelf, tmp_path: Path
) -> None:
    root = tmp_path / "help"
    root.mkdir()
    for body in ("good", "bad"):
        (root / "a.md").write_text(f"# Fruit\n\nWe sell {body} fruit.", encoding="utf-8")
        await shelf.ingestion.run([root], DEFAULT_TENANT)
    await versions_of(shelf).roll_back(DEFAULT_TENANT)

    same = await shelf.ingestion.run([root], DEFAULT_TENANT)
    assert (same.version, same.rolled_back_to) == (None, 1)
    assert "good" in (await texts(shelf))[0]
    (root / "a.md").write_text("# Fruit\n\nWe sell better fruit.", encoding="utf-8")
    mended = await shelf.ingestion.run([root], DEFAULT_TENANT)

    assert (mended.version, mended.rolled_back_to) == (3, None)
    assert "better" in (await texts(shelf))[0]


async def test_an_interrupted_run_is_not_seen_and_is_completed_by_the_next(
    shelf: Shelf, tmp_path: Path
) -> None:
    root = tmp_path / "help"
    root.mkdir()
    (root / "a.md").write_text("# Fruit\n\nWe sell apples.", encoding="utf-8")
    await shelf.ingestion.run([root], DEFAULT_TENANT)
    (root / "b.md").write_text("# Wood\n\nWe sell planks.", encoding="utf-8")

    async def cut_off(*_: object, **__: object) -> int:
        raise ConnectionError("the power is gone")

    whole = shelf.store.release
    shelf.store.release = cut_off  # type: ignore[method-assign]  # the machine stops before the end
    with pytest.raises(ConnectionError):
        await shelf.ingestion.run([root], DEFAULT_TENANT)
    await shelf.indexer.refresh(DEFAULT_TENANT)
    assert await shelf.found("planks") == []
    shelf.store.release = whole  # type: ignore[method-assign]
    again = await shelf.ingestion.run([root], DEFAULT_TENANT)

    assert (again.added, again.unchanged, again.version) == (0, 2, 2)
    assert await shelf.found("planks") == ["b"]


async def test_much_new_text_is_found_by_words_at_once_and_by_meaning_a_part_after_the_other(
    shelf: Shelf, embedder: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_EMBEDDED_IN_PASSING", 4)
    monkeypatch.setattr(indexing, "_EMBEDDED_AT_A_TIME", 2)
    await shelf.put(article("old", "Old", "We sell lamps."))
    embedder.embedded.clear()
    for number in range(4):
        await shelf.store.put(
            DEFAULT_TENANT, [article(f"n{number}", f"New {number}", f"We sell item {number}.")]
        )

    await shelf.indexer.refresh(DEFAULT_TENANT)
    early = await shelf.knowledge.search(DEFAULT_TENANT, "sell item", limit=9)
    assert len(early.passages) == 5
    assert early.is_lexical_only
    steps = 0
    while await shelf.indexer.refresh(DEFAULT_TENANT) is False:
        steps += 1
        assert len(embedder.embedded) > 0
        assert steps < 20
    late = await shelf.knowledge.search(DEFAULT_TENANT, "sell item", limit=9)

    assert steps == 3
    assert not late.is_lexical_only
    assert await shelf.indexer.refresh(DEFAULT_TENANT) is False
    assert len([text for text in embedder.embedded if text.startswith("New")]) == 8


async def test_old_builds_have_a_bound_in_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.knowledge.folder._KEPT_BYTES", 1)

    await three_versions(shelf)

    builds = IndexFolder(shelf.data_dir, DEFAULT_TENANT).builds()
    assert sorted(read_manifest(build).version for build in builds) == [2, 3]


async def test_a_source_whose_terms_change_changes_its_articles(shelf: Shelf, tmp_path: Path) -> None:
    from core.identity import Audience
    from tools.knowledge.article import Terms

    (tmp_path / "a.md").write_text("# Fruit\n\nWe sell apples.", encoding="utf-8")
    await shelf.ingestion.take_in([Files("one", [tmp_path / "a.md"])], DEFAULT_TENANT)

    report = await shelf.ingestion.take_in(
        [Files("one", [tmp_path / "a.md"], terms=Terms(Audience.INTERNAL))], DEFAULT_TENANT
    )

    assert report.changed == 1
    assert await shelf.found("apples") == []


async def test_without_an_index_nothing_is_made_up(shelf: Shelf) -> None:
    with pytest.raises(NotFound):
        await versions_of(shelf).undo(DEFAULT_TENANT)
    with pytest.raises(DependencyUnavailable):
        await shelf.found("apples")
