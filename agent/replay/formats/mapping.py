"""
A mapping file: where a log of any other form has its conversations, messages, speakers and words.

Read from YAML, every mistake named with its line and field; then it is a format like the others.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agent.brain.flows.located import Located, Node, Problem
from agent.replay.formats.base import MALFORMED, Broken, LogUnreadable, iso_time, readable, text_of_html, why
from agent.replay.formats.json_records import records
from agent.replay.formats.transcripts import ROLES, Gathered, Reported, Role, read_text, rows
from agent.replay.log import RecordedConversation, RecordedMessage
from core.field_paths import steps_of, value_at

SKIPPED = "skip"
_KINDS = ("jsonl", "json", "csv", "txt")
_CONVERSATION_PATHS = ("id", "customer", "locale", "channel")
_MESSAGE_PATHS = ("role", "text", "at", "tool", "args", "result", "status")
_FIELDS = (*_CONVERSATION_PATHS, *_MESSAGE_PATHS, "format", "messages", "roles", "html")
_ROLES = ("customer", "agent", "operator", "system", "tool", SKIPPED)


class MappingUnusable(LogUnreadable):
    """All that is wrong with a mapping file, a line for each."""

    next_step = "Mend what is named above and try again; docs/recordings.md describes every field."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """
    `paths` by field: where each stands, a JSON pointer, dotted names, or a column. With `messages` each record is a conversation
    that holds them; without, each record is a message. `roles` says who speaks, by what the log calls them.
    """

    kind: str
    paths: Mapping[str, str]
    messages: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    is_html: bool = False

    def read(self, path: Path, broken: Reported) -> Iterator[RecordedConversation]:
        if self.kind == "txt":
            # Notes of the team are no words of the conversation.
            spoken = {name: role for name, role in self.roles.items() if role != SKIPPED}
            return read_text(path, broken, {**ROLES, **cast(Mapping[str, Role], spoken)})
        found = rows(path, broken) if self.kind == "csv" else _values(path, broken)
        if self.messages is not None:
            return self._whole(found, broken)
        return self._gathered(path, found, broken)

    def _whole(self, found: Iterator[tuple[int, Any]], broken: Reported) -> Iterator[RecordedConversation]:
        for line, value in found:
            try:
                conversation = self._text_at(value, "id")
                if conversation is None:
                    raise Broken(f"has nothing at {self.paths['id']} (id)")
                listed = value_at(value, self.messages or "")
                if not isinstance(listed, list):
                    raise Broken(f"has no list at {self.messages} (messages)")
                messages = (self._message(each) for each in listed)
                yield RecordedConversation(
                    id=conversation,
                    messages=tuple(message for message in messages if message is not None),
                    customer=self._text_at(value, "customer"),
                    locale=self._text_at(value, "locale"),
                    channel=self._text_at(value, "channel"),
                )
            except MALFORMED as exc:
                broken(line, why(exc))

    def _gathered(
        self, path: Path, found: Iterator[tuple[int, Any]], broken: Reported
    ) -> Iterator[RecordedConversation]:
        gathered = Gathered(broken)
        for line, value in found:
            conversation = self._text_at(value, "id") or path.stem
            facts = {name: self._text_at(value, name) for name in _CONVERSATION_PATHS if name != "id"}
            message: RecordedMessage | None = None
            try:
                message = self._message(value)
                if message is None:
                    continue
            except MALFORMED as exc:
                broken(line, why(exc))
            yield from gathered.take(line, conversation, message, facts)
        yield from gathered.end()

    def _message(self, value: Any) -> RecordedMessage | None:
        """None for one that is to be skipped."""
        called = value_at(value, self.paths["role"])
        role = self.roles.get(_name(called)) or ROLES.get(_name(called))
        if role is None:
            raise Broken(f"{called!r} at {self.paths['role']} is in no role: name it under roles")
        if role == SKIPPED:
            return None
        text = readable(self._text_at(value, "text") or "")
        args = self._at(value, "args")
        if args is not None and not isinstance(args, dict):
            args = _object(args)
        return RecordedMessage(
            role=cast(Role, role),
            text=text_of_html(text) if self.is_html else text,
            at=iso_time(self._at(value, "at")),
            tool=self._text_at(value, "tool"),
            args=args,
            result=self._at(value, "result"),
            status=self._text_at(value, "status"),
        )

    def _at(self, value: Any, name: str) -> Any:
        return value_at(value, self.paths[name]) if name in self.paths else None

    def _text_at(self, value: Any, name: str) -> str | None:
        found = self._at(value, name)
        if found is None or found == "":
            return None
        if isinstance(found, dict | list):
            raise Broken(f"at {self.paths[name]} ({name}) stands no text")
        return str(found)


def _values(path: Path, broken: Reported) -> Iterator[tuple[int, Any]]:
    return ((record.line, record.value) for record in records(path, broken, is_paged=False))


def _object(text: Any) -> dict[str, Any]:
    """Arguments are often written as JSON in a text."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise Broken("its arguments are no JSON object")
    return value


def _name(value: Any) -> str:
    return str(value).strip().casefold()


def read_mapping(file: Path) -> Mapped:
    """
    Raises:
        MappingUnusable: naming line and field of all that is wrong.
    """
    problems: list[Problem] = []
    located = Located(file, problems)
    root = located.load()
    mapped = _mapped(located, root) if root is not None else None
    if problems or mapped is None:
        raise MappingUnusable("\n".join(map(str, problems)))
    return mapped


def _mapped(located: Located, root: Node) -> Mapped:
    is_text = _kind(located, root) == "txt"
    fields = located.mapping(
        root, known=_FIELDS, required=("format",) if is_text else ("format", "role", "text")
    )
    kind = located.one_of(fields["format"], _KINDS, "jsonl") if "format" in fields else "jsonl"
    paths = {
        name: _path(located, fields[name], is_column=kind == "csv")
        for name in (*_CONVERSATION_PATHS, *_MESSAGE_PATHS)
        if name in fields
    }
    messages = _path(located, fields["messages"], is_column=False) if "messages" in fields else None
    if messages is not None and kind == "csv":
        located.wrong(fields["messages"], "a row is a message; leave it out")
    if messages is not None and "id" not in fields:
        located.wrong(root, "is missing: which field names the conversation", "id")
    return Mapped(
        kind=kind,
        paths=paths,
        messages=messages,
        roles=_roles(located, fields["roles"]) if "roles" in fields else {},
        is_html=located.yes_or_no(fields["html"]) if "html" in fields else False,
    )


def _kind(located: Located, root: Node) -> str:
    given = root.value.get("format") if isinstance(root.value, dict) else None
    return given.value if given is not None and isinstance(given.value, str) else ""


def _path(located: Located, node: Node, *, is_column: bool) -> str:
    path = located.text(node)
    if is_column:
        # A column may be called anything, with dots and slashes too.
        return "/" + path.casefold().replace("~", "~0").replace("/", "~1")
    try:
        steps_of(path)
    except ValueError as exc:
        located.wrong(node, str(exc))
    return path


def _roles(located: Located, node: Node) -> Mapping[str, str]:
    roles: dict[str, str] = {}
    for role, called in located.mapping(node, known=_ROLES).items():
        for each in located.items(called):
            name = _name(located.text(each))
            if name in roles:
                located.wrong(each, f"{name} is {roles[name]} already")
            roles[name] = role
    return roles
