"""
What an incoming message becomes once it is accepted: the same in SQL and in the journal.
"""

from core.messages import Durability, Message, MessageRole, Reply, TurnResult, TurnStatus
from state.identifiers import handed_over_reply_id
from state.store import IncomingMessage


def message_from(message: IncomingMessage, *, message_id: str, turn_id: str, seq: int) -> Message:
    return Message(
        message_id=message_id,
        seq=seq,
        role=MessageRole.CUSTOMER,
        text=message.text,
        at=message.at,
        turn_id=turn_id,
        client_message_id=message.client_message_id,
        metadata=message.metadata,
        email=message.email,
    )


def handed_over_result(
    message: IncomingMessage, *, conversation_id: str, turn_id: str, message_id: str, durability: Durability
) -> TurnResult:
    """The answer while a person has the conversation."""
    return TurnResult(
        conversation_id=conversation_id,
        turn_id=turn_id,
        message_id=message_id,
        status=TurnStatus.HANDED_OVER,
        reply=Reply(handed_over_reply_id(message.tenant, turn_id), message.handed_over_reply),
        durability=durability,
    )
