"""Replayed turns as a well-behaved service gives them, to be spoiled one thing at a time."""

from typing import Any

import msgspec

from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.rows import ReplayedTool, ReplayedTurn
from core.messages import Action, ActionStatus, Citation, DegradedPart, Reply, TurnResult, TurnStatus

ARTICLES = {
    "help/returns.md": "# Returns\n\nA kettle can be returned within 30 days. Keep the receipt.\n",
    "help/errors.md": "# Errors\n\nIf you see `TimeoutError: localhost:8080`, restart the board.\n",
}
QUOTE = "A kettle can be returned within 30 days."
SUMMARY = "Your request is ticket T-1, receipt R-7QK2M4XWZC."


def recording(*said: str, customer: str | None = "kim") -> RecordedConversation:
    messages = [RecordedMessage(role="customer", text=text) for text in said]
    return RecordedConversation(id="c1", messages=tuple(messages), customer=customer)


def answer(text: str = f"{QUOTE} [1]", **more: Any) -> TurnResult:
    """A cited answer, unless told otherwise; `quote` and `article_id` are its citation's."""
    quote, article_id = more.pop("quote", QUOTE), more.pop("article_id", "help/returns.md")
    citations = (Citation(n=1, article_id=article_id, title="Returns", url=None, quote=quote),)
    reply = Reply(
        message_id="m2",
        text=text,
        citations=more.pop("citations", citations if "[1]" in text else ()),
        quick_replies=more.pop("quick_replies", ()),
    )
    return msgspec.structs.replace(
        TurnResult(
            conversation_id="conv_1",
            turn_id="turn_1",
            message_id="m1",
            status=TurnStatus.ANSWERED,
            reply=reply,
        ),
        **more,
    )


def opened(status: ActionStatus = ActionStatus.SUCCEEDED, **more: Any) -> Action:
    given = {"receipt": "R-7QK2M4XWZC", "summary": SUMMARY, **more}
    return Action(call_id="call_1", tool="open_ticket", status=status, **given)


def missing(feature: str, dependency: str, message: str = "That cannot be done right now.") -> DegradedPart:
    return DegradedPart(
        feature=feature, dependency=dependency, since="2026-11-01T00:00:00+00:00", message=message
    )


def row_of(result: TurnResult, customer: str = "Can I return it?", **more: Any) -> ReplayedTurn:
    return msgspec.structs.replace(
        ReplayedTurn(
            conversation="c1",
            turn=1,
            customer=customer,
            reply=result.reply.text if result.reply is not None else "",
            status=result.status,
            brain=result.brain,
            degraded=tuple(f"{part.feature}:{part.dependency}" for part in result.degraded),
            tools=tuple(
                ReplayedTool(action.tool, action.status, action.error_type, receipt=action.receipt)
                for action in result.actions
            ),
            citations=tuple(each.article_id for each in result.reply.citations) if result.reply else (),
            latency_ms=12.0,
            turn_id=result.turn_id,
        ),
        **more,
    )
