"""
Replay conversations: turns of one in order, several conversations at a time, one row of results per customer turn.

A turn that fails is a row with its error, and ends its conversation there; the others go on.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from agent.replay.differences import word_overlap
from agent.replay.log import RecordedConversation, RecordedTurn
from agent.replay.targets import ReplayTarget
from core.errors import CarelineError
from core.messages import TurnResult

_QUOTED_CUSTOMER = "replay-"


class ReplayedTool(msgspec.Struct, frozen=True):
    tool: str
    status: str
    error_type: str | None = None


class ReplayedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row of `turns.jsonl`. `turn` counts the conversation's customer turns from 1; `latency_ms` is what the customer waited.

    `overlap` (0…1, see `differences`) is None where the recording has no answer; `error` is set when there was no reply.
    """

    conversation: str
    turn: int
    customer: str
    reply: str = ""
    status: str | None = None
    brain: str | None = None
    degraded: tuple[str, ...] = ()
    tools: tuple[ReplayedTool, ...] = ()
    citations: tuple[str, ...] = ()
    recorded_reply: str = ""
    recorded_tools: tuple[str, ...] = ()
    overlap: float | None = None
    latency_ms: float = 0.0
    error: str | None = None


Report = Callable[[ReplayedTurn], None]


async def replay(
    conversations: Sequence[RecordedConversation],
    target: ReplayTarget,
    *,
    run: str,
    at_once: int,
    report: Report,
    finished_one: Callable[[], None],
) -> None:
    """
    `report` gets every turn as it is done, `finished_one` is called once per conversation.

    `run` makes this run's message ids its own: the same run repeated against the same service gets the stored answers.
    """
    waiting = iter(conversations)

    async def work() -> None:
        for conversation in waiting:
            await _replay_one(conversation, target, run, report)
            finished_one()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


async def _replay_one(
    conversation: RecordedConversation, target: ReplayTarget, run: str, report: Report
) -> None:
    conversation_id: str | None = None
    for number, recorded in enumerate(conversation.turns(), start=1):
        started = time.perf_counter()
        try:
            result = await target.say(
                recorded.text,
                conversation_id=conversation_id,
                customer_id=conversation.customer or f"{_QUOTED_CUSTOMER}{run}-{conversation.id}",
                client_message_id=f"{run}-{conversation.id}-{number}",
            )
        except CarelineError as exc:
            report(
                ReplayedTurn(
                    conversation=conversation.id,
                    turn=number,
                    customer=recorded.text,
                    recorded_reply=recorded.reply,
                    recorded_tools=recorded.tools,
                    error=f"{exc.code}: {exc}",
                )
            )
            return
        latency_ms = (time.perf_counter() - started) * 1000
        conversation_id = result.conversation_id
        report(_row(conversation.id, number, recorded, result, latency_ms))


def _row(
    conversation: str, number: int, recorded: RecordedTurn, result: TurnResult, latency_ms: float
) -> ReplayedTurn:
    reply = result.reply.text if result.reply else ""
    return ReplayedTurn(
        conversation=conversation,
        turn=number,
        customer=recorded.text,
        reply=reply,
        status=result.status,
        brain=result.brain,
        degraded=tuple(f"{part.feature}:{part.dependency}" for part in result.degraded),
        tools=tuple(ReplayedTool(action.tool, action.status, action.error_type) for action in result.actions),
        citations=tuple(citation.article_id for citation in result.reply.citations) if result.reply else (),
        recorded_reply=recorded.reply,
        recorded_tools=recorded.tools,
        overlap=round(word_overlap(reply, recorded.reply), 4) if recorded.reply else None,
        latency_ms=round(latency_ms, 2),
    )
