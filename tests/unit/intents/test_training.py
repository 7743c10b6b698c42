"""A trained file reads what its examples mean, with numpy alone, and refuses what it cannot read honestly."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.brain.own_intents import ServedBy, Service
from agent.intents.evaluation import Judged, choose_threshold, report
from agent.intents.examples import ExampleSet, OwnIntent
from agent.intents.judging import judge_examples
from agent.intents.model import IntentModel
from agent.intents.reading import TrainedIntentReader, open_reader
from agent.intents.terms import Vocabulary
from agent.intents.training import train
from core.errors import DataIntegrityFailed, ToolMisconfigured, ValidationFailed
from tests.unit.intents.word_embedder import WordEmbedder

_OBJECTS = ("card", "parcel", "invoice", "password", "lamp", "voucher")
_WORDS = (
    ("lost", "missing", "gone", "vanished", "cannot find"),
    ("arrive", "deliver", "late", "shipping", "when comes"),
    ("pay", "bill", "cost", "amount", "charged"),
    ("reset", "forgot", "sign in", "login", "locked"),
    ("broken", "flickers", "defect", "dead", "smashed"),
    ("redeem", "coupon", "discount", "code", "expired"),
)


def company(examples: int, *, seed: int = 5) -> ExampleSet:
    """Six intents, each said with words of its own."""
    chance = random.Random(seed)
    intents = []
    for thing, words in zip(_OBJECTS, _WORDS, strict=True):
        texts: dict[str, None] = {}
        while len(texts) < examples:
            one, other = chance.sample(words, 2)
            texts[
                f"{chance.choice(('my', 'the', 'our', 'a'))} {thing} {one} {other} {chance.randrange(99)}"
            ] = None
        intents.append(OwnIntent(thing, thing, Service(ServedBy.FLOW, thing), list(texts)))
    return ExampleSet(tuple(intents))


@pytest.mark.parametrize(("examples", "method"), [(6, "meaning"), (25, "hybrid")])
async def test_how_it_is_trained_depends_on_how_many_examples_there_are(examples: int, method: str) -> None:
    model = await train(company(examples), WordEmbedder())

    assert model.manifest.method == method
    assert model.manifest.held_out["in_scope"] > 0.8
    assert model.manifest.held_out["out_of_scope_recall"] > 0.8


async def test_a_trained_file_is_served_as_it_was_trained(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    model = await train(company(25), embedder)
    model.save(tmp_path / "intents.careline")

    reader = open_reader(tmp_path / "intents.careline", embedder)
    loaded = IntentModel.load(tmp_path / "intents.careline")
    (best, *_) = await reader.read("my parcel is late, when comes it?")

    assert (best.name, best.service) == ("parcel", Service(ServedBy.FLOW, "parcel"))
    text = "the voucher code is expired"
    (vector,) = await embedder.embed([text])
    assert np.allclose(loaded.scores(text, vector), model.scores(text, vector))
    assert loaded.manifest == model.manifest


async def test_what_is_none_of_the_intents_is_not_read() -> None:
    embedder = WordEmbedder()
    reader = TrainedIntentReader(await train(company(25), embedder), embedder)

    assert await reader.read("is it going to rain over the mountains tomorrow") == ()
    assert await reader.read("   ") == ()


async def test_without_an_embedder_words_are_enough() -> None:
    model = await train(company(25), None)
    reader = TrainedIntentReader(model, WordEmbedder())

    assert (model.manifest.method, model.manifest.embedder) == ("words", None)
    assert (await reader.read("my lamp flickers, it is defect"))[0].name == "lamp"


async def test_two_intents_are_enough() -> None:
    two = ExampleSet(company(6).intents[:2])

    model = await train(two, WordEmbedder())

    (vector,) = await WordEmbedder().embed(["my card is lost and gone"])
    assert model.read("my card is lost and gone", vector)[0].name == "card"


async def test_a_validation_set_is_never_trained_on() -> None:
    embedder = WordEmbedder()
    others = ExampleSet(company(25, seed=6).intents, ("do you like tea", "how old are you"))

    model = await train(company(25), embedder, validation=others)

    assert model.manifest.examples == 6 * 25
    judged = await judge_examples(model, others, embedder)
    assert model.manifest.threshold == choose_threshold(judged)


async def test_vectors_of_another_embedder_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "intents.careline"
    (await train(company(6), WordEmbedder())).save(file)
    other = WordEmbedder()
    other.name = "words-65"

    for embedder, said in ((other, "this is words-65"), (None, r"careline\[semantic\]")):
        with pytest.raises(ToolMisconfigured, match=f"trained with the embedder words-64.*{said}"):
            open_reader(file, embedder)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "intents.careline"
    (await train(company(6), WordEmbedder())).save(file)
    whole = file.read_bytes()
    middle = len(whole) // 2

    for damaged in (
        whole[:-1],
        whole[:40],
        b"",
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        whole + b"\0",
    ):
        file.write_bytes(damaged)
        with pytest.raises(DataIntegrityFailed, match=r"intents\.careline"):
            IntentModel.load(file)


async def test_an_unknown_intent_in_a_test_is_named() -> None:
    model = await train(company(6), WordEmbedder())

    with pytest.raises(ValidationFailed, match=r"intents\.cheese: is none of the trained intents"):
        await judge_examples(
            model, ExampleSet((OwnIntent("cheese", "cheese", None, ["brie"]),)), WordEmbedder()
        )


def test_a_service_needs_no_scikit_learn() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = sys.modules['scipy'] = None\n"
        "import agent.intents.reading, agent.bootstrap, agent.cli"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_threshold_lies_where_both_sides_gain_most() -> None:
    judged = [
        *(Judged("a", "x", "x", score) for score in (0.9, 0.8, 0.7, 0.3)),
        Judged("b", "x", "y", 0.95),
        *(Judged("c", None, "x", score) for score in (0.6, 0.2, 0.1)),
    ]

    threshold = choose_threshold(judged)

    assert 0.6 < threshold < 0.7
    found = report(judged, threshold)
    assert (found.accuracy, found.in_scope, found.out_of_scope_recall) == (0.8, 0.6, 1.0)
    assert [(each.intent, each.precision, each.recall) for each in found.intents] == [("x", 1.0, 0.6)]
    assert {(each.expected, each.read) for each in found.confusions} == {("x", None), ("x", "y")}


def test_terms_see_through_a_slip_of_the_pen() -> None:
    vocabulary = Vocabulary.of(["my password is forgotten", "the parcel is late"])

    right, _ = vocabulary.weigh("password")
    slipped, _ = vocabulary.weigh("pasword")
    unknown, _ = vocabulary.weigh("zzz")

    assert len(set(right) & set(slipped)) > 5
    assert not len(unknown)
