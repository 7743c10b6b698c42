"""What stands in the record becomes a log line, from the best that can be read of each turn."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agent.replay.exporting import exported
from agent.replay.log import RecordedConversation, RecordedMessage
from core.explanation import TurnExplanation, TurnRecording
from core.messages import Action, ActionStatus, Citation, Message, MessageRole, TurnResult, TurnStatus
from state.sql.history import PastConversation, PastTurn, Wanted

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
RESULT = TurnResult(
    conversation_id="c1",
    turn_id="t1",
    message_id="m1",
    status=TurnStatus.ANSWERED,
    actions=(
        Action("call_1", "find_tickets", ActionStatus.FAILED, error_type="timeout_error", summary="Not now."),
    ),
    model="m-1",
)
RECORDING = msgspec.msgpack.encode(
    TurnRecording(
        versions={"careline": "9.9", "index": "3"},
        calls=(
            {
                "role": "tool",
                "tool": "find_tickets",
                "args": {"a": 1},
                "result": {"b": 2},
                "status": "succeeded",
                "new": 1,
            },
            {"role": "model", "model": "m-1", "prompt": [{"role": "user"}], "completion": {"text": "x"}},
        ),
    )
)
EXPLANATION = msgspec.msgpack.encode(
    TurnExplanation(
        noted_at=NOON,
        steps=(
            {"kind": "loaded", "at_ms": 0.1},
            {"kind": "tool_called", "at_ms": 1.0, "tool": "search_knowledge", "arguments": {"query": "q"}, "status": "succeeded",
             "found": [{"article": "a1", "title": "A", "heading": "", "score": 1.0}]},
        ),
    )
)  # fmt: skip


class OneConversation:
    def __init__(self, turn: PastTurn, *said: Message) -> None:
        self._turn = turn
        self._said = said

    async def conversations(self, wanted: Wanted) -> AsyncIterator[PastConversation]:
        yield PastConversation("default", "c1", "kim", "web", "de")

    async def messages(
        self, tenant: str, conversation_id: str
    ) -> AsyncIterator[tuple[Sequence[Message], Mapping[str, PastTurn]]]:
        for message in self._said:
            yield (message,), {"t1": self._turn}


def said(seq: int, role: MessageRole, text: str, **more: Any) -> Message:
    return Message(message_id=f"m{seq}", seq=seq, role=role, text=text, at=NOON, **more)


async def of(turn: PastTurn) -> RecordedConversation:
    cited = (Citation(n=1, article_id="a1", title="A", url=None, quote="x"),)
    history = OneConversation(
        turn,
        said(1, MessageRole.CUSTOMER, "Hi", turn_id="t1"),
        said(2, MessageRole.AGENT, "Hello [1]", turn_id="t1", citations=cited),
        said(3, MessageRole.OPERATOR, "Ada here"),
        said(4, MessageRole.SYSTEM, "The agent answers again."),
    )
    (conversation,) = [each async for each in exported(history, Wanted())]
    return conversation


async def test_words_come_in_order_with_whose_and_when() -> None:
    conversation = await of(PastTurn(None, None, None))

    assert conversation == RecordedConversation(
        id="c1",
        customer="kim",
        channel="web",
        locale="de",
        messages=(
            RecordedMessage(role="customer", text="Hi", at=NOON.isoformat()),
            RecordedMessage(role="agent", text="Hello [1]", at=NOON.isoformat(), citations=("a1",)),
            RecordedMessage(role="operator", text="Ada here", at=NOON.isoformat()),
            RecordedMessage(role="system", text="The agent answers again.", at=NOON.isoformat()),
        ),
    )


def calls(conversation: RecordedConversation) -> list[RecordedMessage]:
    return [message for message in conversation.messages if message.role in ("tool", "model")]


async def test_a_recording_goes_before_an_explanation_and_that_before_what_was_told() -> None:
    full = await of(PastTurn(RESULT, EXPLANATION, RECORDING))
    explained = await of(PastTurn(RESULT, EXPLANATION, None))
    told = await of(PastTurn(RESULT, None, None))

    assert calls(full) == [
        RecordedMessage(role="tool", tool="find_tickets", args={"a": 1}, result={"b": 2}, status="succeeded"),
        RecordedMessage(role="model", model="m-1", prompt=({"role": "user"},), completion={"text": "x"}),
    ]
    assert full.versions == {"careline": "9.9", "index": "3", "model": "m-1"}
    assert [message.role for message in full.messages][:4] == ["customer", "tool", "model", "agent"]
    (search,) = calls(explained)
    assert (search.args, search.result) == (
        {"query": "q"},
        {"passages": [{"article_id": "a1", "title": "A", "heading": ""}]},
    )
    (action,) = calls(told)
    assert (action.tool, action.status, action.error_type) == ("find_tickets", "failed", "timeout_error")
    assert explained.versions == told.versions == {"model": "m-1"}


@pytest.mark.parametrize("broken", [b"\x00", b"", msgspec.msgpack.encode({"calls": 1})])
async def test_what_another_version_wrote_and_cannot_be_read_does_not_end_the_export(broken: bytes) -> None:
    without_recording = await of(PastTurn(RESULT, EXPLANATION, broken))
    without_both = await of(PastTurn(RESULT, broken, broken))

    assert [each.tool for each in calls(without_recording)] == ["search_knowledge"]
    assert [each.tool for each in calls(without_both)] == ["find_tickets"]
