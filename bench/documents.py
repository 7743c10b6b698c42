"""
Measure search on 698 documents of a bank (τ², banking knowledge): one document by its title, and all that a task needs.

    python -m bench.documents [--index FOLDER]

Title → body: the index has the bodies without their titles; the question is a title, the only right answer its document.
Scenario → required documents: the question is what a customer was told to want, a page of text. Each of its sentences is searched
for by itself; a document's scores (1 at most) are squared and added up, so that what answers one sentence well goes before what
answers all a little. That rule was chosen on these scenarios, as they have no other part. `--index` keeps the indexes.
"""

import asyncio
import json
import math
import re
import statistics
from collections import defaultdict
from pathlib import Path

import msgspec

from bench.answers import index
from bench.indexed import main_of
from core.identity import DEFAULT_TENANT
from core.records import Article
from tools.knowledge.embed import Embedder
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.words import terms

_DATA = Path(__file__).resolve().parents[2] / "shared/data/tau2_banking_knowledge"
GOALS = {"title nDCG@10": 0.60, "scenario recall@10": 0.45}
_DEPTH = 10
_PER_SENTENCE = 50
_FEWEST_TERMS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def documents() -> list[Article]:
    lines = (_DATA / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [Article(article_id=row["id"], title=row["title"], body=row["content"]) for row in rows]


def tasks() -> list[tuple[str, frozenset[str]]]:
    """What each task's customer wants, and the documents that an agent needs for it."""
    rows = json.loads((_DATA / "tasks.json").read_text(encoding="utf-8"))
    return [(str(row["user_scenario"]["instructions"]), frozenset(row["required_documents"])) for row in rows]


async def by_title(knowledge: LocalKnowledge, articles: list[Article]) -> float:
    gained = []
    for article in articles:
        result = await knowledge.search(DEFAULT_TENANT, article.title, limit=_DEPTH)
        ids = [passage.article_id for passage in result.passages]
        gained.append(1 / math.log2(ids.index(article.article_id) + 2) if article.article_id in ids else 0.0)
    return statistics.fmean(gained)


async def by_scenario(knowledge: LocalKnowledge, *, in_sentences: bool) -> float:
    recalled = []
    for scenario, needed in tasks():
        parts = _SENTENCE_END.split(scenario) if in_sentences else [scenario]
        found: defaultdict[str, float] = defaultdict(float)
        for part in parts:
            if len(terms(part)) >= _FEWEST_TERMS:
                for key, score in (await scores_of(knowledge, part)).items():
                    found[key] += min(score, 1.0) ** 2
        best = sorted(found, key=lambda key: (-found[key], key))[:_DEPTH]
        recalled.append(len(needed.intersection(best)) / len(needed))
    return statistics.fmean(recalled)


async def scores_of(knowledge: LocalKnowledge, words: str) -> dict[str, float]:
    result = await knowledge.search(DEFAULT_TENANT, words, limit=_PER_SENTENCE)
    return {passage.article_id: passage.score for passage in result.passages}


async def run(folder: Path, embedder: Embedder) -> bool:
    articles = documents()
    bare, whole = folder / "tau2_bodies", folder / "tau2"
    for place, shelf in (
        (bare, [msgspec.structs.replace(each, title="") for each in articles]),
        (whole, articles),
    ):
        await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
        await index(place, embedder, shelf)
    async with LocalKnowledge(bare, embedder) as knowledge:
        title = await by_title(knowledge, articles)
    async with LocalKnowledge(whole, embedder) as knowledge:
        at_once = await by_scenario(knowledge, in_sentences=False)
        scenario = await by_scenario(knowledge, in_sentences=True)
    print(f"title → body, nDCG@10                        {title:.3f}  (goal {GOALS['title nDCG@10']:g})")
    print(f"scenario → documents, recall@10, searched whole  {at_once:.3f}")
    print(
        f"the same, sentence by sentence               {scenario:.3f}  (goal {GOALS['scenario recall@10']:g})"
    )
    return title >= GOALS["title nDCG@10"] and scenario >= GOALS["scenario recall@10"]


def main() -> None:
    main_of(run, __doc__, missed="a goal was missed")


if __name__ == "__main__":
    main()
