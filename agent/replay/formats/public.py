"""
Public data sets of conversations: Schema-Guided Dialogue, DSTC10/11 and ABCD.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.replay.formats.base import Broken, Format, LogUnreadable, Record
from agent.replay.log import RecordedConversation, RecordedMessage


def _schema_guided(_: Path) -> Callable[[Record], Iterator[RecordedConversation]]:
    def read(record: Record) -> Iterator[RecordedConversation]:
        dialogue = record.value
        messages: list[RecordedMessage] = []
        for turn in dialogue["turns"]:
            is_customer = turn["speaker"] == "USER"
            messages += _service_calls(turn)
            messages.append(
                RecordedMessage(role="customer" if is_customer else "agent", text=turn["utterance"])
            )
        yield RecordedConversation(id=f"sgd-{dialogue['dialogue_id']}", messages=tuple(messages))

    return read


def _service_calls(turn: dict[str, Any]) -> Iterator[RecordedMessage]:
    for frame in turn["frames"]:
        call = frame.get("service_call")
        if call:
            yield RecordedMessage(
                role="tool", tool=call["method"], args=call["parameters"], result=frame.get("service_results")
            )


def _dstc(path: Path) -> Callable[[Record], Iterator[RecordedConversation]]:
    """The logs end with the turn to be answered; its recorded answer stands in labels.json, in the same order."""
    labels = _labels_beside(path)

    def read(record: Record) -> Iterator[RecordedConversation]:
        messages = [
            RecordedMessage(role="customer" if turn["speaker"] == "U" else "agent", text=turn["text"])
            for turn in record.value
        ]
        label = labels[record.number] if record.number < len(labels) else {}
        if label.get("response"):
            messages.append(RecordedMessage(role="tool", tool="search_knowledge"))
            messages.append(RecordedMessage(role="agent", text=label["response"]))
        yield RecordedConversation(id=f"{path.parent.name}-{record.number}", messages=tuple(messages))

    return read


def _labels_beside(path: Path) -> list[dict[str, Any]]:
    file = path.with_name("labels.json")
    if not file.exists():
        return []
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise LogUnreadable(f"{file}: cannot be read: {exc}") from exc
    if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
        raise LogUnreadable(f"{file}: is no list of labels")
    return labels


def _abcd(_: Path) -> Callable[[Record], Iterator[RecordedConversation]]:
    """`original` holds the words, `delexed` in the same order the action's name in its third target."""

    def read(record: Record) -> Iterator[RecordedConversation]:
        conversation = record.value
        messages = []
        for (speaker, text), annotated in zip(conversation["original"], conversation["delexed"], strict=True):
            if speaker == "action":
                name = annotated["targets"][2] or "action"
                messages.append(RecordedMessage(role="tool", tool=name, text=text))
            elif speaker in ("customer", "agent"):
                messages.append(RecordedMessage(role=speaker, text=text))
            else:
                raise Broken(f"speaker {speaker!r} is neither customer, agent nor action")
        yield RecordedConversation(
            id=f"abcd-{conversation['convo_id']}",
            customer=conversation["scenario"]["personal"].get("username"),
            messages=tuple(messages),
        )

    return read


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(name in value for name in names)


def _is_dstc(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and value[0].get("speaker") in ("U", "S")
    )


FORMATS = (
    Format("Schema-Guided Dialogue", _has("dialogue_id", "turns"), _schema_guided),
    Format("DSTC", _is_dstc, _dstc),
    Format("ABCD", _has("original", "delexed"), _abcd),
)
