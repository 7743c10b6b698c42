"""
Train a company's intents from its examples, and choose the threshold on examples that were held out.

Needs scikit-learn (the extra `train`); what comes out is served without it. How the numbers here were chosen stands in
docs/quality.md: on training and validation parts, never on a test set.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from agent.intents.evaluation import Judged, choose_threshold, figures
from agent.intents.examples import ExampleSet, check_trainable
from agent.intents.judging import embedded, judge
from agent.intents.model import MEANING_SHARE, IntentModel, Manifest, Weights
from agent.intents.terms import Floats, Vocabulary
from core.errors import ToolMisconfigured
from tools.knowledge.embed import Embedder

FEW_EXAMPLES = 10
"""With a median of so many for each intent or fewer, words are too rare to learn from: their meaning alone counts."""

_FOLDS = 5
_MANY = 2000
_FOLDS_OF_MANY = 3
"""Where training takes a minute, and each fold holds plenty."""

_SEED = 20261128

_LEAST_LEFT_OUT_OF = 4
"""With fewer intents, leaving one out would leave too little."""

_FEW_STRENGTH = 30.0
_EVEN_SHARE = 0.6
_HYBRID_STRENGTH = 1.0
_SHARPNESS = 2.0
"""What a margin of the support-vector machine is multiplied by before the softmax."""

_NEARNESS: Mapping[str, tuple[float, ...]] = {
    "words": (0.0,),
    "meaning": (7.0,),
    "hybrid": (0.0, 1.0 * _SHARPNESS, 2.0 * _SHARPNESS, 3.0 * _SHARPNESS),
}
"""What a cosine to an example counts. Which one is best differs between sets: what is held out decides."""

_LEAST_OTHERS = 20
"""Texts that are none of the intents; fewer say too little of what there is besides."""

_MOST_KNOWN = 100
"""Examples of an intent that nearness is measured to; chosen far from one another where there are more."""

Labels = npt.NDArray[np.int64]
Method = Literal["words", "meaning", "hybrid"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts with their vectors, the number of each one's intent, and -1 for what is none."""

    texts: tuple[str, ...]
    vectors: Floats | None
    labels: Labels

    def of(self, chosen: npt.NDArray[Any]) -> "_Texts":
        """By a mask or by positions."""
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return _Texts(
            tuple(self.texts[one] for one in chosen),
            None if self.vectors is None else self.vectors[chosen],
            self.labels[chosen],
        )


def check_installed() -> None:
    """Raises ToolMisconfigured: scikit-learn is missing."""
    if find_spec("sklearn") is None:
        raise ToolMisconfigured(
            "training needs scikit-learn, which is not installed: pip install 'careline[train]'"
        )


async def train(
    examples: ExampleSet,
    embedder: Embedder | None,
    *,
    validation: ExampleSet | None = None,
    progress: Progress = lambda phase, done, whole: None,
) -> IntentModel:
    """
    `validation` holds examples that take no part in training, to choose the threshold by. Without it, folds of the examples are
    held out in turn, and with each fold some whole intents: their examples stand for what customers say besides.

    Raises:
        ValidationFailed: too few examples, or contradicting ones.
        ToolMisconfigured: scikit-learn is missing.
        DependencyUnavailable: the embedder does not run.
    """
    check_installed()
    check_trainable(examples)
    names = [intent.name for intent in examples.intents]
    given = await _embedded(examples, names, embedder)
    own, others = given.of(given.labels >= 0), given.of(given.labels < 0)
    labels = await _labels(examples, embedder)
    method = _method(own)
    progress("train", 0, 1)
    model = IntentModel(
        Manifest(
            embedder=None if embedder is None else embedder.name,
            names=tuple(names),
            services=tuple(intent.service for intent in examples.intents),
            threshold=1.0,
            method=method,
            examples=len(own.texts),
        ),
        await asyncio.to_thread(_fitted, method, own, others, labels),
    )
    progress("train", 1, 1)
    if validation is not None:
        judged = _judged(model, *await embedded(names, validation, embedder))
    else:
        judged = {}
        folds = _FOLDS if len(own.texts) < _MANY else _FOLDS_OF_MANY
        for number in range(folds):
            progress("hold out", number, folds)
            fold = await asyncio.to_thread(_fold, method, own, others, labels, number=number, folds=folds)
            judged = {nearness: judged.get(nearness, []) + some for nearness, some in fold.items()}
        progress("hold out", folds, folds)
    nearness = max(judged, key=lambda each: _worth(judged[each]))
    threshold = choose_threshold(judged[nearness])
    return model.with_nearness(nearness).with_threshold(threshold, figures(judged[nearness], threshold))


