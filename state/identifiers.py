"""
The ids that an incoming message leads to. Derived, so that SQL, journal and every replica arrive at the same ones.
"""

from core.ids import derived_id
from state.store import IncomingMessage


def conversation_id_of(message: IncomingMessage) -> str:
    return message.conversation_id or derived_id(
        "conv", message.tenant, message.principal, message.client_message_id
    )


def message_id_of(message: IncomingMessage, conversation_id: str) -> str:
    return derived_id("msg", message.tenant, conversation_id, message.client_message_id)


def note_id(tenant: str, conversation_id: str, key: str) -> str:
    return derived_id("msg", tenant, conversation_id, "note", key)


def operator_message_id(tenant: str, conversation_id: str, text: str, *, last_user: int) -> str:
    """Of what a person says after the customer's message `last_user`: the same words again are the same message."""
    return derived_id("msg", tenant, conversation_id, "operator", str(last_user), text)


def turn_id_of(tenant: str, conversation_id: str, first_message_id: str) -> str:
    return derived_id("turn", tenant, conversation_id, first_message_id)


def split_turn_id(tenant: str, conversation_id: str, first_message_id: str) -> str:
    """Of messages that were taken out of the turn that they were in."""
    return derived_id("turn", tenant, conversation_id, first_message_id, "split")


def reply_id_of(tenant: str, conversation_id: str, turn_id: str) -> str:
    return derived_id("msg", tenant, conversation_id, turn_id)


def handed_over_reply_id(tenant: str, turn_id: str) -> str:
    """Of the sentence that says a person has the conversation; it is answered, but not part of the log."""
    return derived_id("msg", tenant, turn_id, "handed_over")
