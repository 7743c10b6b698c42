"""
Ask the embedded brain 50 questions that the Arduino articles answer and 20 that they do not.

    python -m bench.answers [--index FOLDER] [--fit]

`--index` keeps the index for the next run. `--fit` prints the weights and thresholds of `agent.brain.evidence`, from the
development questions and from questions of other data sets; the 70 questions take no part in it.
"""

import argparse
import asyncio
import csv
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.brain.base import BrainReply, TurnInput
from agent.brain.embedded import EmbeddedBrain
from agent.brain.evidence import Features, features_of
from agent.brain.phrases import ENGLISH
from bench.questions import Question, questions
from core.clock import SystemClock
from core.errors import DependencyUnavailable
from core.identity import DEFAULT_TENANT, Caller, CallerKind
from core.messages import Action, ActionStatus, Message, MessageRole
from core.records import Article, Passage
from core.resilience.deadline import Deadline
from state.models import ConversationState, CustomerState
from tools.knowledge.embed import Embedder, load_embedder
from tools.knowledge.folder import IndexFolder
from tools.knowledge.indexer import Indexer
from tools.knowledge.memory import MemoryArticles, MemoryEmbeddings
from tools.knowledge.read import read_articles
from tools.knowledge.search import LocalKnowledge
from tools.protocol import ToolCall, ToolOutcome
from tools.search_knowledge import SearchArguments, SearchKnowledge

_DATA = Path(__file__).resolve().parents[2] / "shared/data"
_DEVELOPMENT = Path(__file__).with_name("arduino_development.jsonl")
_GOAL_RIGHT = 40
_GOAL_UNKNOWN = 16
_GOAL_WORDS = 120
_SEED = 7
_FROM_OTHER_SETS = 400
_FOLDS = 10

Matrix = npt.NDArray[np.float64]


class SearchTool:
    """The brain's `ToolCaller` with nothing but the real search tool."""

    def __init__(self, knowledge: LocalKnowledge, call: ToolCall) -> None:
        self._search = SearchKnowledge(knowledge)
        self._call = call

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        if tool != self._search.name:
            refused = Action(
                call_id="", tool=tool, status=ActionStatus.REFUSED, summary="(only the search is here)"
            )
            return ToolOutcome(action=refused)
        result = await self._search.run(msgspec.convert(dict(arguments), SearchArguments), self._call)
        action = Action(call_id="", tool=tool, status=result.status, summary=result.summary)
        return ToolOutcome(action=action, value=result.value, passages=result.passages)


class Silent:
    async def status(self, phase: str, tool: str | None = None) -> None: ...

    async def text(self, piece: str) -> None: ...

    async def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    question: Question
    reply: BrainReply
    milliseconds: float

    @property
    def cited(self) -> str | None:
        return self.reply.citations[0].article_id if self.reply.citations else None

    @property
    def is_right(self) -> bool:
        return self.cited == self.question.article_id


async def ask(brain: EmbeddedBrain, knowledge: LocalKnowledge, question: Question) -> Asked:
    clock = SystemClock()
    caller = Caller(kind=CallerKind.CUSTOMER, customer_id="bench")
    deadline = Deadline(clock, 20.0)
    turn = TurnInput(
        caller=caller,
        conversation_id="conv_bench",
        turn_id="turn_bench",
        locale="en",
        history=(),
        fresh=(Message("msg_1", 1, MessageRole.CUSTOMER, question.question, clock.now()),),
        state=ConversationState(),
        customer_state=CustomerState(),
        now=clock.now(),
        deadline=deadline,
    )
    call = ToolCall(
        call_id="call", key="key", step=1, caller=caller, conversation_id=turn.conversation_id, turn_id=turn.turn_id,
        locale="en", deadline=deadline,
    )  # fmt: skip
    began = time.perf_counter()
    reply = await brain.respond(turn, SearchTool(knowledge, call), Silent())
    return Asked(question, reply, (time.perf_counter() - began) * 1000)


