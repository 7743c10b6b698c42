"""
What a turn did, noted while it does it, so that an operator can read afterwards why it answered as it did.

Whoever does something worth knowing says `note`; where no turn is being explained, that does nothing. What is noted here is
as it was: it is redacted by whoever keeps it. Whoever was answered by something outside says `record`, where it is wanted that
the turn can be replayed without it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from core.clock import Clock

_MOST_STEPS = 200


class Step(msgspec.Struct, frozen=True):
    """`kind` is one of docs/explain.md, `at_ms` counts from the turn's beginning, `facts` belong to the kind."""

    kind: str
    at_ms: float
    facts: Mapping[str, Any]


class TurnExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """As it is kept: `steps` have `kind`, `at_ms` and the kind's own facts, redacted; `left_out` is how many more there were."""

    noted_at: datetime
    steps: tuple[dict[str, Any], ...]
    left_out: int = 0


class TurnRecording(msgspec.Struct, frozen=True, kw_only=True):
    """
    As it is kept: `calls` of tools and models in the order of their ends, each with the fields of a log line's message
    (docs/recordings.md); `left_out` is how many more there were than there was room for.
    """

    versions: dict[str, str]
    calls: tuple[dict[str, Any], ...]
    left_out: int = 0


class KeptExplanation(NamedTuple):
    """`body` is for whoever wrote it (`agent.workers.explanations`)."""

    tenant: str
    turn_id: str
    body: bytes


class Explanation:
    """
    Of one run of one turn; `steps` are in the order in which they were noted, at most 200. `recorded` are the calls of tools and
    models, None where nobody wants them.
    """

    def __init__(self, clock: Clock, *, is_recorded: bool = False) -> None:
        self._clock = clock
        self.recorded: list[dict[str, Any]] | None = [] if is_recorded else None
        self.versions: dict[str, str] = {}
        self._began = clock.monotonic()
        self._attempts: dict[str, int] = {}
        self.steps: list[Step] = []
        self.left_out = 0

    def note(self, kind: str, facts: Mapping[str, Any]) -> None:
        if len(self.steps) >= _MOST_STEPS:
            self.left_out += 1
            return
        self.steps.append(Step(kind, round((self._clock.monotonic() - self._began) * 1000, 2), facts))

    def record(self, call: Mapping[str, Any]) -> None:
        if self.recorded is not None:
            self.recorded.append({"at": self._clock.now().isoformat(), **call})

    def attempted(self, dependency: str) -> None:
        self._attempts[dependency] = self._attempts.get(dependency, 0) + 1

    def attempts(self, dependency: str) -> int:
        return self._attempts.get(dependency, 0)


_current: ContextVar[Explanation | None] = ContextVar("explanation", default=None)


@contextmanager
def explaining(explanation: Explanation | None) -> Iterator[None]:
    """What is noted inside, also in tasks that begin inside, belongs to `explanation`; None: nobody wants to know."""
    token = _current.set(explanation)
    try:
        yield
    finally:
        _current.reset(token)


def note(kind: str, **facts: Any) -> None:
    explanation = _current.get()
    if explanation is not None:
        explanation.note(kind, facts)


def is_explained() -> bool:
    """Whether facts that cost something to gather are worth it."""
    return _current.get() is not None


def is_recorded() -> bool:
    """Whether what tools and models answer to this turn is kept."""
    explanation = _current.get()
    return explanation is not None and explanation.recorded is not None


def record(role: Literal["tool", "model"], **facts: Any) -> None:
    """One call and its answer, in the words of a log line's message; nothing where `is_recorded` is false."""
    explanation = _current.get()
    if explanation is not None:
        explanation.record({"role": role, **facts})


def used(part: str, version: object) -> None:
    """Which version of a part of the installation the turn was answered with, for its recording."""
    explanation = _current.get()
    if explanation is not None and explanation.recorded is not None:
        explanation.versions[part] = str(version)


def count_attempt(dependency: str) -> None:
    explanation = _current.get()
    if explanation is not None:
        explanation.attempted(dependency)


def attempts_at(dependency: str) -> int:
    """Of the turn so far; 0 where none is explained."""
    explanation = _current.get()
    return explanation.attempts(dependency) if explanation is not None else 0
