"""
Who a recording is replayed to: the turn pipeline in this process, or a running service over HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import msgspec

from agent.replay.endings import Effect
from agent.replay.log import RecordedConversation
from agent.replay.rows import Finding, ReplayedTool
from core.clock import Clock
from core.errors import CarelineError, DependencyTimeout
from core.http import raise_for_answer, translate
from core.messages import Message, TurnResult
from core.resilience.deadline import Deadline

CHANNEL = "replay"
_FIRST_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One customer message on its way; the first of a conversation has no `conversation_id` yet."""

    text: str
    turn: int
    conversation_id: str | None
    customer_id: str | None
    client_message_id: str
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """
    `refused_seconds` is how long the message was refused, honestly and to be sent again, before it was taken. The rest can be
    seen from inside of the process alone.
    """

    result: TurnResult
    refused_seconds: float = 0.0
    tools: tuple[ReplayedTool, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    articles: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left of a conversation that has ended; None where it cannot be seen."""

    messages: Sequence[Message] | None = None
    effects: Sequence[Effect] | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Mishap:
    """What a turn met, whether it was answered or not."""

    faults: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())


class ReplayTarget(Protocol):
    async def begin(self, conversation: RecordedConversation, customer_id: str) -> None: ...

    async def say(self, said: Said) -> Answered:
        """
        The agent's answer to one customer message.

        Raises:
            CarelineError: there is no answer, after all retries that make sense.
        """
        ...

    def met(self) -> Mishap:
        """Of the turn that has just ended."""
        ...

    async def end(self, conversation_id: str | None, customer_id: str) -> Outcome:
        """Once everything that was promised had its time."""
        ...


class HttpTarget:
    """
    A service that speaks docs/api.md.

    A message that finds no answer (429, 5xx, no connection) is sent again with the same id, for `patience_seconds` in all.
    """

    def __init__(self, client: httpx.AsyncClient, *, patience_seconds: float, clock: Clock) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._clock = clock

    async def begin(self, conversation: RecordedConversation, customer_id: str) -> None:
        pass

    async def say(self, said: Said) -> Answered:
        body = {"message": said.text, "client_message_id": said.client_message_id, "channel": CHANNEL}
        for name, value in (
            ("conversation_id", said.conversation_id),
            ("customer_id", said.customer_id),
            ("locale", said.locale),
        ):
            if value is not None:
                body[name] = value
        began = self._clock.monotonic()
        patience = Deadline(self._clock, self._patience_seconds)
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            sent = self._clock.monotonic()
            try:
                return Answered(result=await self._post(body), refused_seconds=sent - began)
            except CarelineError as exc:
                pause = wait_seconds if exc.retry_after is None else exc.retry_after
                if not exc.may_retry or pause > patience.remaining():
                    raise
            await self._clock.sleep(pause)
            wait_seconds *= 2

    def met(self) -> Mishap:
        return Mishap()

    async def end(self, conversation_id: str | None, customer_id: str) -> Outcome:
        return Outcome()

    async def _post(self, body: dict[str, str]) -> TurnResult:
        try:
            response = await self._client.post("/v1/chat", json=body)
        except httpx.HTTPError as exc:
            raise translate("agent", exc) from exc
        raise_for_answer("agent", response)
        result = msgspec.json.decode(response.content, type=TurnResult)
        if result.reply is None:
            raise DependencyTimeout("agent", "accepted, but not answered within the service's deadline")
        return result
