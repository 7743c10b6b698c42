"""
The index artifact: replaced while it is read, damaged, taken away, and built again.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from agent.workers.reindex import Reindexing
from core.errors import DependencyUnavailable
from core.identity import DEFAULT_TENANT
from tests.fakes import FakeClock
from tests.unit.knowledge.shelf import SHOP, CountingEmbedder, Shelf, article
from tools.knowledge.folder import IndexFolder
from tools.knowledge.index import Index
from tools.knowledge.indexer import Indexer


def current(shelf: Shelf) -> Path:
    return IndexFolder(shelf.data_dir, DEFAULT_TENANT).current()


async def test_no_index_is_not_an_empty_result(shelf: Shelf) -> None:
    with pytest.raises(DependencyUnavailable) as raised:
        await shelf.found("shipping")

    assert raised.value.dependency == "knowledge"


async def test_an_index_of_nothing_is_an_empty_result(shelf: Shelf) -> None:
    await shelf.indexer.refresh(DEFAULT_TENANT)

    assert await shelf.found("shipping") == []
    await shelf.knowledge.check(DEFAULT_TENANT)


async def test_the_first_articles_are_found_by_the_next_question(shelf: Shelf) -> None:
    await shelf.indexer.refresh(DEFAULT_TENANT)
    assert await shelf.found("shipping") == []
    assert await shelf.found("shipping") == []

    await shelf.put(*SHOP)

    assert await shelf.found("shipping") == ["shipping"]


async def test_an_index_of_nothing_that_is_taken_away_is_no_empty_result(
    shelf: Shelf, tmp_path: Path
) -> None:
    await shelf.indexer.refresh(DEFAULT_TENANT)
    assert await shelf.found("shipping") == []

    shelf.data_dir.rename(tmp_path / "away")

    with pytest.raises(DependencyUnavailable):
        await shelf.found("shipping")


@pytest.mark.parametrize("name", ["articles.sqlite", "chunks.npy", "articles.npy", "manifest.json"])
@pytest.mark.parametrize("harm", ["garbage", "emptied", "one byte", "removed"])
async def test_a_damaged_file_is_noticed_and_a_rebuilt_index_is_used_without_a_restart(
    shelf: Shelf, name: str, harm: str
) -> None:
    await shelf.put(*SHOP)
    assert await shelf.found("shipping") == ["shipping"]

    path = current(shelf) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    match harm:
        case "garbage":
            path.write_bytes(b"no index at all" * 1000)
        case "emptied":
            path.write_bytes(b"")
        case "one byte":
            path.write_bytes(content)
        case "removed":
            path.unlink()
    with pytest.raises(DependencyUnavailable):
        await shelf.knowledge.check(DEFAULT_TENANT)
    with pytest.raises(DependencyUnavailable) as raised:
        await shelf.found("shipping")
    was_rebuilt = await shelf.indexer.refresh(DEFAULT_TENANT)

    assert raised.value.dependency == "knowledge"
    assert was_rebuilt
    assert await shelf.found("shipping") == ["shipping"]


async def test_a_folder_that_is_taken_away_and_put_back_is_used_again(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.put(*SHOP)
    await shelf.found("shipping")

    away = shelf.data_dir.rename(tmp_path / "away")
    with pytest.raises(DependencyUnavailable):
        await shelf.found("shipping")
    away.rename(shelf.data_dir)

    assert await shelf.found("shipping") == ["shipping"]


async def test_a_rebuild_embeds_nothing_again(shelf: Shelf, embedder: CountingEmbedder) -> None:
    await shelf.put(*SHOP)
    shutil.rmtree(shelf.data_dir)
    embedder.embedded.clear()

    await shelf.indexer.refresh(DEFAULT_TENANT)

    assert embedder.embedded == []
    assert await shelf.found("warranty") == ["warranty"]


async def test_what_an_article_is_about_is_its_text_and_as_much_its_title(
    shelf: Shelf, embedder: CountingEmbedder
) -> None:
    await shelf.put(article("lamp", "Lamp", "Turn the switch."), article("untitled", "", "Turn the switch."))
    titled, title, untitled = await embedder.embed(["Lamp\nTurn the switch.", "Lamp", "Turn the switch."])

    index = Index(current(shelf))
    _, wholes = index.cosines(title)
    index.close()

    assert wholes == pytest.approx([titled @ title + 1, 2 * untitled @ title], abs=1e-4)


async def test_questions_find_the_old_index_or_the_new_one_while_it_is_switched(shelf: Shelf) -> None:
    await shelf.put(article("v0", "Parcel", "parcel zero"))
    is_done = False
    seen: list[list[str]] = []

    async def ask() -> None:
        while not is_done:
            seen.append(await shelf.found("parcel"))

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for n in range(1, 15):
        await shelf.store.remove(DEFAULT_TENANT, [f"v{n - 1}"])
        await shelf.store.put(DEFAULT_TENANT, [article(f"v{n}", "Parcel", f"parcel {n}")])
        await shelf.indexer.build(DEFAULT_TENANT)
    is_done = True
    await asyncio.gather(*asking)

    versions = [int(ids[0].removeprefix("v")) for ids in seen]
    assert all(len(ids) == 1 for ids in seen)
    assert versions == sorted(versions)
    assert len(set(versions)) > 3


async def test_old_builds_are_cleared_away(shelf: Shelf) -> None:
    for n in range(5):
        await shelf.put(article("only", "Parcel", f"parcel {n}"))

    left = [path.name for path in (shelf.data_dir / "knowledge" / DEFAULT_TENANT).iterdir()]

    assert len(left) == 5  # the current one, three before it, and the pointer
    assert (await shelf.knowledge.article(DEFAULT_TENANT, "only")) is not None


async def test_a_failed_build_leaves_the_old_index(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await shelf.put(*SHOP)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tools.knowledge.indexer.write_index", full_disk)
    with pytest.raises(OSError, match="No space left"):
        await shelf.indexer.build(DEFAULT_TENANT)

    assert await shelf.found("shipping") == ["shipping"]
    assert not list((shelf.data_dir / "knowledge" / DEFAULT_TENANT).glob(".building-*"))


async def test_another_replica_builds_when_the_version_changes(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.put(*SHOP)
    replica = Shelf(tmp_path / "replica", None)
    clock = FakeClock()
    indexer = Indexer(shelf.store, shelf.cache, CountingEmbedder(), replica.data_dir, clock=clock)
    keeping = asyncio.create_task(
        Reindexing(shelf.store, indexer.refresh_all, tenants={DEFAULT_TENANT}, clock=clock).run()
    )

    async def until_found(words: str, article_id: str) -> None:
        while True:
            try:
                if await replica.found(words) == [article_id]:
                    return
            except DependencyUnavailable:
                pass
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until_found("shipping", "shipping"), 5)
    await shelf.store.put(DEFAULT_TENANT, [article("gift", "Gift cards", "Valid for ever.")])
    await clock.run_for(2.0)

    await asyncio.wait_for(until_found("gift card", "gift"), 5)
    keeping.cancel()


async def test_searching_goes_on_while_the_store_is_gone(shelf: Shelf) -> None:
    await shelf.put(*SHOP)
    shelf.store.all = None  # type: ignore[assignment, method-assign]  # whoever asks it now, breaks

    assert await shelf.found("shipping") == ["shipping"]
    assert (await shelf.knowledge.article(DEFAULT_TENANT, "returns")) is not None