def invented(reply: BrainReply, bodies: Mapping[str, str], titles: Set[str]) -> list[str]:
    """Lines that are neither in a cited article nor a title nor the brain's own phrase; quotes that are in none."""
    own = {line for phrase in _own_phrases() for line in phrase.splitlines()} | {
        f"- {title}" for title in titles
    }
    cited = [bodies[citation.article_id] for citation in reply.citations]
    letters = [_letters(body) for body in cited]
    wrong = [c.quote for c, body in zip(reply.citations, cited, strict=True) if c.quote not in body]
    if reply.citations:
        for line in reply.text.splitlines():
            said = re.sub(r"^\s*(?:\d+\.|-) | \[\d+\]$", "", line)
            if line not in own and not any(_letters(said) in body for body in letters):
                wrong.append(line)
    return wrong


def _own_phrases() -> list[str]:
    return [value for field in ENGLISH.__slots__ if isinstance(value := getattr(ENGLISH, field), str)]


def _letters(markdown: str) -> str:
    """Letters and digits alone, without the targets of links, so that no mark can hide or make a difference."""
    visible = re.sub(r"!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|<[^<>]*>|\{[^{}]*\}|\[\^[^\]]*\]", "", markdown)
    return "".join(character for character in visible.casefold() if character.isalnum())


async def run(data_dir: Path, embedder: Embedder | None, articles: Sequence[Article]) -> bool:
    bodies = {article.article_id: article.body for article in articles}
    titles = {article.title for article in articles}
    brain = EmbeddedBrain(company="Arduino")
    async with LocalKnowledge(data_dir, embedder) as knowledge:
        asked = [await ask(brain, knowledge, question) for question in questions()]
    answerable = [one for one in asked if one.question.article_id is not None]
    others = [one for one in asked if one.question.article_id is None]
    right = sum(one.is_right for one in answerable)
    unknown = sum(one.is_right for one in others)
    false = [line for one in asked for line in invented(one.reply, bodies, titles)]
    citations = [citation for one in asked for citation in one.reply.citations]
    literal = sum(citation.quote in bodies[citation.article_id] for citation in citations)
    for one in asked:
        if not one.is_right:
            print(
                f"  missed: {one.question.question}\n    wanted {one.question.article_id}, cited {one.cited}"
            )
    print(f"right article cited first: {right} of {len(answerable)} (goal {_GOAL_RIGHT})")
    print(f"not known or asked back: {unknown} of {len(others)} (goal {_GOAL_UNKNOWN})")
    print(f"citations whose quote stands in the article: {literal} of {len(citations)} (goal all)")
    longest = max(len(one.reply.text.split()) for one in asked)
    print(f"words of the longest reply: {longest} (goal {_GOAL_WORDS})")
    print(f"sentences that stand in no cited article: {len(false)} (goal 0)")
    for line in false:
        print(f"  invented: {line}")
    print(
        f"one turn of the brain with its search: p50 {statistics.median(one.milliseconds for one in asked):.1f} ms"
    )
    is_literal = literal == len(citations) and not false
    return right >= _GOAL_RIGHT and unknown >= _GOAL_UNKNOWN and is_literal and longest <= _GOAL_WORDS


async def index(data_dir: Path, embedder: Embedder | None, articles: Sequence[Article]) -> None:
    try:
        IndexFolder(data_dir, DEFAULT_TENANT).current()
    except DependencyUnavailable:
        store = MemoryArticles()
        await store.put(DEFAULT_TENANT, articles)
        indexer = Indexer(store, MemoryEmbeddings(), embedder, data_dir, clock=SystemClock())
        await indexer.embed(articles)
        await indexer.build(DEFAULT_TENANT)