def _worth(judged: Sequence[Judged]) -> tuple[float, float]:
    """By which one nearness is better than another: right readings, then what threshold and refusals leave of them."""
    found = figures(judged, choose_threshold(judged))
    return found["accuracy"], found["in_scope"] + found.get("out_of_scope_recall", 0.0)


def _judged(
    model: IntentModel, texts: Sequence[str], vectors: Floats | None, wanted: Sequence[str | None]
) -> dict[float, list[Judged]]:
    """By each nearness that comes into question."""
    return {
        nearness: judge(model.with_nearness(nearness), texts, vectors, wanted)
        for nearness in _NEARNESS[model.manifest.method]
    }


async def _embedded(examples: ExampleSet, names: Sequence[str], embedder: Embedder | None) -> _Texts:
    numbers = {name: number for number, name in enumerate(names)}
    pairs = [(text, numbers.get(name, -1)) for text, name in examples.labelled()]
    pairs += [(text, -1) for text in examples.others]
    texts = tuple(text for text, _ in pairs)
    vectors = None if embedder is None else await embedder.embed(texts)
    return _Texts(texts, vectors, np.array([label for _, label in pairs], np.int64))


async def _labels(examples: ExampleSet, embedder: Embedder | None) -> _Texts:
    texts = tuple(intent.label for intent in examples.intents)
    vectors = None if embedder is None else await embedder.embed(texts)
    return _Texts(texts, vectors, np.arange(len(texts)))


def _fold(
    method: Method, own: _Texts, others: _Texts, labels: _Texts, *, number: int, folds: int
) -> dict[float, list[Judged]]:
    """
    Trained without a part of the examples and without some intents at all, judged on both.

    The intents left out stand for what belongs to none; with enough texts given for that, and with few intents, none is left out.
    """
    part = _parts(own.labels, folds)
    part_of_others = _parts(others.labels, folds)
    leaves_out = len(labels.texts) >= _LEAST_LEFT_OUT_OF and len(others.texts) < _LEAST_OTHERS
    is_left_out = (np.arange(len(labels.texts)) % folds == number) & leaves_out
    seen = own.of((part != number) & ~is_left_out[own.labels])
    present, seen_labels = np.unique(seen.labels, return_inverse=True)
    names = tuple(str(label) for label in present)
    weights = _fitted(
        method,
        replace(seen, labels=seen_labels),
        others.of(part_of_others != number),
        replace(labels.of(present), labels=np.arange(len(present))),
    )
    manifest = Manifest(
        embedder=None,
        names=names,
        services=(None,) * len(names),
        threshold=1.0,
        method=method,
        examples=len(seen.texts),
    )
    held_out = own.of((part == number) | is_left_out[own.labels])
    strangers = others.of(part_of_others == number)
    wanted = [None if is_left_out[label] else str(label) for label in held_out.labels]
    vectors = None
    if held_out.vectors is not None and strangers.vectors is not None:
        vectors = np.concatenate([held_out.vectors, strangers.vectors])
    return _judged(
        IntentModel(manifest, weights),
        held_out.texts + strangers.texts,
        vectors,
        wanted + [None] * len(strangers.texts),
    )


def _parts(labels: Labels, folds: int) -> Labels:
    """Which fold holds each text out: those of an intent are spread evenly."""
    chance = np.random.default_rng(_SEED)
    part = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels == label)
        part[chance.permutation(of_label)] = np.arange(len(of_label)) % folds
    return part


def _method(own: _Texts) -> Method:
    if own.vectors is None:
        return "words"
    return "meaning" if float(np.median(np.bincount(own.labels))) <= FEW_EXAMPLES else "hybrid"


def _fitted(method: Method, own: _Texts, others: _Texts, labels: _Texts) -> Weights:
    """Labels are 0, 1, 2 … without a gap, each with an example. Enough others make one more column, of what is none of them."""
    if method == "meaning":
        # With a handful of examples, an intent's name in words is one more that is worth as much.
        own = _joined(own, labels)
    if len(others.texts) >= _LEAST_OTHERS:
        own = _joined(own, replace(others, labels=np.full(len(others.texts), len(labels.texts))))
    if method != "meaning" or own.vectors is None:
        return _support_vectors(own)
    return _logistic(own.vectors, own.labels)


