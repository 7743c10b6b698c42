"""
Make log lines of conversations that took place: words, calls with their results, found articles, model messages and versions.

What a turn called stands before its answer. In full where answers of tools and models were recorded (CARELINE_RECORDED_DAYS),
else as the turn's explanation has it, else as the client was told.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from agent.replay.log import RecordedConversation, RecordedMessage
from core.explanation import TurnExplanation, TurnRecording
from core.messages import Message, TurnResult
from core.telemetry.logging import get_logger
from state.sql.history import PastConversation, PastTurn, Wanted

T = TypeVar("T")

_CALL_FIELDS = frozenset(RecordedMessage.__struct_fields__)

log = get_logger(__name__)


class History(Protocol):
    """Where conversations are read from. `state.sql.history` implements it."""

    def conversations(self, wanted: Wanted) -> AsyncIterator[PastConversation]: ...

    def messages(
        self, tenant: str, conversation_id: str
    ) -> AsyncIterator[tuple[Sequence[Message], Mapping[str, PastTurn]]]: ...


async def exported(history: History, wanted: Wanted) -> AsyncIterator[RecordedConversation]:
    """One conversation at a time, in the order of their ids."""
    async for past in history.conversations(wanted):
        messages: list[RecordedMessage] = []
        versions: dict[str, str] = {}
        async for said, turns in history.messages(past.tenant, past.conversation_id):
            for message in said:
                turn = turns.get(message.turn_id or "")
                if message.role == "agent" and turn is not None:
                    messages += _calls(turn, versions)
                messages.append(_message(message))
        yield RecordedConversation(
            id=past.conversation_id,
            messages=tuple(messages),
            customer=past.customer_id,
            locale=past.locale,
            channel=past.channel,
            versions=versions,
        )


def _message(message: Message) -> RecordedMessage:
    return RecordedMessage(
        role=message.role.value,
        text=message.text,
        at=message.at.isoformat(),
        citations=tuple(citation.article_id for citation in message.citations),
    )


def _calls(turn: PastTurn, versions: dict[str, str]) -> Iterable[RecordedMessage]:
    """From the best source that can be read: another version of Careline may have written it."""
    if turn.result is not None and turn.result.model is not None:
        versions["model"] = turn.result.model
    recording = _read(turn.recording, TurnRecording)
    if recording is not None:
        versions.update(recording.versions)
        return [_recorded(call) for call in recording.calls]
    explanation = _read(turn.explanation, TurnExplanation)
    if explanation is not None:
        return _explained(explanation)
    return _told(turn.result) if turn.result is not None else ()


def _read(body: bytes | None, kind: type[T]) -> T | None:
    if body is None:
        return None
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as exc:
        log.warning("export.turn_not_read", kind=kind.__name__, error=str(exc))
        return None


def _recorded(call: Mapping[str, Any]) -> RecordedMessage:
    known = {name: value for name, value in call.items() if name in _CALL_FIELDS}
    return msgspec.convert(known, RecordedMessage)


def _explained(explanation: TurnExplanation) -> Iterator[RecordedMessage]:
    for step in explanation.steps:
        if step["kind"] != "tool_called":
            continue
        found = [
            {"article_id": each.get("article"), "title": each.get("title"), "heading": each.get("heading")}
            for each in step.get("found") or ()
        ]
        yield RecordedMessage(
            role="tool",
            tool=step.get("tool"),
            args=_object(step.get("arguments")),
            result={"passages": found} if found else None,
            status=step.get("status"),
            error_type=step.get("error_type"),
        )


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _told(result: TurnResult) -> Iterator[RecordedMessage]:
    for action in result.actions:
        yield RecordedMessage(
            role="tool",
            text=action.summary,
            tool=action.tool,
            status=action.status.value,
            error_type=action.error_type,
        )
