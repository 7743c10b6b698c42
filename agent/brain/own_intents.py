"""
The port to a company's own intents: what a trained reader says of a customer's words, and what serves each.

Who trained it and how it reads is `agent.intents`'; carrying an intent out is left to the brain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class ServedBy(StrEnum):
    FLOW = "flow"
    """A dialogue, by its name."""
    TOOL = "tool"
    """A tool that changes nothing, by its name, with arguments that are always the same."""
    ARTICLE = "article"
    """A help article, by its id."""
    ANSWER = "answer"
    """The company's own words, as they stand."""
    HANDOFF = "handoff"
    """A person; the target is empty."""


@dataclass(frozen=True, slots=True)
class Service:
    """`arguments` are a tool's."""

    by: ServedBy
    target: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredIntent:
    """`score` is between 0 and 1; `service` is None where the company only wants to know."""

    name: str
    score: float
    service: Service | None = None


class IntentReader(Protocol):
    async def read(self, text: str) -> Sequence[ScoredIntent]:
        """
        The intents that reach the threshold, best first; empty for what is none of the company's.

        Raises:
            DependencyUnavailable: ("vectors") the text cannot be read. Never an empty result for that.
        """
        ...
