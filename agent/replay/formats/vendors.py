"""
Exports of help desks: Zendesk tickets with their comments, Intercom and Chatwoot conversations, by the vendors' own field names.

What only the team sees (internal notes, assignments) is left out; a person's words become an operator's, a bot's the agent's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from agent.replay.formats.base import Broken, Format, Record, iso_time, text_of_html
from agent.replay.log import RecordedConversation, RecordedMessage

Role = Literal["customer", "agent", "operator"]
Reader = Callable[[Record], Iterator[RecordedConversation]]

_INTERCOM_CUSTOMERS = frozenset({"user", "lead", "contact"})
_INTERCOM_ROLES: Mapping[str, Role] = {"admin": "operator", "team": "operator", "bot": "agent"}
_INTERCOM_TALK = frozenset({"comment", "open", "close", "assignment", "quick_reply"})
_CHATWOOT_DIRECTIONS = {0: "incoming", 1: "outgoing", 2: "activity", 3: "template"}
_END_USER = "end-user"


def _zendesk(path: Path) -> Reader:
    def read(record: Record) -> Iterator[RecordedConversation]:
        ticket: Mapping[str, Any] = record.value
        page: Mapping[str, Any] = ticket.get("page") or {}
        ticket = ticket.get("ticket") or ticket
        users = {user["id"]: user for user in (*page.get("users", ()), *ticket.get("users", ()))}
        requester = ticket.get("requester") or users.get(ticket.get("requester_id")) or {}
        whose = ticket.get("requester_id", requester.get("id"))
        comments = sorted(_comments(ticket), key=lambda comment: str(comment.get("created_at", "")))
        if whose is None:
            whose = comments[0]["author_id"]  # a list of comments alone: the first opened the ticket
        yield RecordedConversation(
            id=f"zendesk-{ticket.get('id') or path.stem}",
            customer=_text(requester.get("email") or requester.get("external_id") or whose),
            locale=requester.get("locale"),
            channel=_at(ticket, "via", "channel"),
            messages=tuple(
                RecordedMessage(
                    role=_zendesk_role(comment, whose, users),
                    text=_zendesk_text(comment),
                    at=iso_time(comment.get("created_at")),
                )
                for comment in comments
                if comment.get("public", True)
            ),
        )

    return read


def _comments(ticket: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    comments = ticket["comments"]
    if not isinstance(comments, list) or not comments:
        raise Broken("has no comments: export the tickets with theirs (GET /api/v2/tickets/{id}/comments)")
    return comments


def _zendesk_role(comment: Mapping[str, Any], requester: Any, users: Mapping[Any, Any]) -> Role:
    author = comment["author_id"]
    if author == requester or users.get(author, {}).get("role") == _END_USER:
        return "customer"
    return "agent" if author == -1 else "operator"  # -1 is Zendesk itself: triggers, bots


def _zendesk_text(comment: Mapping[str, Any]) -> str:
    if comment.get("html_body") and not comment.get("plain_body"):
        return text_of_html(comment["html_body"])
    return str(comment.get("plain_body") or comment["body"]).replace("\u00a0", " ").strip()


def _intercom(_: Path) -> Reader:
    def read(record: Record) -> Iterator[RecordedConversation]:
        conversation = record.value
        listed = conversation["conversation_parts"]
        parts = listed["conversation_parts"] if isinstance(listed, dict) else listed
        source = conversation.get("source") or {}
        opening = {"part_type": "comment", "created_at": conversation.get("created_at"), **source}
        contacts = _at(conversation, "contacts", "contacts") or []
        contact = contacts[0] if contacts else _at(source, "author") or {}
        yield RecordedConversation(
            id=f"intercom-{conversation['id']}",
            customer=_text(contact.get("external_id") or contact.get("email") or contact.get("id")),
            locale=conversation.get("language_override"),
            channel=source.get("type"),
            messages=tuple(_intercom_messages([opening, *parts])),
        )

    return read


def _intercom_messages(parts: Sequence[Mapping[str, Any]]) -> Iterator[RecordedMessage]:
    for part in parts:
        text = text_of_html(part.get("body"))
        if part.get("part_type", "comment") in _INTERCOM_TALK and text:
            yield RecordedMessage(
                role=_intercom_role(part["author"]), text=text, at=iso_time(part.get("created_at"))
            )


def _intercom_role(author: Mapping[str, Any]) -> Role:
    kind = author["type"]
    if kind in _INTERCOM_CUSTOMERS:
        return "customer"
    if kind not in _INTERCOM_ROLES:
        raise Broken(f"an author of type {kind!r}")
    return "agent" if author.get("from_ai_agent") else _INTERCOM_ROLES[kind]


def _chatwoot(_: Path) -> Reader:
    def read(record: Record) -> Iterator[RecordedConversation]:
        value = record.value
        if "messages" in value:
            yield _chatwoot_conversation(value["id"], value["messages"], value.get("meta") or {})
            return
        by_conversation: dict[Any, list[Mapping[str, Any]]] = {}
        for message in value["payload"]:
            by_conversation.setdefault(message["conversation_id"], []).append(message)
        for number, messages in by_conversation.items():
            yield _chatwoot_conversation(number, messages, value.get("meta") or {})

    return read


def _chatwoot_conversation(
    number: Any, messages: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]
) -> RecordedConversation:
    contact = meta.get("sender") or meta.get("contact") or {}
    said = sorted(messages, key=lambda message: (str(iso_time(message.get("created_at"))), message["id"]))
    return RecordedConversation(
        id=f"chatwoot-{number}",
        customer=_text(contact.get("identifier") or contact.get("email") or contact.get("id")),
        locale=_at(contact, "additional_attributes", "language"),
        channel=meta.get("channel"),
        messages=tuple(
            RecordedMessage(
                role=_chatwoot_role(message),
                text=str(message["content"]).strip(),
                at=iso_time(message.get("created_at")),
            )
            for message in said
            if not message.get("private") and message.get("content") and _direction(message) != "activity"
        ),
    )


def _direction(message: Mapping[str, Any]) -> str:
    given = message["message_type"]
    direction = _CHATWOOT_DIRECTIONS.get(given, given)
    if direction not in _CHATWOOT_DIRECTIONS.values():
        raise Broken(f"message_type {given!r}")
    return str(direction)


def _chatwoot_role(message: Mapping[str, Any]) -> Role:
    if _direction(message) == "incoming":
        return "customer"
    sender = _at(message, "sender", "type") or str(message.get("sender_type") or "").lower()
    return "operator" if sender in ("user", "agent") else "agent"


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_zendesk(value: Any) -> bool:
    return isinstance(value, dict) and ("comments" in value or "comments" in (value.get("ticket") or ()))


def _is_chatwoot(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    messages = value.get("messages", value.get("payload"))
    if not isinstance(messages, list):
        return False
    if {"messages", "inbox_id"} <= value.keys():
        return True
    return any(isinstance(each, dict) and "message_type" in each for each in messages[:20])


FORMATS = (
    Format("Zendesk", _is_zendesk, _zendesk),
    Format("Intercom", lambda value: isinstance(value, dict) and "conversation_parts" in value, _intercom),
    Format("Chatwoot", _is_chatwoot, _chatwoot),
)
