"""
What enters a turn and what comes out of it while it runs: the values between the HTTP interface and the pipeline.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from core.identity import Caller
from core.messages import Durability, Message, TurnResult
from state.store import ConversationRecord, TurnRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A validated message. `caller.customer_id` is None only where a customer has to be made up for a new conversation."""

    caller: Caller
    message: str
    conversation_id: str | None = None
    client_message_id: str | None = None
    locale: str | None = None
    channel: str = "api"
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An accepted message; `result` is set when its turn is finished already."""

    conversation_id: str
    turn_id: str
    message_id: str
    durability: Durability
    result: TurnResult | None = None


class Status(msgspec.Struct, frozen=True):
    phase: str
    tool: str | None = None


class Delta(msgspec.Struct, frozen=True):
    text: str


class Reset(msgspec.Struct, frozen=True):
    pass


class Drain(msgspec.Struct, frozen=True):
    """The server is going away; the turn goes on elsewhere or here, and can be asked for after `retry_ms`."""

    retry_ms: int


class Finished(msgspec.Struct, frozen=True):
    """The last event of a turn. `error` is the exception's text for the log, set when the turn ended without an answer."""

    result: TurnResult | None
    error: Exception | None = None


TurnEvent = Status | Delta | Reset | Drain | Finished


class Turns(Protocol):
    """What the HTTP interface, the terminal and replay need of the turn pipeline. Implemented by `agent.turn.pipeline`."""

    async def submit(self, request: ChatRequest) -> Submission:
        """
        Store the message durably and see to it that a turn answers it.

        Raises:
            NotFound: the conversation is unknown or somebody else's.
            Conflict: the client_message_id was used for something else.
            DependencyUnavailable: nothing was stored (neither SQL nor a durable Redis took it).
        """
        ...

    async def wait(self, tenant: str, turn_id: str, *, seconds: float) -> TurnResult | None:
        """The turn's result, from whichever replica runs it; None when it is not there in time."""
        ...

    def events(self, tenant: str, turn_id: str, *, after: int = 0) -> AsyncIterator[tuple[int, TurnEvent]]:
        """
        (n, event) with growing n, ending with `Finished` or `Drain`, on whichever replica the turn runs.

        `after` is the number last heard, from this replica or another. The text since the last reset, over all that was ever
        heard, is the reply when `Finished` comes.
        """
        ...

    async def stop(self, tenant: str, turn_id: str) -> None:
        """
        Ask the turn to end with what it has, wherever it runs; a call of a tool that is under way ends first.

        Raises:
            DependencyUnavailable, DependencyTimeout: nobody who runs it could be told.
        """
        ...

    @property
    def leaving(self) -> asyncio.Event:
        """Set when this replica begins to go away."""
        ...

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None: ...

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None: ...

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]: ...

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None: ...
