"""
Read recorded conversations from any known format, told apart by their content; a mapping file describes any other.

Formats: Careline JSONL; Zendesk, Intercom and Chatwoot exports; CSV and text transcripts; Schema-Guided Dialogue, DSTC10/11,
ABCD and τ²-bench tasks. Everything is read one record at a time, so that memory does not grow with the log.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.formats import public, tau2, vendors
from agent.replay.formats.base import MALFORMED, BrokenLines, Format, LogUnreadable, Record, whole, why
from agent.replay.formats.json_records import records
from agent.replay.formats.mapping import Mapped, MappingUnusable, read_mapping
from agent.replay.formats.transcripts import read_csv, read_text
from agent.replay.log import RecordedConversation

__all__ = ["KNOWN", "BrokenLines", "LogUnreadable", "Mapped", "MappingUnusable", "read_log", "read_mapping"]

_FORMATS = (*vendors.FORMATS, *public.FORMATS, *tau2.FORMATS)
_BY_NAME = {".csv": read_csv, ".tsv": read_csv, ".txt": read_text, ".log": read_text}


def _careline(_: Path) -> Callable[[Record], Iterable[RecordedConversation]]:
    def read(record: Record) -> Iterator[RecordedConversation]:
        yield msgspec.convert(record.value, RecordedConversation, strict=True)

    return read


def _is_careline(value: Any) -> bool:
    return isinstance(value, dict) and "id" in value and isinstance(value.get("messages"), list)


_ALL = (*_FORMATS, Format("Careline JSONL", _is_careline, _careline))
"""In the order in which they are tried: a Chatwoot conversation has an id and messages, too."""

KNOWN = (*(each.name for each in _ALL), "CSV", "text transcript")


def read_log(
    path: Path, mapping: Mapped | None = None, *, broken: BrokenLines | None = None
) -> Iterator[RecordedConversation]:
    """
    Every conversation of one file, in its order. `broken` hears of each record that cannot be read, and the others go on; None:
    the first one ends it.

    Raises:
        LogUnreadable: the file is in no known format, or something in it is broken and nobody wants to hear of it.
    """
    report = partial(_reported, path, broken)
    try:
        if mapping is not None:
            yield from mapping.read(path, report)
        elif (transcript := _BY_NAME.get(path.suffix.lower())) is not None:
            yield from transcript(path, report)
        else:
            yield from _json(path, report)
    except OSError as exc:
        raise LogUnreadable(f"{path}: cannot be read: {exc}") from exc


def _reported(path: Path, broken: BrokenLines | None, line: int, told: str) -> None:
    message = f"{path}, line {line}: {told}"
    if broken is None:
        raise LogUnreadable(message)
    broken.note(message)


def _json(path: Path, report: Callable[[int, str], None]) -> Iterator[RecordedConversation]:
    chosen: Format | None = None
    read: Callable[[Record], Iterable[RecordedConversation]] | None = None
    for record in records(path, report):
        if chosen is None or read is None:
            chosen = next((each for each in _ALL if each.fits(record.value)), None)
            if chosen is None:
                raise LogUnreadable(
                    f"{path}: unknown format; known are {', '.join(KNOWN)}, and anything else by a mapping file"
                )
            read = chosen.reader(path)
        try:
            found = [whole(conversation) for conversation in read(record)]
        except MALFORMED as exc:
            report(record.line, f"{why(exc)} ({chosen.name})")
        else:
            yield from found
    if chosen is None:
        raise LogUnreadable(f"{path}: holds no conversation")
