"""
Who a recording is replayed to: the turn pipeline in this process, or a running service over HTTP.
"""

from typing import Protocol

import httpx
import msgspec

from agent.turn.inputs import ChatRequest, Turns
from core.clock import Clock
from core.errors import CarelineError, DependencyTimeout
from core.http import raise_for_answer, translate
from core.identity import Caller, CallerKind
from core.messages import TurnResult
from core.resilience.deadline import Deadline

_CHANNEL = "replay"
_FIRST_WAIT_SECONDS = 0.5


class ReplayTarget(Protocol):
    async def say(
        self, text: str, *, conversation_id: str | None, customer_id: str | None, client_message_id: str
    ) -> TurnResult:
        """
        The agent's answer to one customer message; the first message of a conversation has no `conversation_id` yet.

        Raises:
            CarelineError: there is no answer, after all retries that make sense.
        """
        ...


class InProcessTarget:
    def __init__(self, turns: Turns, *, deadline_seconds: float) -> None:
        self._turns = turns
        self._deadline_seconds = deadline_seconds

    async def say(
        self, text: str, *, conversation_id: str | None, customer_id: str | None, client_message_id: str
    ) -> TurnResult:
        caller = Caller(kind=CallerKind.LOCAL, customer_id=customer_id)
        submission = await self._turns.submit(
            ChatRequest(
                caller=caller,
                message=text,
                conversation_id=conversation_id,
                client_message_id=client_message_id,
                channel=_CHANNEL,
            )
        )
        result = submission.result or await self._turns.wait(
            caller.tenant, submission.turn_id, seconds=self._deadline_seconds
        )
        if result is None:
            raise DependencyTimeout("agent", f"no answer within {self._deadline_seconds:g} s")
        return result


class HttpTarget:
    """
    A service that speaks docs/api.md.

    A message that finds no answer (429, 5xx, no connection) is sent again with the same id, for `patience_seconds` in all.
    """

    def __init__(self, client: httpx.AsyncClient, *, patience_seconds: float, clock: Clock) -> None:
        self._client = client
        self._patience_seconds = patience_seconds
        self._clock = clock

    async def say(
        self, text: str, *, conversation_id: str | None, customer_id: str | None, client_message_id: str
    ) -> TurnResult:
        body = {"message": text, "client_message_id": client_message_id, "channel": _CHANNEL}
        if conversation_id is not None:
            body["conversation_id"] = conversation_id
        if customer_id is not None:
            body["customer_id"] = customer_id
        patience = Deadline(self._clock, self._patience_seconds)
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                return await self._post(body)
            except CarelineError as exc:
                pause = wait_seconds if exc.retry_after is None else exc.retry_after
                if not exc.may_retry or pause > patience.remaining():
                    raise
            await self._clock.sleep(pause)
            wait_seconds *= 2

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
