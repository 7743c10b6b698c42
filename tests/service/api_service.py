"""
The HTTP interface on a real socket, over turns that live in memory.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from agent.api.limits import rate_limits
from agent.api.parts import ControlParts, ServiceParts
from agent.app import create_app
from agent.turn.inputs import ChatRequest, Delta, Finished, Status, Submission, TurnEvent
from core.clock import SystemClock
from core.errors import Conflict, DependencyUnavailable, NotFound
from core.explanation import TurnExplanation
from core.ids import derived_id, new_id
from core.messages import Citation, Durability, Message, MessageRole, Reply, TurnResult, TurnStatus, Usage
from core.records import Feedback
from core.resilience.degradation import DependencyStatus
from core.settings import Settings
from core.telemetry.metrics import Metrics
from state.store import ConversationRecord, TurnRecord

VISITOR_SECRET = b"a secret for visitors, 32 bytes long"


class SpyLog:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.events.append({"event": event, **facts})

    warning = info
    error = info


class MovableClock(SystemClock):
    """The system's clock, some seconds on."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(super().now().timestamp() + self.ahead_seconds, tz=UTC)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_seconds


Script = Sequence[TurnEvent | float]
"""What a turn does: events, and pauses in seconds. Without a `Finished` the reply is what the deltas say."""


class MemoryTurns:
    """Turns that answer by a script, each a task of its own, as `agent.turn.pipeline` runs them."""

    def __init__(self) -> None:
        self.script: Script = (Status("thinking"), Delta("You can "), Delta("return it."))
        self.submitted: list[ChatRequest] = []
        self.is_away = False
        self.usage: Usage | None = None
        self.stopped: list[str] = []
        self.leaving = asyncio.Event()
        self._conversations: dict[tuple[str, str], ConversationRecord] = {}
        self._messages: dict[str, list[Message]] = {}
        self._turns: dict[tuple[str, str], TurnRecord] = {}
        self._events: dict[str, list[TurnEvent]] = {}
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, request: ChatRequest) -> Submission:
        if self.is_away:
            raise DependencyUnavailable("sql", "host db-7.internal refused", retry_after=3.2)
        caller = request.caller
        key = request.client_message_id or new_id("cm")
        conversation_id = request.conversation_id or derived_id("conv", caller.tenant, caller.principal, key)
        known = self._conversations.get((caller.tenant, conversation_id))
        if request.conversation_id is not None and known is None:
            raise NotFound
        customer_id = caller.customer_id or (known.customer_id if known else new_id("cust"))
        if known is not None and known.customer_id != customer_id:
            raise NotFound
        turn_id = derived_id("turn", conversation_id, key)
        message_id = derived_id("msg", conversation_id, key)
        before = self._turns.get((caller.tenant, turn_id))
        if before is not None:
            first = next(each for each in self._messages[conversation_id] if each.message_id == message_id)
            if first.text != request.message:
                raise Conflict
            return Submission(
                conversation_id=conversation_id,
                turn_id=turn_id,
                message_id=message_id,
                durability=Durability.SQL,
                result=before.result,
            )
        self.submitted.append(request)
        self._begin(conversation_id, customer_id, request)
        self._say(
            conversation_id, message_id, MessageRole.CUSTOMER, request.message, turn_id, request=request
        )
        record = TurnRecord(
            tenant=caller.tenant,
            turn_id=turn_id,
            conversation_id=conversation_id,
            customer_id=customer_id,
            message_id=message_id,
            status=TurnStatus.ACCEPTED,
            durability=Durability.SQL,
            result=None,
        )
        self._turns[(caller.tenant, turn_id)] = record
        self._events[turn_id] = []
        task = asyncio.create_task(self._run(record, self.script))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Submission(
            conversation_id=conversation_id, turn_id=turn_id, message_id=message_id, durability=Durability.SQL
        )

    async def wait(self, tenant: str, turn_id: str, *, seconds: float) -> TurnResult | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for _, event in self.events(tenant, turn_id):
                    if isinstance(event, Finished):
                        if event.error is not None:
                            raise event.error
                        return event.result
        return None

    async def events(
        self, tenant: str, turn_id: str, *, after: int = 0
    ) -> AsyncIterator[tuple[int, TurnEvent]]:
        position = after
        while True:
            async with self._changed:
                while len(self._events[turn_id]) <= position:
                    await self._changed.wait()
                event = self._events[turn_id][position]
            position += 1
            yield position, event
            if isinstance(event, Finished):
                return

    async def stop(self, tenant: str, turn_id: str) -> None:
        self.stopped.append(turn_id)

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        return self._turns.get((tenant, turn_id))

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        known = self._conversations.get((tenant, conversation_id))
        return known and replace(known, head=len(self._messages[conversation_id]))

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return [each for each in self._messages[conversation_id] if each.seq > after][:limit]

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        known = self._conversations.get((tenant, conversation_id))
        if known is None or known.customer_id != visitor:
            raise NotFound
        self._conversations[(tenant, conversation_id)] = replace(known, customer_id=customer)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, conversation_id: str, customer_id: str, request: ChatRequest) -> None:
        now = datetime.now(UTC)
        key = (request.caller.tenant, conversation_id)
        self._messages.setdefault(conversation_id, [])
        self._conversations.setdefault(
            key,
            ConversationRecord(
                tenant=request.caller.tenant,
                conversation_id=conversation_id,
                customer_id=customer_id,
                channel=request.channel,
                locale=request.locale,
                created_at=now,
                updated_at=now,
                head=0,
                answered=0,
                last_user=0,
            ),
        )

    def _say(
        self,
        conversation_id: str,
        message_id: str,
        role: MessageRole,
        text: str,
        turn_id: str,
        *,
        request: ChatRequest | None = None,
    ) -> None:
        log = self._messages[conversation_id]
        log.append(
            Message(
                message_id=message_id,
                seq=len(log) + 1,
                role=role,
                text=text,
                at=datetime.now(UTC),
                turn_id=turn_id,
                client_message_id=request.client_message_id if request is not None else None,
                metadata=request.metadata if request is not None else None,
            )
        )

    async def _run(self, record: TurnRecord, script: Script) -> None:
        text = ""
        for step in script:
            if isinstance(step, int | float):
                await asyncio.sleep(step)
                continue
            text += step.text if isinstance(step, Delta) else ""
            await self._tell(record, step)
            if isinstance(step, Finished):
                return
        reply = Reply(
            message_id=new_id("msg"),
            text=text,
            citations=(Citation(1, "returns", "Returns", None, "return it"),),
        )
        result = TurnResult(
            conversation_id=record.conversation_id,
            turn_id=record.turn_id,
            message_id=record.message_id,
            status=TurnStatus.ANSWERED,
            reply=reply,
            usage=self.usage,
        )
        self._say(record.conversation_id, reply.message_id, MessageRole.AGENT, text, record.turn_id)
        self._turns[(record.tenant, record.turn_id)] = replace(
            record, status=TurnStatus.ANSWERED, result=result
        )
        await self._tell(record, Finished(result))

    async def _tell(self, record: TurnRecord, event: TurnEvent) -> None:
        async with self._changed:
            self._events[record.turn_id].append(event)
            self._changed.notify_all()


