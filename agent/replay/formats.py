"""
Read recorded conversations from Careline's JSONL and from three public formats, told apart by their content.

Formats: Careline JSONL; Schema-Guided Dialogue (`dialogues_*.json`); DSTC10/11 (`logs.json`, with `labels.json` beside it);
ABCD (`abcd_*.json`).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.log import RecordedConversation, RecordedMessage
from core.errors import InvalidInput


class LogUnreadable(InvalidInput):
    """The file is in none of the formats, or broken; the message names the file and, where there is one, the line."""


def read_log(path: Path) -> list[RecordedConversation]:
    """
    Every conversation of one file, in its order.

    Raises:
        LogUnreadable: nothing of the file is replayed.
    """
    try:
        raw = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise LogUnreadable(f"{path}: cannot be read: {exc}") from exc
    if path.suffix == ".jsonl":
        return list(_careline_lines(path, raw))
    try:
        content = json.loads(raw)
    except ValueError as exc:
        raise LogUnreadable(f"{path}: neither JSON nor Careline JSONL (*.jsonl): {exc}") from exc
    reader = _reader_for(content)
    if reader is None:
        raise LogUnreadable(
            f"{path}: unknown format; known are Careline JSONL (*.jsonl), Schema-Guided Dialogue, DSTC logs.json and ABCD"
        )
    try:
        return list(reader(path, content))
    except (KeyError, TypeError, IndexError, AttributeError) as exc:
        raise LogUnreadable(
            f"{path}: looks like {reader.__name__.strip('_')}, but is broken: {exc!r}"
        ) from exc


def _careline_lines(path: Path, raw: str) -> Iterator[RecordedConversation]:
    decoder = msgspec.json.Decoder(RecordedConversation)
    for number, line in enumerate(raw.split("\n"), start=1):
        if line.strip():
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeEncodeError) as exc:
                raise LogUnreadable(f"{path}, line {number}: {exc}") from exc


def _reader_for(content: Any) -> Callable[[Path, Any], Iterator[RecordedConversation]] | None:
    if not isinstance(content, list) or not content:
        return None
    first = content[0]
    if isinstance(first, list):
        return _dstc
    if isinstance(first, dict) and "turns" in first:
        return _schema_guided
    if isinstance(first, dict) and "original" in first:
        return _abcd
    return None


def _dstc(path: Path, content: list[list[dict[str, str]]]) -> Iterator[RecordedConversation]:
    """The logs end with the turn to be answered; its recorded answer stands in labels.json, in the same order."""
    labels_file = path.with_name("labels.json")
    labels = json.loads(labels_file.read_text(encoding="utf-8")) if labels_file.exists() else []
    for number, turns in enumerate(content):
        messages = [
            RecordedMessage(role="customer" if turn["speaker"] == "U" else "agent", text=turn["text"])
            for turn in turns
        ]
        label = labels[number] if number < len(labels) else {}
        if label.get("response"):
            messages.append(RecordedMessage(role="tool", tool="search_knowledge"))
            messages.append(RecordedMessage(role="agent", text=label["response"]))
        yield RecordedConversation(id=f"{path.parent.name}-{number}", messages=tuple(messages))


def _schema_guided(path: Path, content: list[dict[str, Any]]) -> Iterator[RecordedConversation]:
    for dialogue in content:
        messages: list[RecordedMessage] = []
        for turn in dialogue["turns"]:
            is_customer = turn["speaker"] == "USER"
            for frame in turn["frames"]:
                call = frame.get("service_call")
                if call:
                    messages.append(
                        RecordedMessage(
                            role="tool",
                            tool=call["method"],
                            args=call["parameters"],
                            result=frame.get("service_results"),
                        )
                    )
            messages.append(
                RecordedMessage(role="customer" if is_customer else "agent", text=turn["utterance"])
            )
        yield RecordedConversation(id=f"sgd-{dialogue['dialogue_id']}", messages=tuple(messages))


def _abcd(path: Path, content: list[dict[str, Any]]) -> Iterator[RecordedConversation]:
    """`original` holds the words, `delexed` in the same order the action's name in its third target."""
    for conversation in content:
        messages = []
        for (speaker, text), annotated in zip(conversation["original"], conversation["delexed"], strict=True):
            if speaker == "action":
                name = annotated["targets"][2] or "action"
                messages.append(RecordedMessage(role="tool", tool=name, text=text))
            else:
                messages.append(
                    RecordedMessage(role="customer" if speaker == "customer" else "agent", text=text)
                )
        yield RecordedConversation(
            id=f"abcd-{conversation['convo_id']}",
            customer=conversation["scenario"]["personal"].get("username"),
            messages=tuple(messages),
        )
