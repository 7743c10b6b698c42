"""
Read the records of a JSON file one after another, whatever holds them: a line each, one array, or a page of an API.

Only one record, or one page, is held at a time, so memory does not grow with the file.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from agent.replay.formats.base import LogUnreadable, Record

_CHUNK = 1 << 16
_AT_THE_END = 16
"""A value that is cut off breaks within its last characters: an escape, a number, a word such as `false`."""
_PAGES = ("conversations", "tickets", "results")
_DECODER = json.JSONDecoder()

Broken = Callable[[int, str], None]
"""Hears of a line that is no JSON; may raise, to end it."""
Held = Callable[[Any], Iterator[Any]]


def records(path: Path, broken: Broken, *, is_paged: bool = True) -> Iterator[Record]:
    """
    `is_paged`: an object may be a page of an API, whose list holds the records.

    Raises:
        LogUnreadable: the file cannot be read, or is no JSON from its beginning.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            begin = _first_letter(file)
            if begin == "[":
                yield from _items(path, file, broken)
            elif begin == "{":
                yield from _lines_or_one(path, file, broken, _paged if is_paged else _itself)
            else:
                raise LogUnreadable(f"{path}: neither JSON nor JSON Lines")
    except OSError as exc:
        raise LogUnreadable(f"{path}: cannot be read: {exc}") from exc


def _first_letter(file: TextIO) -> str:
    while (letter := file.read(1)).isspace():
        pass
    file.seek(0)
    return letter


def _lines_or_one(path: Path, file: TextIO, broken: Broken, held: Held) -> Iterator[Record]:
    number = 0
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except ValueError as exc:
            if number == 0 and text.strip() in "{[":  # one value, written over many lines
                yield from _one(path, file, text, held)
                return
            broken(line, f"is no JSON: {exc}")
            continue
        for each in held(value):
            yield Record(number, line, each)
            number += 1


def _one(path: Path, file: TextIO, begun: str, held: Held) -> Iterator[Record]:
    try:
        value = json.loads(begun + file.read())
    except ValueError as exc:
        raise LogUnreadable(f"{path}: is no JSON: {exc}") from exc
    for number, each in enumerate(held(value)):
        yield Record(number, 1, each)


def _itself(value: Any) -> Iterator[Any]:
    yield value


def _paged(value: Any) -> Iterator[Any]:
    """What an API's page lists, with the page's own facts under `page`; anything else is itself."""
    if isinstance(value, dict):
        inside = value["data"] if isinstance(value.get("data"), dict) else value
        for name in (*_PAGES, "payload"):
            listed = inside.get(name)
            if isinstance(listed, list) and not {"messages", "comments"} & inside.keys():
                if (
                    name == "payload"
                    and listed
                    and isinstance(listed[0], dict)
                    and "message_type" in listed[0]
                ):
                    break  # messages of one conversation, not conversations
                page = {key: each for key, each in value.items() if key != name}
                for each in listed:
                    yield {**each, "page": page} if isinstance(each, dict) and page else each
                return
    yield value


def _items(path: Path, file: TextIO, broken: Broken) -> Iterator[Record]:
    """Of an array, however long, each decoded by itself."""
    buffer, line, number = file.read(_CHUNK), 1, 0
    position = buffer.index("[") + 1
    while True:
        while position < len(buffer) and (buffer[position].isspace() or buffer[position] == ","):
            position += 1
        if position < len(buffer) and buffer[position] == "]":
            return
        try:
            value, end = _DECODER.raw_decode(buffer, position)
        except json.JSONDecodeError as exc:
            more = file.read(max(_CHUNK, len(buffer))) if _may_be_cut(exc, buffer) else ""
            if not more:
                broken(line + buffer.count("\n", 0, exc.pos), f"is no JSON, nor is what follows: {exc.msg}")
                return
            line += buffer.count("\n", 0, position)
            buffer, position = buffer[position:] + more, 0
            continue
        begins = line + buffer.count("\n", 0, position)
        line, buffer, position = line + buffer.count("\n", 0, end), buffer[end:], 0
        yield Record(number, begins, value)
        number += 1


def _may_be_cut(exc: json.JSONDecodeError, buffer: str) -> bool:
    return exc.msg.startswith("Unterminated string") or exc.pos >= len(buffer) - _AT_THE_END
