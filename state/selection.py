"""
Which of a conversation's messages a turn answers, and which it only has to know.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from core.messages import Message, MessageRole
from state.store import Basis, Lease, Snapshot


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


def snapshot_on(
    basis: Basis,
    lease: Lease,
    window: Sequence[Message],
    *,
    history_messages: int,
    source: Literal["redis", "sql"],
) -> Snapshot:
    """What the lease brought along, and the messages `window` up to `lease.head`."""
    history, fresh = split(window, lease, history_messages=history_messages)
    return Snapshot(
        conversation=replace(
            basis.conversation,
            head=lease.head,
            answered=lease.after_seq,
            last_user=max(lease.upto_seq, basis.conversation.last_user),
        ),
        state=basis.state,
        state_version=lease.state_version,
        history=history,
        fresh=fresh,
        customer_state=basis.customer_state,
        customer_version=lease.customer_version,
        source=source,
    )
