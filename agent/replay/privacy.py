"""
What of a conversation may leave: all personal data taken out, or put under tokens that a key opens again, or as it is.

Secrets (keys, passwords, bearer tokens) stay out in either of the first two. Names are known where a tool's answer has them in a
field of that name; then they are taken out of the whole conversation.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from agent.replay.log import RecordedConversation, RecordedMessage
from core.telemetry.redaction import names_a_secret, without_personal

_PERSONAL_FIELD = re.compile(
    r"(?:^|_)(?:e?mail|phone|address|street|address1|address2|zip|zipcode|postcode|birthday|birth_date|dob|contact)$",
    re.IGNORECASE,
)
_NAME_FIELD = re.compile(
    r"^(?:(?:first|last|full|customer|given|family|user)?_?name|first|last)$", re.IGNORECASE
)
_OF_A_PERSON = re.compile(
    r"(?:^|_)(?:e?mail|phone|customer_id|user_id|birthday|dob)$|^(?:first|last|family|given)(?:_?name)?$|^customer_?name$",
    re.IGNORECASE,
)
"""Beside a field `name` it says that this is no article's or product's."""
_SHORTEST = 3
_SHORTEST_ID = 6
"""A shorter one is a number or word that stands for other things, too."""
_ID_LETTERS = 12
_WITHHELD = "[withheld]"


class Cover(Protocol):
    """What stands in the place of personal data: of one kind, these words."""

    def __call__(self, kind: str, words: str) -> str: ...


class Redacted:
    """`[email]` for an address; customers keep apart by a number that nobody can lead back: its key is forgotten with this."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def __call__(self, kind: str, words: str) -> str:
        if kind != "customer":
            return f"[{kind}]"
        return f"customer-{hashlib.blake2b(words.encode(), key=self._key).hexdigest()[:_ID_LETTERS]}"


def covered(conversation: RecordedConversation, cover: Cover) -> RecordedConversation:
    """The whole conversation without personal data and secrets. The same words are covered alike wherever they stand."""
    known = _Known(conversation, cover)
    customer = conversation.customer
    return msgspec.structs.replace(
        conversation,
        customer=cover("customer", customer) if customer is not None else None,
        messages=tuple(_covered(message, cover, known) for message in conversation.messages),
    )


class _Known:
    """Names, streets and the like of people, as tools' answers have them in fields of such names, and the customer's id."""

    def __init__(self, conversation: RecordedConversation, cover: Cover) -> None:
        kinds = {
            words: kind
            for message in conversation.messages
            if message.role == "tool"
            for kind, words in _personal_in(message.result)
            if len(words) >= _SHORTEST
        }
        if conversation.customer is not None and len(conversation.customer) >= _SHORTEST_ID:
            kinds[conversation.customer] = "customer"
        longest_first = sorted(kinds, key=lambda words: (-len(words), words))
        pattern = "|".join(rf"(?<!\w){re.escape(words)}(?!\w)" for words in longest_first)
        self._pattern = re.compile(pattern) if pattern else None
        self._kinds = kinds
        self._cover = cover

    def without(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._cover(self._kinds[found[0]], found[0]), text)


def _personal_in(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        is_person = any(_OF_A_PERSON.search(str(field)) for field in value)
        for field, each in value.items():
            if isinstance(each, str):
                if is_person and _NAME_FIELD.search(str(field)):
                    yield "name", each
                elif _PERSONAL_FIELD.search(str(field)) and "@" not in each:
                    yield "address", each
            elif field != "passages":
                yield from _personal_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _personal_in(each)


def _covered(message: RecordedMessage, cover: Cover, known: _Known) -> RecordedMessage:
    def text(words: str) -> str:
        return known.without(without_personal(words, cover))

    by_field = message.role == "tool"
    return msgspec.structs.replace(
        message,
        text=text(message.text),
        args=_value(message.args, text, cover if by_field else None),
        result=_value(message.result, text, cover if by_field else None),
        prompt=tuple(_value(each, text, None) for each in message.prompt),
        completion=_value(message.completion, text, None),
    )


def _value(value: Any, text: Callable[[str], str], cover: Cover | None) -> Any:
    """With `cover`, fields whose names say that they are personal are covered whole."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(str(name)): _field(str(name), each, text, cover) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each, text, cover) for each in value]
    return value


def _field(name: str, value: Any, text: Callable[[str], str], cover: Cover | None) -> Any:
    if cover is not None and isinstance(value, str) and value:
        if _PERSONAL_FIELD.search(name):
            return cover("email" if "@" in value else "address", value)
        if name == "customer_id":
            return cover("customer", value)
        if names_a_secret(name):
            return _WITHHELD
    return _value(value, text, None if name == "passages" else cover)