class MemoryExplained:
    """Implements `agent.api.parts.Explained`."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], TurnExplanation] = {}

    async def of_turn(self, tenant: str, turn_id: str) -> TurnExplanation | None:
        return self.kept.get((tenant, turn_id))


class MemoryFeedback:
    """Implements `agent.api.parts.FeedbackStore`; `failure` is raised in its place."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, str, str, str], Feedback] = {}
        self.failure: Exception | None = None

    async def give(self, tenant: str, given: Feedback) -> None:
        if self.failure is not None:
            raise self.failure
        self.given[tenant, given.conversation_id, given.turn_id, given.given_by] = given

    async def of_turn(self, tenant: str, conversation_id: str, turn_id: str) -> Sequence[Feedback]:
        return [given for key, given in self.given.items() if key[:3] == (tenant, conversation_id, turn_id)]


@dataclass
class Served:
    """What a test holds of a served interface."""

    client: httpx.AsyncClient
    turns: MemoryTurns
    log: SpyLog
    clock: MovableClock
    port: int
    explained: MemoryExplained
    feedback: MemoryFeedback


@contextlib.asynccontextmanager
async def serving(
    *,
    dependencies: Callable[[], Mapping[str, DependencyStatus]] = dict,
    can_serve: Callable[[], bool] = lambda: True,
    identity_client: httpx.AsyncClient | None = None,
    control: ControlParts | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Local mode unless `settings` bring keys; messages are not limited unless they say so."""
    turns, log, clock = MemoryTurns(), SpyLog(), MovableClock()
    explained, feedback = MemoryExplained(), MemoryFeedback()
    chosen = settings_for_tests(**settings)
    limits = rate_limits(chosen, clock=clock, log=log)
    parts = ServiceParts(
        settings=chosen,
        turns=turns,
        dependencies=dependencies,
        can_serve=can_serve,
        limits=limits,
        metrics=Metrics(),
        clock=clock,
        visitor_secret=lambda: VISITOR_SECRET,
        log=log,
        explained=explained,
        feedback=feedback,
        identity_client=identity_client,
        control=control,
    )
    try:
        async with (
            listening(create_app(parts)) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
        ):
            yield Served(
                client=client,
                turns=turns,
                log=log,
                clock=clock,
                port=port,
                explained=explained,
                feedback=feedback,
            )
    finally:
        await turns.aclose()
        await limits.aclose()


def settings_for_tests(**chosen: Any) -> Settings:
    return Settings(**{"rate_limit_per_customer": "0", **chosen})


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """Serve on a free port of this machine, in this event loop; uvicorn's own loop would wait for signals."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Only a socket that says TCP gets TCP_NODELAY from asyncio; else each answer waits 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        await server.startup(sockets=[listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await server.shutdown(sockets=[listener])


async def drip(chunks: int, size: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for _ in range(chunks):
        yield b"x" * size
