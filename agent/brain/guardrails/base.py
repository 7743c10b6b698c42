"""
What a guardrail is: it lets a text pass, changes it, or refuses it, and says beforehand what its own failure means.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agent.brain.guardrails.wording import SentenceName


class Fails(StrEnum):
    """What a guardrail that itself fails does to the turn."""

    OPEN = "open"
    """The text passes unchecked."""
    CLOSED = "closed"
    """The text does not pass."""


@dataclass(frozen=True, slots=True)
class Passed:
    """`text` is what goes on: the same, or with something taken out."""

    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """`said` in place of an answer: one of our sentences, with its facts, or a company's own."""

    sentence: SentenceName
    facts: tuple[tuple[str, str], ...] = ()
    said: str | None = None


class Guardrail(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def fails(self) -> Fails: ...

    async def check(self, text: str, locale: str) -> Passed | Refused:
        """May raise anything; `fails` says what that means."""
        ...


class Mask(Guardrail, Protocol):
    """A guardrail that takes things out of a text; it looks at twenty messages a turn, most of which hold nothing of the kind."""

    def may_concern(self, text: str) -> bool:
        """False where `check` would let the text pass as it is."""
        ...


class GuardrailMetrics(Protocol):
    """Implemented by `core.telemetry.metrics`."""

    def guardrail_acted(self, guardrail: str, *, action: str) -> None: ...
