"""
Can it be told from a customer's turn whether it asks for knowledge, or for a booking, an order, a thank you?

    python -m bench.seeking

2,086 conversations of DSTC11 track 5, whose last turn seeks knowledge or not. A logistic regression on the vector of that turn,
as the embedder makes it, in five folds; conversations that begin alike are in one fold. Every figure is of turns that took no
part in the fit; the strength of regularisation is chosen inside each fold's training part. Goal: AUROC ≥ .85.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tools.knowledge.embed import Embedder, load_embedder

_DATA = Path(__file__).resolve().parents[2] / "shared/data/dstc11_track5"
_SEED = 7
_FOLDS = 5
_STRENGTHS = (0.3, 1.0, 3.0, 10.0)
_STEPS = 12
_AT_ONCE = 64
_GOAL = 0.85

Matrix = npt.NDArray[np.float64]


def fitted(rows: Matrix, seeks: Matrix, strength: float) -> Matrix:
    """Weights and, last, the bias: Newton's method on the regularised log-likelihood."""
    x = np.hstack([rows, np.ones((len(rows), 1))])
    ridge = np.full(x.shape[1], 1 / strength)
    ridge[-1] = 1e-6
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (chance - seeks) + ridge * weights
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(ridge)
        weights -= np.linalg.solve(bend, slope)
    return weights


def scores(rows: Matrix, weights: Matrix) -> Matrix:
    found: Matrix = rows @ weights[:-1] + weights[-1]
    return found


def auroc(found: Matrix, seeks: Matrix) -> float:
    """The chance that a turn that seeks knowledge scores higher than one that does not; a tie is half a win."""
    yes, no = found[seeks == 1], np.sort(found[seeks == 0])
    wins = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(wins.sum() / 2 / (len(yes) * len(no)))


def folds(groups: Sequence[str], count: int, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each row; rows of one group are together."""
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    number = {name: place % count for place, name in enumerate(names)}
    return np.array([number[group] for group in groups])


def chosen_strength(rows: Matrix, seeks: Matrix, groups: Sequence[str]) -> float:
    inner = folds(groups, 3, _SEED)

    def reached(strength: float) -> float:
        held = [
            auroc(
                scores(rows[inner == n], fitted(rows[inner != n], seeks[inner != n], strength)),
                seeks[inner == n],
            )
            for n in range(3)
        ]
        return sum(held)

    return max(_STRENGTHS, key=reached)


async def run(embedder: Embedder) -> bool:
    logs = json.loads((_DATA / "logs.json").read_text(encoding="utf-8"))
    labels = json.loads((_DATA / "labels.json").read_text(encoding="utf-8"))
    texts = [log[-1]["text"] for log in logs]
    vectors = [await embedder.embed(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE)]
    rows = np.vstack(vectors).astype(np.float64)
    seeks = np.array([float(label["target"]) for label in labels])
    groups = [log[0]["text"] for log in logs]
    number = folds(groups, _FOLDS, _SEED)
    held = np.zeros(len(rows))
    for fold in range(_FOLDS):
        train, test = np.flatnonzero(number != fold), number == fold
        strength = chosen_strength(rows[train], seeks[train], [groups[row] for row in train])
        held[test] = scores(rows[test], fitted(rows[train], seeks[train], strength))
        print(
            f"fold {fold + 1}: {test.sum()} turns, strength {strength:g}, AUROC {auroc(held[test], seeks[test]):.3f}"
        )
    whole = auroc(held, seeks)
    print(f"seed {_SEED}, {len(set(groups))} groups, AUROC over all folds {whole:.3f} (goal {_GOAL})")
    return whole >= _GOAL


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    embedder = load_embedder(threads=1)
    if embedder is None:
        sys.exit("The semantic extra is not installed: pip install 'careline[semantic]'")
    if not asyncio.run(run(embedder)):
        sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
