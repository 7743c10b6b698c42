"""
What goes in, what stays out and says why, what is removed, and what is not done twice.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.identity import DEFAULT_TENANT
from state.sql.engine import Database
from state.sql.knowledge import SqlArticles, SqlEmbeddings
from state.sql.migrate import upgrade
from tests.unit.knowledge.shelf import CountingEmbedder, Shelf, locked_pdf, pdf_with
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Ingestion


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good articles of three kinds."""
    root = tmp_path / "help"
    (root / "orders").mkdir(parents=True)
    (root / "returns.md").write_text("# Return an item\n\nSend it back within 30 days.", encoding="utf-8")
    (root / "orders" / "track.html").write_text("<h1>Track</h1><p>See the link.</p>", encoding="utf-8")
    (root / "manual.pdf").write_bytes(pdf_with("Press the red button"))
    return root


async def test_articles_are_called_by_their_path_below_the_root(shelf: Shelf, folder: Path) -> None:
    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.added == 3
    assert await shelf.ids() == ["manual.pdf", "orders/track.html", "returns"]


async def test_the_same_files_again_embed_nothing(
    shelf: Shelf, folder: Path, embedder: CountingEmbedder
) -> None:
    first = await shelf.ingestion.run([folder], DEFAULT_TENANT)
    embedder.embedded.clear()

    again = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert first.embedded_texts == 6
    assert (again.unchanged, again.added, again.changed, again.embedded_texts) == (3, 0, 0, 0)
    assert embedder.embedded == []


async def test_a_changed_file_embeds_only_what_changed_in_it(
    shelf: Shelf, folder: Path, embedder: CountingEmbedder
) -> None:
    sections = [f"## Step {n}\n\n" + f"Do thing number {n} slowly. " * 25 for n in range(4)]
    (folder / "long.md").write_text("\n\n".join(sections), encoding="utf-8")
    await shelf.ingestion.run([folder], DEFAULT_TENANT)
    embedder.embedded.clear()

    sections[2] += "And then rest."
    (folder / "long.md").write_text("\n\n".join(sections), encoding="utf-8")
    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert (report.changed, report.unchanged) == (1, 3)
    assert len(embedder.embedded) == 1
    assert "rest" in embedder.embedded[0]


async def test_a_removed_file_is_removed_and_no_longer_found(shelf: Shelf, folder: Path) -> None:
    await shelf.ingestion.run([folder], DEFAULT_TENANT)
    assert await shelf.found("return an item") == ["returns"]

    (folder / "returns.md").unlink()
    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.removed == 1
    assert await shelf.found("return an item") == []


async def test_other_paths_keep_their_articles(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "faq.md").write_text("# Opening hours\n\nNine to five.", encoding="utf-8")
    await shelf.ingestion.run([tmp_path / "faq.md"], DEFAULT_TENANT)

    await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert "faq" in await shelf.ids()


async def test_a_path_that_is_not_there_removes_nothing(shelf: Shelf, folder: Path) -> None:
    await shelf.ingestion.run([folder], DEFAULT_TENANT)
    shutil.move(folder, folder.with_name("elsewhere"))

    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.removed == 0
    assert report.failed == ((str(folder), "there is no such file or folder"),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("broken.pdf", b"%PDF-1.4 and then nothing"),
        ("cut.pdf", pdf_with("half of it")[:200]),
        ("latin.md", "# Größe".encode("latin-1")),
        ("empty.txt", b"  \n "),
        ("marks.md", b"---\n\n***\n"),
        ("scripts.html", b"<html><script>alert(1)</script></html>"),
    ],
)
async def test_a_broken_file_is_named_and_the_rest_goes_in(
    shelf: Shelf, folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)

    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.added == 3
    assert [failed for failed, _ in report.failed] == [name]


async def test_a_locked_pdf_is_named(shelf: Shelf, folder: Path) -> None:
    locked_pdf(folder / "locked.pdf")

    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.failed == (("locked.pdf", "it is locked with a password"),)


