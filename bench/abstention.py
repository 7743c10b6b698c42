"""
Does the built-in brain know what it does not know? MTRAG-UN: questions that its passages answer, and questions that they do not.

    python -m bench.abstention [--index FOLDER]

Each question is asked with what the customer said before it, as a turn would. First the weights that are shipped, which were
fitted on none of these questions (`agent.brain.evidence`); then the same features, fitted in five folds grouped by conversation.
The goal holds for both. Seeds: 0 to 4.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.brain.evidence import Features, Verdict, features_of, judge, probability_of_answer
from agent.brain.intents import follows_up
from agent.turn.steps import CONTEXT_MESSAGES
from bench.answers import Matrix, auroc, index, logistic, probabilities
from bench.context import mtrag
from bench.indexed import main_of
from core.identity import DEFAULT_TENANT
from tools.knowledge.embed import Embedder
from tools.knowledge.search import LocalKnowledge

_ROWS = Path(__file__).resolve().parents[2] / "shared/data/mtrag_un/reference_ibmcloud_fiqa.jsonl"
_GOAL = 0.85
_SEEDS = range(5)
_FOLDS = 5
_SEARCHED = 5
_NOTHING = Features(cosine=0.0, lexical=0.0, coverage=0.0, in_title=0.0)
_WITH_VECTORS = ("cosine", "coverage", "lexical")
_WITHOUT_VECTORS = ("lexical", "coverage", "in_title")


@dataclass(frozen=True, slots=True)
class Asked:
    conversation: str
    is_answerable: bool
    features: Features
    verdict: Verdict


async def ask(knowledge: LocalKnowledge) -> list[Asked]:
    asked = []
    for row in map(json.loads, _ROWS.read_text(encoding="utf-8").splitlines()):
        if row["answerability"] not in (["ANSWERABLE"], ["UNANSWERABLE"]):
            continue
        *before, question = [turn["text"] for turn in row["input"] if turn["speaker"] == "user"]
        context = tuple(before[-CONTEXT_MESSAGES:])
        found = (await knowledge.search(DEFAULT_TENANT, question, limit=_SEARCHED, context=context)).passages
        earlier = context[-1] if context and follows_up(question) else ""
        asked.append(
            Asked(
                conversation=row["conversation_id"],
                is_answerable=row["answerability"] == ["ANSWERABLE"],
                features=features_of(f"{question} {earlier}", found[0]) if found else _NOTHING,
                verdict=judge(question, found, earlier=earlier).verdict,
            )
        )
    return asked


def in_folds(asked: Sequence[Asked], names: Sequence[str]) -> float:
    """Mean AUROC over the seeds; no conversation is on both sides."""
    features: Matrix = np.array([[getattr(one.features, name) or 0.0 for name in names] for one in asked])
    answers: npt.NDArray[np.bool_] = np.array([one.is_answerable for one in asked])
    weights = np.where(answers, 1.0, answers.sum() / (~answers).sum())
    conversations = sorted({one.conversation for one in asked})
    found = []
    for seed in _SEEDS:
        fold_of = dict(
            zip(
                conversations,
                np.random.default_rng(seed).permutation(len(conversations)) % _FOLDS,
                strict=True,
            )
        )
        fold = np.array([fold_of[one.conversation] for one in asked])
        held_out = np.zeros(len(asked))
        for number in range(_FOLDS):
            seen = fold != number
            held_out[~seen] = probabilities(
                features[~seen], logistic(features[seen], answers[seen], weights[seen])
            )
        found.append(auroc(held_out, answers))
    return statistics.fmean(found)


def show(asked: Sequence[Asked], names: Sequence[str]) -> bool:
    answers = np.array([one.is_answerable for one in asked])
    shipped = auroc(np.array([probability_of_answer(one.features) for one in asked]), answers)
    folded = in_folds(asked, names)
    print(f"  shipped weights, fitted on none of these: AUROC {shipped:.3f} (goal {_GOAL})")
    print(f"  {', '.join(names)} in {_FOLDS} folds by conversation, seeds {list(_SEEDS)}: AUROC {folded:.3f}")
    for verdict in Verdict:
        of_verdict = np.array([one.verdict is verdict for one in asked])
        print(
            f"  {verdict:12} {of_verdict[answers].mean():5.0%} of the answerable,"
            f" {of_verdict[~answers].mean():5.0%} of the others"
        )
    return min(shipped, folded) >= _GOAL


async def run(folder: Path, embedder: Embedder) -> bool:
    articles, _ = mtrag()
    await index(folder, embedder, articles)
    async with LocalKnowledge(folder, embedder) as knowledge:
        with_vectors = await ask(knowledge)
    async with LocalKnowledge(folder, None) as knowledge:
        without = await ask(knowledge)
    answerable = sum(one.is_answerable for one in with_vectors)
    print(f"{answerable} answerable, {len(with_vectors) - answerable} not, {len(articles)} passages")
    print("with vectors")
    reached = show(with_vectors, _WITH_VECTORS)
    print("with words alone (no goal)")
    show(without, _WITHOUT_VECTORS)
    return reached


def main() -> None:
    main_of(run, __doc__, missed="the goal was missed")


if __name__ == "__main__":
    main()
