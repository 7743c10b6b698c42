"""
Replay to the turn pipeline in this process, with all that can be seen of a turn from inside.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from agent.replay.endings import Effect
from agent.replay.log import RecordedConversation
from agent.replay.mishaps import Mishaps
from agent.replay.rows import Finding, ReplayedTool
from agent.replay.rules import Rule
from agent.replay.stubs import Recording
from agent.replay.targets import CHANNEL, Answered, Mishap, Outcome, Said
from agent.replay.watching import SentMessages, WatchedTools
from agent.turn.inputs import ChatRequest, Submission, Turns
from core.clock import Clock
from core.errors import CarelineError, DependencyTimeout
from core.explanation import TurnExplanation
from core.identity import DEFAULT_TENANT, Caller, CallerKind
from core.messages import ActionStatus, Message, MessageRole, TurnResult
from core.records import Ticket
from core.resilience.deadline import Deadline

Explained = Callable[[str, str], Awaitable[TurnExplanation | None]]
Article = Callable[[str], Awaitable[str | None]]
Tickets = Callable[[str], Awaitable[Sequence[Ticket]]]

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 8.0
_PAGE = 200
_LONGEST_SETTLING_SECONDS = 120.0
"""After all faults have ended: a breaker opens for seconds, and what is repeated waits longer from time to time."""
_LOOKED_AT_EVERY_SECONDS = 2.0


class InProcessTarget:
    """`mishaps` are those of its service, and hear of each turn that begins. A recording is given where it is stubbed."""

    def __init__(
        self,
        turns: Turns,
        *,
        clock: Clock,
        deadline_seconds: float,
        patience_seconds: float,
        mishaps: Mishaps,
        tools: WatchedTools,
        sent: SentMessages,
        explained: Explained,
        article: Article,
        tickets: Tickets | None,
        recording: Recording | None = None,
    ) -> None:
        self._turns = turns
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._patience_seconds = patience_seconds
        self._mishaps = mishaps
        self._tools = tools
        self._sent = sent
        self._explained = explained
        self._article = article
        self._tickets = tickets
        self._recording = recording
        self._promised: set[str] = set()

    async def begin(self, conversation: RecordedConversation, customer_id: str) -> None:
        self._promised.clear()
        if self._recording is not None:
            self._recording.begin(conversation)

    async def say(self, said: Said) -> Answered:
        self._mishaps.turn(said.turn)
        if self._recording is not None:
            self._recording.turn(said.turn)
        began = self._clock.monotonic()
        patience = Deadline(self._clock, self._patience_seconds)
        wait_seconds = _FIRST_WAIT_SECONDS
        taken_at: float | None = None
        while True:
            try:
                submission = await self._submit(said)
                taken_at = self._clock.monotonic() if taken_at is None else taken_at
                result = submission.result or await self._answer(submission.turn_id)
                break
            except CarelineError as exc:
                pause = wait_seconds if exc.retry_after is None else exc.retry_after
                if not exc.may_retry or pause > patience.remaining():
                    raise
            await self._clock.sleep(pause)
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
        with self._mishaps.looking_away():
            return await self._seen(result, refused_seconds=taken_at - began)

    async def _submit(self, said: Said) -> Submission:
        return await self._turns.submit(
            ChatRequest(
                caller=Caller(kind=CallerKind.LOCAL, customer_id=said.customer_id),
                message=said.text,
                conversation_id=said.conversation_id,
                client_message_id=said.client_message_id,
                locale=said.locale,
                channel=CHANNEL,
            )
        )

    async def _answer(self, turn_id: str) -> TurnResult:
        result = await self._turns.wait(DEFAULT_TENANT, turn_id, seconds=self._deadline_seconds)
        if result is None:
            raise DependencyTimeout("agent", f"no answer within {self._deadline_seconds:g} s")
        return result

    async def _seen(self, result: TurnResult, *, refused_seconds: float) -> Answered:
        explanation = await self._explained(DEFAULT_TENANT, result.turn_id)
        citations = result.reply.citations if result.reply is not None else ()
        self._promised.update(
            action.receipt
            for action in result.actions
            if action.status is ActionStatus.QUEUED and action.receipt is not None
        )
        return Answered(
            result=result,
            refused_seconds=refused_seconds,
            tools=tuple(self._tools_of(result)),
            steps=explanation.steps if explanation is not None else (),
            articles={each.article_id: await self._article(each.article_id) for each in citations},
        )

    def _tools_of(self, result: TurnResult) -> Iterator[ReplayedTool]:
        calls = {seen.outcome.action.call_id: seen for seen in self._tools.calls.pop(result.turn_id, ())}
        for action in result.actions:
            seen = calls.get(action.call_id)
            yield ReplayedTool(
                tool=action.tool,
                status=action.status,
                error_type=action.error_type,
                args=seen.arguments if seen is not None else None,
                result=dict(seen.outcome.value) if seen is not None and seen.outcome.value else None,
                receipt=action.receipt,
                reason=action.reason,
            )

    def met(self) -> Mishap:
        faults = tuple(sorted(self._mishaps.met))
        self._mishaps.met.clear()
        findings = tuple(self._recording.findings) if self._recording is not None else ()
        return Mishap(faults, findings)

    async def end(self, conversation_id: str | None, customer_id: str) -> Outcome:
        self._mishaps.calm()
        if conversation_id is None:
            return Outcome()
        effects = await self._effects(conversation_id, customer_id)
        settling = Deadline(self._clock, _LONGEST_SETTLING_SECONDS)
        while effects is not None and self._undone(effects) and not settling.has_passed:
            await self._clock.sleep(_LOOKED_AT_EVERY_SECONDS)
            effects = await self._effects(conversation_id, customer_id)
        self._mishaps.met.clear()
        return Outcome(
            messages=_told_in_turns(await self._messages(conversation_id)),
            effects=effects,
            findings=tuple(
                Finding(Rule.EFFECT_LOST, f"{receipt} was promised, and not done when all was well again")
                for receipt in sorted(self._undone(effects or ()))
            )
            if effects is not None
            else (),
        )

    def _undone(self, effects: Sequence[Effect]) -> set[str]:
        return self._promised - {effect.receipt for effect in effects}

    async def _messages(self, conversation_id: str) -> Sequence[Message]:
        found: list[Message] = []
        while page := await self._turns.messages(
            DEFAULT_TENANT, conversation_id, after=found[-1].seq if found else 0, limit=_PAGE
        ):
            found += page
        return found

    async def _effects(self, conversation_id: str, customer_id: str) -> Sequence[Effect] | None:
        if self._tickets is None:
            return None
        done = (*_on_tickets(await self._tickets(customer_id)), *self._sent.effects(self._tools))
        # A customer of several conversations has the tickets of all.
        whose = self._tools.conversations
        return [one for one in done if whose.get(one.receipt, conversation_id) == conversation_id]


def _on_tickets(tickets: Sequence[Ticket]) -> Iterator[Effect]:
    """The ticket itself, and what was added to it, each under its receipt."""
    for ticket in tickets:
        yield Effect(receipt=ticket.receipt, what=f"ticket {ticket.reference}")
        for line in ticket.description.splitlines():
            if line.startswith("[R-") and "]" in line:
                yield Effect(receipt=line[1 : line.index("]")], what=f"addition to {ticket.reference}")


def _told_in_turns(messages: Sequence[Message]) -> Sequence[Message]:
    """Without what the service told by itself, once something that it had promised was done; numbers are those without it."""
    if [message.seq for message in messages] != list(range(1, len(messages) + 1)):
        return messages
    of_turns = [
        message for message in messages if message.turn_id is not None or message.role is MessageRole.CUSTOMER
    ]
    return [msgspec.structs.replace(message, seq=number) for number, message in enumerate(of_turns, start=1)]