async def test_a_file_that_breaks_later_keeps_its_last_good_version(shelf: Shelf, folder: Path) -> None:
    await shelf.ingestion.run([folder], DEFAULT_TENANT)

    (folder / "manual.pdf").write_bytes(b"%PDF-1.4 torn")
    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)

    assert report.removed == 0
    assert await shelf.found("red button") == ["manual.pdf"]


async def test_a_broken_line_keeps_every_article_of_its_source(shelf: Shelf, tmp_path: Path) -> None:
    lines = tmp_path / "articles.jsonl"
    lines.write_text('{"id":"a","title":"A","body":"apples"}\n{"id":"b","title":"B","body":"pears"}\n')
    await shelf.ingestion.run([lines], DEFAULT_TENANT)

    lines.write_text('{"id":"a","title":"A","body":"apples"}\n{"id":"b","title":"B","bo\n')
    report = await shelf.ingestion.run([lines], DEFAULT_TENANT)

    assert [name for name, _ in report.failed] == ["articles.jsonl, line 2"]
    assert report.held_back == ((str(lines.resolve()), 1),)
    assert await shelf.ids() == ["a", "b"]


async def test_nothing_is_said_to_be_held_back_where_nothing_would_go(shelf: Shelf, tmp_path: Path) -> None:
    lines = tmp_path / "articles.jsonl"
    lines.write_text('{"id":"a","title":"A","body":"apples"}\n{"id":"b","title":"B","bo\n')

    report = await shelf.ingestion.run([lines], DEFAULT_TENANT)

    assert report.held_back == ()


async def test_two_sources_with_one_id_do_not_overwrite_each_other(shelf: Shelf, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.md").write_text(f"The {name} index", encoding="utf-8")

    report = await shelf.ingestion.run([tmp_path / "first", tmp_path / "second"], DEFAULT_TENANT)
    named = await shelf.ingestion.run([tmp_path / "second"], DEFAULT_TENANT, source="second")

    assert report.added == 1
    assert report.failed[0][0] == "index"
    assert "give this source a name" in report.failed[0][1]
    assert named.added == 1
    assert await shelf.ids() == ["index", "second/index"]


async def test_without_the_model_articles_go_in_and_vectors_follow_later(
    shelf: Shelf, folder: Path, embedder: CountingEmbedder
) -> None:
    embedder.is_broken = True
    report = await shelf.ingestion.run([folder], DEFAULT_TENANT)
    assert report.is_without_vectors
    assert await shelf.found("return an item") == ["returns"]

    embedder.is_broken = False
    again = await shelf.ingestion.run([folder], DEFAULT_TENANT)
    result = await shelf.knowledge.search(DEFAULT_TENANT, "return an item", limit=1)

    assert (again.unchanged, again.is_without_vectors) == (3, False)
    assert not result.is_lexical_only
    assert result.passages[0].cosine is not None


async def test_progress_counts_up_to_the_whole(shelf: Shelf, folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    await shelf.ingestion.run(
        [folder], DEFAULT_TENANT, lambda phase, done, whole: seen.append((phase, done, whole))
    )

    assert seen[0] == ("read", 1, 0)
    assert seen[3] == ("read", 3, 3)
    assert ("embed", 6, 6) in seen
    assert seen[-1] == ("index", 1, 1)


async def test_it_works_the_same_on_a_real_database(
    tmp_path: Path, sqlite_url: str, folder: Path, embedder: CountingEmbedder
) -> None:
    await asyncio.to_thread(upgrade, sqlite_url)
    database = Database(sqlite_url, timeout_seconds=5.0)
    try:
        store = SqlArticles(database)
        indexer = Indexer(store, SqlEmbeddings(database), embedder, tmp_path / "data", clock=SystemClock())
        ingestion = Ingestion(store, indexer, clock=SystemClock())
        first = await ingestion.run([folder], DEFAULT_TENANT)
        (folder / "manual.pdf").unlink()
        second = await ingestion.run([folder], DEFAULT_TENANT)
    finally:
        await database.close()

    assert (first.added, first.embedded_texts) == (3, 6)
    assert (second.unchanged, second.removed, second.embedded_texts) == (2, 1, 0)