def _joined(one: _Texts, other: _Texts) -> _Texts:
    vectors = None
    if one.vectors is not None and other.vectors is not None:
        vectors = np.concatenate([one.vectors, other.vectors])
    return _Texts(one.texts + other.texts, vectors, np.concatenate([one.labels, other.labels]))


def _logistic(vectors: Floats, labels: Labels) -> Weights:
    from sklearn.linear_model import LogisticRegression

    turn = _evened(vectors, labels)
    turned = vectors @ turn
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    fitted = LogisticRegression(C=_FEW_STRENGTH, max_iter=500, tol=1e-3).fit(turned, labels)
    of_meaning, bias = _columns(fitted.coef_, fitted.intercept_)
    known, known_from = _known(turned, labels)
    return Weights(
        vocabulary=Vocabulary.of(()),
        of_terms=np.empty((0, len(bias)), np.float16),
        of_meaning=of_meaning,
        turn=turn,
        bias=bias,
        known=known,
        known_from=known_from,
    )


def _support_vectors(own: _Texts) -> Weights:
    from scipy.sparse import csr_array, hstack
    from sklearn.svm import LinearSVC

    vocabulary = Vocabulary.of(own.texts)
    weighed = [vocabulary.weigh(text) for text in own.texts]
    ends = np.cumsum([0, *(len(where) for where, _ in weighed)])
    rows = csr_array(
        (
            np.concatenate([weight for _, weight in weighed]),
            np.concatenate([where for where, _ in weighed]).astype(np.int32),
            ends.astype(np.int32),
        ),
        shape=(len(own.texts), len(vocabulary.keys)),
    )
    inputs = (
        rows if own.vectors is None else hstack([rows, csr_array(MEANING_SHARE * own.vectors)], format="csr")
    )
    fitted = LinearSVC(C=_HYBRID_STRENGTH, tol=1e-3, random_state=_SEED).fit(inputs, own.labels)
    weights, bias = _columns(fitted.coef_ * _SHARPNESS, fitted.intercept_ * _SHARPNESS)
    terms = len(vocabulary.keys)
    known, known_from = _no_known(bias) if own.vectors is None else _known(own.vectors, own.labels)
    return Weights(
        vocabulary=vocabulary,
        of_terms=weights[:terms].astype(np.float16),
        of_meaning=weights[terms:] * MEANING_SHARE,
        turn=np.empty((0, 0), np.float32),
        bias=bias,
        known=known,
        known_from=known_from,
    )


def _columns(rows: npt.NDArray[Any], bias: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """scikit-learn knows two classes by one row of weights."""
    if len(rows) == 1:
        rows, bias = np.concatenate([-rows, rows]), np.concatenate([-bias, bias])
    return np.ascontiguousarray(rows.T, np.float32), bias.astype(np.float32)


def _evened(vectors: Floats, labels: Labels) -> Floats:
    """
    The directions in which the examples of one intent differ, made smaller: half-way to equal spread, which is all that few
    examples can teach. Bought .3 points of accuracy with 10 examples an intent, .5 with 5 (docs/quality.md).
    """
    centres = np.stack([vectors[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    apart = vectors - centres[labels]
    spread = apart.T @ apart / len(apart)
    even = np.trace(spread) / len(spread) * np.eye(len(spread))
    sizes, directions = np.linalg.eigh((1 - _EVEN_SHARE) * spread + _EVEN_SHARE * even)
    turn: Floats = (directions * sizes**-0.25).astype(np.float32)
    return turn


def _known(vectors: Floats, labels: Labels) -> tuple[Floats, Labels]:
    """The examples that nearness is measured to, intent by intent, and where each intent's begin."""
    chosen = [_spread(np.flatnonzero(labels == label), vectors) for label in range(labels.max() + 1)]
    return vectors[np.concatenate(chosen)], np.cumsum([0, *(len(each) for each in chosen[:-1])])


def _no_known(bias: Floats) -> tuple[Floats, Labels]:
    return np.empty((0, 0), np.float32), np.zeros(len(bias), np.int64)


def _spread(members: Labels, vectors: Floats) -> Labels:
    """All of them, or as many as are kept: each the farthest from those before it."""
    if len(members) <= _MOST_KNOWN:
        return members
    own = vectors[members]
    chosen = [int((own @ own.mean(axis=0)).argmax())]
    apart = 1 - own @ own[chosen[0]]
    while len(chosen) < _MOST_KNOWN:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, 1 - own @ own[chosen[-1]])
    spread: Labels = members[np.sort(chosen)]
    return spread
