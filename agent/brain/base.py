"""
The port of a brain: what it is told, what it may use, what it gives back.

A brain decides and words; it stores nothing, opens nothing, and never learns who failed why beyond a `ToolOutcome`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core.identity import Caller
from core.messages import BrainName, Citation, Message, TurnStatus
from core.resilience.deadline import Deadline
from state.models import ConversationState, CustomerState
from tools.protocol import ToolOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnInput:
    """`fresh` are the customer's messages to be answered together, oldest first; `history` is what was said before."""

    caller: Caller
    conversation_id: str
    turn_id: str
    locale: str
    history: tuple[Message, ...]
    fresh: tuple[Message, ...]
    state: ConversationState
    customer_state: CustomerState
    now: datetime
    deadline: Deadline

    @property
    def text(self) -> str:
        """All fresh messages, one a line."""
        return "\n".join(message.text for message in self.fresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """
    What a turn took of its language model; `cost` in the currency of the prices that are set. `is_reported` where its server
    counted all of it, else some is estimated.
    """

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    is_reported: bool = True


NOTHING_SPENT = Spent()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrainReply:
    """
    `text` is exactly the sentences emitted since the last reset, joined as they were emitted.

    `degraded` holds the (feature, dependency) pairs that the brain itself had to do without, e.g. `(conversation, model)`; what
    its tools had to do without stands in their outcomes. `spent` is None where a model was asked and nobody knows what it took.
    """

    text: str
    state: ConversationState
    citations: tuple[Citation, ...] = ()
    quick_replies: tuple[str, ...] = ()
    status: TurnStatus = TurnStatus.ANSWERED
    brain: BrainName = "embedded"
    model: str | None = None
    degraded: tuple[tuple[str, str], ...] = ()
    spent: Spent | None = NOTHING_SPENT


class ToolCaller(Protocol):
    """The tools, bound to the turn's caller. Counts steps itself, so each call has its own key."""

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        """
        Never raises for a failing tool; cancellation passes through. `asks_first`: the customer has not asked for it, so that
        nothing is done before their yes.
        """
        ...


class Emitter(Protocol):
    """What the customer sees while the turn runs."""

    async def status(self, phase: str, tool: str | None = None) -> None: ...

    async def text(self, piece: str) -> None:
        """A whole piece of the reply, ready to be shown: sentences, with their own spacing."""
        ...

    async def reset(self) -> None:
        """Forget what was shown so far: the answer begins again."""
        ...


class Brain(Protocol):
    name: BrainName

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply: ...
