"""
Replay conversations: turns of one in order, one row of results per customer turn, each held against the rules.

A turn that fails is a row with its error, and ends its conversation there; the others go on.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.replay.differences import word_overlap
from agent.replay.endings import check_end
from agent.replay.internal_text import InternalText
from agent.replay.invariants import Known, check
from agent.replay.log import RecordedConversation, RecordedTurn
from agent.replay.plan import Timing
from agent.replay.private_values import PrivateValues
from agent.replay.rows import Finding, ReplayedTool, ReplayedTurn
from agent.replay.targets import Answered, ReplayTarget, Said
from core.clock import Clock
from core.errors import CarelineError
from core.messages import TurnResult

_UNNAMED_CUSTOMER = "replay-"
_TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the rows are held against: what a turn may take, what belongs to which customer, what is nobody's to read."""

    longest_ms: float
    private: PrivateValues
    internal: InternalText = field(default_factory=InternalText)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A conversation that has ended, with its place in the whole log."""

    place: int
    rows: tuple[ReplayedTurn, ...]
    timings: tuple[Timing, ...]


async def replay(
    conversations: Sequence[RecordedConversation],
    target: ReplayTarget,
    *,
    first: int,
    run: str,
    at_once: int,
    pause_seconds: float,
    rules: Rules,
    clock: Clock,
    finished: Callable[[Replayed], None],
) -> None:
    """
    `finished` gets each conversation as it is done. `first` is the first one's place in the log, which tells conversations of the
    same name apart, as `run` does runs: the same run repeated against the same service gets the stored answers.
    """
    waiting = iter(enumerate(conversations, start=first))

    async def work() -> None:
        for place, conversation in waiting:
            one = _One(conversation, target, f"{run}-{place}-{conversation.id}", rules, clock)
            finished(Replayed(place, *await one.replayed(pause_seconds)))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


class _One:
    def __init__(
        self,
        conversation: RecordedConversation,
        target: ReplayTarget,
        name: str,
        rules: Rules,
        clock: Clock,
    ) -> None:
        self._recorded = conversation
        self._target = target
        self._name = name
        self._rules = rules
        self._clock = clock
        self._customer = conversation.customer or f"{_UNNAMED_CUSTOMER}{name}"
        self._conversation_id: str | None = None
        self._rows: list[ReplayedTurn] = []

    async def replayed(self, pause_seconds: float) -> tuple[tuple[ReplayedTurn, ...], tuple[Timing, ...]]:
        timings = []
        await self._target.begin(self._recorded, self._customer)
        for number, recorded in enumerate(self._recorded.turns(), start=1):
            if number > 1 and pause_seconds:
                await self._clock.sleep(pause_seconds)
            began = time.perf_counter()
            row = await self._turn(number, recorded)
            real_ms = round((time.perf_counter() - began) * 1000, 2)
            timings.append(Timing(self._recorded.id, number, real_ms))
            self._rows.append(row)
            if row.error is not None:
                break
        await self._end()
        return tuple(self._rows), tuple(timings)

    async def _turn(self, number: int, recorded: RecordedTurn) -> ReplayedTurn:
        began = self._clock.monotonic()
        answered: Answered | None = None
        error: str | None = None
        try:
            answered = await self._target.say(
                Said(
                    text=recorded.text,
                    turn=number,
                    conversation_id=self._conversation_id,
                    customer_id=self._customer,
                    client_message_id=f"{self._name}-{number}",
                    locale=self._recorded.locale,
                )
            )
            self._conversation_id = answered.result.conversation_id
        except CarelineError as exc:
            error = f"{exc.code}: {exc}"
        waited = self._clock.monotonic() - began
        met = self._target.met()
        row = ReplayedTurn(
            conversation=self._recorded.id,
            turn=number,
            customer=recorded.text,
            recorded_reply=recorded.reply,
            recorded_tools=recorded.tools,
            latency_ms=round(waited * 1000, 2),
            error=error,
            faults=met.faults,
        )
        if answered is not None:
            row = _with_answer(row, answered)
        return msgspec.structs.replace(row, findings=(*met.findings, *self._checked(row, answered)))

    def _checked(self, row: ReplayedTurn, answered: Answered | None) -> tuple[Finding, ...]:
        """The deadline is that of the turn: a message that was refused is waited for by whoever sends it again."""
        articles = answered.articles if answered is not None else None
        refused_ms = answered.refused_seconds * 1000 if answered is not None else 0.0
        return check(
            self._recorded,
            self._rows,
            msgspec.structs.replace(row, latency_ms=row.latency_ms - refused_ms),
            result=answered.result if answered is not None else None,
            known=Known(
                longest_ms=self._rules.longest_ms,
                article=articles.get if articles is not None else None,
                private=self._rules.private,
                internal=self._rules.internal,
            ),
            customer_id=self._customer,
        )

    async def _end(self) -> None:
        """What is found of the whole conversation stands with its last turn."""
        outcome = await self._target.end(self._conversation_id, self._customer)
        if not self._rows:
            return
        found = check_end(self._recorded, self._rows, messages=outcome.messages, effects=outcome.effects)
        last = self._rows[-1]
        self._rows[-1] = msgspec.structs.replace(last, findings=(*last.findings, *outcome.findings, *found))


def _with_answer(row: ReplayedTurn, answered: Answered) -> ReplayedTurn:
    result = answered.result
    reply = result.reply.text if result.reply else ""
    return msgspec.structs.replace(
        row,
        reply=reply,
        status=result.status,
        brain=result.brain,
        degraded=tuple(f"{part.feature}:{part.dependency}" for part in result.degraded),
        tools=answered.tools or _tools_told(result),
        citations=tuple(citation.article_id for citation in result.reply.citations) if result.reply else (),
        overlap=round(word_overlap(reply, row.recorded_reply), 4) if row.recorded_reply else None,
        handed_over=result.status == "handed_over",
        tokens=sum(_tokens(step) for step in answered.steps),
        turn_id=result.turn_id,
        steps=answered.steps,
    )


def _tools_told(result: TurnResult) -> tuple[ReplayedTool, ...]:
    return tuple(
        ReplayedTool(
            tool=action.tool,
            status=action.status,
            error_type=action.error_type,
            receipt=action.receipt,
            reason=action.reason,
        )
        for action in result.actions
    )


def _tokens(step: Mapping[str, Any]) -> int:
    return sum(step.get(name) or 0 for name in _TOKENS)
