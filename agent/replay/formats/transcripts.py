"""
Plain transcripts: CSV with one message a row, and text with one message a line (`Customer: …`).

Rows of a conversation stand together. Who speaks is told by common names; any others are named in a mapping file.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from agent.replay.formats.base import Broken, LogUnreadable, iso_time, readable
from agent.replay.log import RecordedConversation, RecordedMessage

Role = Literal["customer", "agent", "operator", "tool", "system"]

_LONGEST_FIELD = 1 << 20
_FACTS: tuple[str, ...] = ("customer", "locale", "channel")

_CALLED: Mapping[Role, str] = {
    "customer": "customer user visitor client caller guest end-user end_user contact member buyer kunde cliente",
    "agent": "agent assistant bot ai chatbot careline",
    "operator": "operator support human representative rep advisor adviser staff admin employee",
    "tool": "tool",
    "system": "system",
}
ROLES: Mapping[str, Role] = {name: role for role, names in _CALLED.items() for name in names.split()}

COLUMNS: Mapping[str, Sequence[str]] = {
    "id": ("conversation_id", "conversation", "conv_id", "chat_id", "ticket_id", "thread_id", "session_id", "dialogue_id", "id"),
    "role": ("role", "speaker", "author", "sender", "from", "who", "author_type", "sender_type"),
    "text": ("text", "message", "body", "content", "utterance", "msg"),
    "at": ("at", "timestamp", "time", "created_at", "date", "sent_at"),
    "customer": ("customer", "customer_id", "email", "user_id"),
    "locale": ("locale", "language", "lang"),
    "channel": ("channel",),
}  # fmt: skip

_LINE = re.compile(
    r"^\s*(?:\[(?P<at>[^\]]{4,40})\]\s*|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:?\d\d)?)\s+)?"
    r"(?P<who>[^\W\d_][\w .'-]{0,40}?)\s*:\s(?P<text>.*)$"
)
_SEPARATOR = re.compile(r"^\s*(?:-{3,}|={3,}|\*{3,}|#{3,}\s*(?P<id>.*))\s*$")
_SHORT_TIME = re.compile(r"^\d{1,2}:\d\d(?::\d\d)?(?:\s?[AaPp][Mm])?$")

Reported = Callable[[int, str], None]
"""Hears of a broken line; may raise, to end it."""


def role_of(name: str, roles: Mapping[str, Role] = ROLES) -> Role:
    found = roles.get(name.strip().casefold())
    if found is None:
        raise Broken(
            f"nobody knows whether {name.strip()!r} is the customer or the agent; name it in a mapping file"
        )
    return found


class Gathered:
    """Messages that stand together, until another conversation begins; one with a broken message is left out as a whole."""

    def __init__(self, broken: Reported) -> None:
        self._broken = broken
        self._id: str | None = None
        self._facts: dict[str, str | None] = {}
        self._messages: list[RecordedMessage] = []
        self._is_spoiled = False
        self._seen: set[int] = set()

    def take(
        self, line: int, conversation: str, message: RecordedMessage | None, facts: Mapping[str, str | None]
    ) -> Iterator[RecordedConversation]:
        """`message` None: it was broken, and has been reported."""
        if conversation != self._id:
            yield from self.end()
            self._id = conversation
            if hash(conversation) in self._seen:
                self._broken(
                    line, f"conversation {conversation} goes on here: rows of one must stand together"
                )
                self._is_spoiled = True
            self._seen.add(hash(conversation))
        if message is None:
            self._is_spoiled = True
            return
        self._messages.append(message)
        for name, value in facts.items():
            self._facts.setdefault(name, value)

    def end(self) -> Iterator[RecordedConversation]:
        if self._id is not None and self._messages and not self._is_spoiled:
            yield RecordedConversation(
                id=self._id,
                messages=tuple(self._messages),
                customer=self._facts.get("customer"),
                locale=self._facts.get("locale"),
                channel=self._facts.get("channel"),
            )
        self._id, self._facts, self._messages, self._is_spoiled = None, {}, [], False


def rows(path: Path, broken: Reported) -> Iterator[tuple[int, dict[str, str]]]:
    """Of a CSV or TSV file with a head, by its names in small letters, with the line on which each ends."""
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first), strict=True)
            head = [name.strip().casefold() for name in next(reader, [])]
            if not head:
                raise LogUnreadable(f"{path}: is empty")
            for row in reader:
                if not any(row):
                    continue
                if len(row) != len(head):
                    broken(reader.line_num, f"has {len(row)} fields, and the head {len(head)}")
                    continue
                yield reader.line_num, dict(zip(head, row, strict=True))
        except csv.Error as exc:
            broken(reader.line_num, f"is no CSV, nor is what follows: {exc}")


def _delimiter(head: str) -> str:
    return max(",;\t|", key=head.count)


def read_csv(path: Path, broken: Reported) -> Iterator[RecordedConversation]:
    gathered = Gathered(broken)
    columns: dict[str, str] | None = None
    for line, row in rows(path, broken):
        if columns is None:
            columns = _columns_of(path, row)
        message: RecordedMessage | None = None
        try:
            message = RecordedMessage(
                role=role_of(row[columns["role"]]),
                text=readable(row[columns["text"]]),
                at=iso_time(row[columns["at"]]) if "at" in columns else None,
            )
        except Broken as exc:
            broken(line, str(exc))
        conversation = row[columns["id"]] if "id" in columns else path.stem
        facts = {name: row[columns[name]] or None for name in _FACTS if name in columns}
        yield from gathered.take(line, conversation, message, facts)
    yield from gathered.end()


def _columns_of(path: Path, row: Mapping[str, str]) -> dict[str, str]:
    found = {
        field: next(name for name in names if name in row)
        for field, names in COLUMNS.items()
        if any(name in row for name in names)
    }
    if missing := [field for field in ("role", "text") if field not in found]:
        raise LogUnreadable(
            f"{path}: no column for {' and '.join(missing)} among {', '.join(row)}; a mapping file can name them"
        )
    return found


def read_text(
    path: Path, broken: Reported, roles: Mapping[str, Role] = ROLES
) -> Iterator[RecordedConversation]:
    """
    Lines without a speaker, and indented ones, go on with what the one before said; a line of dashes, or `### ID`, begins a
    conversation.
    """
    gathered = Gathered(broken)
    number, named = 1, ""
    pending: tuple[int, RecordedMessage | None] | None = None

    def conversation() -> str:
        return named or f"{path.stem}-{number}"

    def flush() -> Iterator[RecordedConversation]:
        nonlocal pending
        if pending is not None:
            line, message = pending
            if message is not None:
                message = msgspec.structs.replace(message, text=message.text.rstrip())
            yield from gathered.take(line, conversation(), message, {})
            pending = None

    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for line, text in enumerate(file, start=1):
            if separator := _SEPARATOR.match(text):
                yield from flush()
                number, named = number + 1, (separator["id"] or "").strip()
            elif (found := _LINE.match(text)) and not (pending is not None and text[0].isspace()):
                yield from flush()
                pending = (line, _spoken(found, line, broken, roles))
            elif text.strip() and pending is None:
                broken(line, "has no speaker: a line begins with `Customer: ` or `Agent: `")
                yield from gathered.take(line, conversation(), None, {})
            elif pending is not None and (said := pending[1]) is not None:
                pending = (pending[0], _gone_on(said, text.strip(), line, broken))
    yield from flush()
    yield from gathered.end()


def _spoken(
    found: re.Match[str], line: int, broken: Reported, roles: Mapping[str, Role]
) -> RecordedMessage | None:
    at = found["at"] or found["time"]
    try:
        return RecordedMessage(
            role=role_of(found["who"], roles),
            text=readable(found["text"].rstrip()),
            at=iso_time(at) if at and not _SHORT_TIME.match(at) else None,
        )
    except Broken as exc:
        broken(line, str(exc))
        return None


def _gone_on(said: RecordedMessage, text: str, line: int, broken: Reported) -> RecordedMessage | None:
    try:
        return RecordedMessage(role=said.role, text=f"{said.text}\n{readable(text)}".lstrip(), at=said.at)
    except Broken as exc:
        broken(line, str(exc))
        return None
