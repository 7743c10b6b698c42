"""
What an address may look like: e-mail, phone, chat; and which one a customer's record has for a channel.

Stricter than the RFCs: quoted local parts, comments and literals are legal, rare, and a way to smuggle
headers.
"""

import re

from core.records import Customer

_LONGEST = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_LOCAL_PART = 64
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


def is_email_address(text: str) -> bool:
    """One bare address and nothing around it; `user@localhost` counts."""
    if len(text) > _LONGEST or _ADDRESS.fullmatch(text) is None:
        return False
    return len(text.partition("@")[0]) <= _LONGEST_LOCAL_PART


_PHONE = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)  # E.164
_PHONE_PUNCTUATION = re.compile(r"[ ()./-]")
_CHAT = re.compile(r"[@#]?[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


def compact_phone_number(text: str) -> str:
    """Without what people write between the digits."""
    return _PHONE_PUNCTUATION.sub("", text)


def is_phone_number(text: str) -> bool:
    """With its country, `+34600111222`; nothing else can be sent to from everywhere."""
    return _PHONE.fullmatch(text) is not None


def is_chat_address(text: str) -> bool:
    """A user, channel or chat id of a chat service: nothing that could be read as part of a URL's structure."""
    return _CHAT.fullmatch(text) is not None


def address_on_file(customer: Customer, channel: str) -> str | None:
    """What the company has on file for a channel; the webhook's receiver knows the customer by the id."""
    match channel:
        case "sms":
            return compact_phone_number(customer.phone) if customer.phone is not None else None
        case "chat":
            address = customer.attributes.get("chat")
            return address if isinstance(address, str) else None
        case "webhook":
            return customer.customer_id
        case _:
            return customer.email
