"""
Which of a conversation's messages a turn answers, and which it only has to know.
"""

from collections.abc import Sequence

from core.messages import Message, MessageRole
from state.store import Lease


def split(
    window: Sequence[Message], lease: Lease, *, history_messages: int
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """
    History and fresh messages of a turn. What a customer wrote after this turn began belongs to neither: a later turn answers
    it.
    """
    fresh = tuple(m for m in window if m.role is MessageRole.CUSTOMER and m.turn_id == lease.turn_id)
    history = tuple(m for m in window if m.role is not MessageRole.CUSTOMER or m.seq <= lease.after_seq)
    return history[-history_messages:], fresh