async def fit(data_dir: Path, embedder: Embedder | None) -> None:
    """Print weights, AUROC in ten folds, and what each threshold keeps and refuses."""
    development = [
        msgspec.json.decode(line, type=Question)
        for line in _DEVELOPMENT.read_text(encoding="utf-8").splitlines()
    ]
    others = _questions_of_other_sets()
    async with LocalKnowledge(data_dir, embedder) as knowledge:
        found = [
            (
                features_of(question.question, passages[0])
                if (passages := await _found(knowledge, question))
                else _NOTHING
            )
            for question in (*development, *others)
        ]
    names = ("cosine", "coverage") if embedder is not None else ("lexical", "coverage", "in_title")
    features = np.array([[getattr(one, name) or 0.0 for name in names] for one in found])
    answers = np.array([one.article_id is not None for one in (*development, *others)])
    is_near = np.arange(len(found)) < len(development)
    positives = int(answers.sum())
    # Unanswerable questions weigh as much as answerable ones, and half of that weight lies on those near to the subject.
    near = int((is_near & ~answers).sum())
    weights = np.where(answers, 1.0, np.where(is_near, positives / 2 / near, positives / 2 / len(others)))

    fold = np.random.default_rng(_SEED).permutation(len(found)) % _FOLDS
    held_out = np.zeros(len(found))
    for number in range(_FOLDS):
        seen = fold != number
        held_out[~seen] = probabilities(
            features[~seen], logistic(features[seen], answers[seen], weights[seen])
        )
    *fitted, bias = logistic(features, answers, weights)
    print(
        {name: round(float(weight), 2) for name, weight in zip(names, fitted, strict=True)},
        f"bias {bias:.2f}",
    )
    print(f"AUROC in {_FOLDS} folds, development questions: {auroc(held_out[is_near], answers[is_near]):.3f}")
    print("threshold  answerable kept  development refused  other sets refused")
    for threshold in np.arange(0.1, 0.85, 0.1):
        kept = held_out >= threshold
        print(
            f"{threshold:9.1f}  {kept[answers].mean():15.2f}  {(~kept)[is_near & ~answers].mean():19.2f}"
            f"  {(~kept)[~is_near].mean():18.2f}"
        )


_NOTHING = Features(cosine=0.0, lexical=0.0, coverage=0.0, in_title=0.0)


async def _found(knowledge: LocalKnowledge, question: Question) -> tuple[Passage, ...]:
    return (await knowledge.search(DEFAULT_TENANT, question.question, limit=5)).passages


def _questions_of_other_sets() -> list[Question]:
    chance = random.Random(_SEED)
    clinc = json.loads((_DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))
    with (_DATA / "banking77/train.csv").open(encoding="utf-8", newline="") as file:
        banking = [row["text"] for row in csv.DictReader(file)]
    texts = [text for text, _ in chance.sample(clinc["oos_val"], 100) + chance.sample(clinc["val"], 150)]
    texts += chance.sample(banking, _FROM_OTHER_SETS - len(texts))
    return [Question(text) for text in texts]


def logistic(features: Matrix, answers: npt.NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Newton's method on the regularised likelihood; the bias comes last and is not regularised."""
    inputs = np.c_[features, np.ones(len(features))]
    ridge = np.diag([0.02] * features.shape[1] + [1e-9])
    coefficients = np.zeros(inputs.shape[1])
    for _ in range(50):
        expected = 1 / (1 + np.exp(-inputs @ coefficients))
        slope = inputs.T @ (weights * (expected - answers)) + ridge @ coefficients
        curvature = (inputs * (weights * expected * (1 - expected))[:, None]).T @ inputs + ridge
        coefficients -= np.linalg.solve(curvature, slope)
    return coefficients


def probabilities(features: Matrix, coefficients: Matrix) -> Matrix:
    probabilities: Matrix = 1 / (1 + np.exp(-np.c_[features, np.ones(len(features))] @ coefficients))
    return probabilities


def auroc(scores: Matrix, answers: npt.NDArray[np.bool_]) -> float:
    above = scores[answers][:, None] - scores[~answers][None, :]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


async def _main(data_dir: Path, *, fits: bool) -> bool:
    articles = [
        one
        for one in read_articles(_DATA / "arduino_help_center/articles.jsonl", source="bench")
        if isinstance(one, Article)
    ]
    embedder = load_embedder(threads=2)
    if embedder is None:
        print("The semantic extra is not installed: pip install 'careline[semantic]'")
        return False
    await index(data_dir, embedder, articles)
    one_thread = load_embedder()
    if one_thread is not None:
        await one_thread.open()
    if fits:
        for used in (one_thread, None):
            print("with vectors" if used is not None else "with words alone")
            await fit(data_dir, used)
    print("with vectors")
    reached = await run(data_dir, one_thread, articles)
    print("with words alone (no goal)")
    await run(data_dir, None, articles)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, help="folder to keep the index in")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    with nullcontext(options.index) if options.index else tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(_main(Path(folder), fits=options.fit)):
            sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
