"""
Customers who send, wait, lose patience and send the same message again to another replica.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.turn.inputs import ChatRequest, Submission
from core.errors import CarelineError, ConcurrentAccess, Conflict, InternalFailure
from core.identity import Caller, CallerKind
from core.messages import TurnResult
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Faults, Trace
from tests.simulation.replica import Replica

_ACK_SECONDS = 3.0
_ANSWER_SECONDS = 6.0
_MOST_ATTEMPTS = 60


class Service(Protocol):
    names: list[str]
    replicas: dict[str, Replica]
    loop: SimulatedLoop
    faults: Faults
    trace: Trace


@dataclass(slots=True)
class Sent:
    """One message and what its sender was told: `acknowledged` is (conversation, turn), `told` every answer's text."""

    client_message_id: str
    sender: str
    number: int
    text: str
    acknowledged: tuple[str, str] | None = None
    told: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    customer: str
    started: asyncio.Future[str]


Answer = Submission | TurnResult | Exception


class Customer:
    """
    Sends its messages one after the other, with pauses of up to three `pause_seconds`; `opens` begins the conversation, the
    others join it.
    """

    def __init__(
        self,
        service: Service,
        conversation: Conversation,
        name: str,
        *,
        messages: int,
        pause_seconds: float,
        opens: bool,
        rng: random.Random,
        log: list[Sent],
    ) -> None:
        self._service = service
        self._conversation = conversation
        self._name = name
        self._messages = messages
        self._pause_seconds = pause_seconds
        self._opens = opens
        self._rng = rng
        self._log = log
        self._home = rng.choice(service.names)
        self._waiting: list[asyncio.Task[None]] = []
        self.violations: list[str] = []

    async def run(self) -> None:
        for number in range(self._messages):
            await asyncio.sleep(
                self._rng.choice((0.0, 0.0, 0.2, 1.0, 3.0)) * self._rng.random() * self._pause_seconds
            )
            orders = [f"{self._name}m{number}"]
            if self._rng.random() < 0.35:
                orders.append("ticket")
            if self._rng.random() < 0.2:
                orders.append("notify")
            if self._rng.random() < 0.4:
                orders.append(f"think={self._rng.choice((0.05, 0.5, 2.0)):g}")
            self._rng.shuffle(orders[1:])
            sent = Sent(orders[0], self._name, number, " ".join(orders))
            self._log.append(sent)
            await self._send(sent)
        await asyncio.gather(*self._waiting)

    async def _send(self, sent: Sent) -> None:
        """Until it is acknowledged; its answer is waited for, or asked for later."""
        conversation_id = None
        if not (self._opens and sent.number == 0):
            conversation_id = await asyncio.shield(self._conversation.started)
        request = ChatRequest(
            caller=Caller(kind=CallerKind.CUSTOMER, customer_id=self._conversation.customer),
            message=sent.text,
            conversation_id=conversation_id,
            client_message_id=sent.client_message_id,
        )
        if self._rng.random() < 0.1:
            self._service.trace.counts["sent twice at once"] += 1
            self._waiting.append(asyncio.ensure_future(self._until_told(sent, request)))
        while sent.acknowledged is None:
            if not await self._ask(sent, request) and sent.acknowledged is None:
                await asyncio.sleep(self._rng.uniform(0.05, 0.6))
        if not sent.told and self._rng.random() < 0.6:
            await self._until_told(sent, request)

    async def _until_told(self, sent: Sent, request: ChatRequest) -> None:
        for _ in range(_MOST_ATTEMPTS):
            if await self._ask(sent, request):
                return
            await asyncio.sleep(self._rng.uniform(0.05, 0.6))
        self.violations.append(f"{sent.client_message_id}: never answered")

    async def _ask(self, sent: Sent, request: ChatRequest) -> bool:
        """One request; whether it brought the answer. The next goes to another replica if this one failed."""
        self._service.trace.counts["requests"] += 1
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        replica = self._service.replicas[self._home]
        if replica.process.is_alive:
            self._later(lambda: self._begin(replica, request, answers))
        else:
            answers.put_nowait(ConnectionRefusedError())
        seconds = _ACK_SECONDS
        while True:
            try:
                async with asyncio.timeout(seconds):
                    answer = await answers.get()
            except TimeoutError:
                answer = TimeoutError()
            match answer:
                case Submission():
                    sent.acknowledged = (answer.conversation_id, answer.turn_id)
                    if not self._conversation.started.done():
                        self._conversation.started.set_result(answer.conversation_id)
                    seconds = _ANSWER_SECONDS
                    if self._rng.random() < 0.2:
                        return False  # it has been taken; that is enough for now
                case TurnResult():
                    assert answer.reply is not None
                    sent.told.append((answer.turn_id, answer.reply.text))
                    return True
                case Exception():
                    self._was_refused(sent, answer)
                    self._home = self._rng.choice(self._service.names)
                    return False

    def _was_refused(self, sent: Sent, why: Exception) -> None:
        self._service.trace.counts[f"resend after {type(why).__name__}"] += 1
        is_wrong = isinstance(why, Conflict) and not isinstance(why, ConcurrentAccess)
        if is_wrong or isinstance(why, InternalFailure) or not isinstance(why, CarelineError | OSError):
            self.violations.append(f"{sent.client_message_id}: {why!r}")

    def _begin(self, replica: Replica, request: ChatRequest, answers: "asyncio.Queue[Answer]") -> None:
        if replica.process.is_alive:
            replica.process.spawn(self._handled(replica, request, answers))

    async def _handled(
        self, replica: Replica, request: ChatRequest, answers: "asyncio.Queue[Answer]"
    ) -> None:
        """In the replica: what the HTTP interface does."""
        try:
            submission = await replica.submit(request)
            self._later(lambda: answers.put_nowait(submission))
            result = await replica.answer(submission, _ANSWER_SECONDS - 1)
        except Exception as exc:  # becomes a response
            refusal = exc
            self._later(lambda: answers.put_nowait(refusal))
        else:
            answer = result if result is not None else TimeoutError()
            self._later(lambda: answers.put_nowait(answer))

    def _later(self, act: Callable[[], None]) -> None:
        """Over a network that loses requests and replies as the others do."""
        service = self._service
        if self._rng.random() < service.faults.lost:
            service.trace.counts["clients: lost"] += 1
            return
        service.loop.world.call_at(service.loop.time() + self._rng.random() * 0.003, act)
