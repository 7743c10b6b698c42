"""
Which turn a journaled answer settles, where SQL had taken some of its messages too and made other turns of them.

The customer has heard the answer, so it has to stand for just the messages that it answered: those move into one turn, and those
that it did not know of wait in one of their own.
"""

import sqlalchemy as sa

from core.messages import Message, MessageRole
from state.identifiers import split_turn_id
from state.sql import rows
from state.sql.connection import Connection
from state.sql.rows import Row
from state.sql.tables import messages, turns
from state.store import Lease


async def regroup(connection: Connection, row: Row, lease: Lease) -> str | None:
    """The id of the unanswered turn that has become the lease's; None where all of its messages are answered already."""
    waiting = {turn.turn_id: turn for turn in await rows.unanswered_turns(connection, row)}
    if not waiting:
        return None
    first = min(turn.first_seq for turn in waiting.values())
    found = await rows.messages_between(
        connection, lease.tenant, lease.conversation_id, after=first - 1, upto=row.head
    )
    asked = [m for m in found if m.role is MessageRole.CUSTOMER and m.turn_id in waiting]
    answered = {message.message_id for message in lease.fresh}
    settled = [message.message_id for message in asked if message.message_id in answered]
    if not settled:
        return None
    turn_id = lease.turn_id
    if turn_id not in waiting and await rows.turn_row(connection, lease.tenant, turn_id) is not None:
        turn_id = split_turn_id(lease.tenant, lease.conversation_id, settled[0])
    grouped = _grouped(asked, answered, turn_id, lease)
    before = {name: [m for m in asked if m.turn_id == name] for name in waiting}
    if grouped != {name: members for name, members in before.items() if members}:
        await _write(connection, row, grouped, known=set(waiting))
    return turn_id


def _grouped(
    asked: list[Message], answered: set[str], turn_id: str, lease: Lease
) -> dict[str, list[Message]]:
    grouped: dict[str, list[Message]] = {}
    apart: str | None = None
    for message in asked:
        name = message.turn_id or ""
        if message.message_id in answered:
            name = turn_id
        elif name == turn_id:
            apart = apart or split_turn_id(lease.tenant, lease.conversation_id, message.message_id)
            name = apart
        grouped.setdefault(name, []).append(message)
    return grouped


async def _write(
    connection: Connection, row: Row, grouped: dict[str, list[Message]], *, known: set[str]
) -> None:
    for turn_id, members in grouped.items():
        seqs = [message.seq for message in members]
        if turn_id not in known:
            await rows.insert_turn(
                connection, row, turn_id=turn_id, message_id=members[0].message_id, seq=seqs[0]
            )
        await connection.execute(
            sa.update(turns)
            .where(turns.c.tenant == row.tenant, turns.c.turn_id == turn_id)
            .values(first_seq=min(seqs), last_seq=max(seqs))
        )
        await connection.execute(
            sa.update(messages)
            .where(
                messages.c.tenant == row.tenant,
                messages.c.conversation_id == row.conversation_id,
                messages.c.seq.in_(seqs),
            )
            .values(turn_id=turn_id)
        )
    gone = known - set(grouped)
    if gone:
        await connection.execute(
            sa.delete(turns).where(turns.c.tenant == row.tenant, turns.c.turn_id.in_(gone))
        )
        if row.running_turn in gone:
            await rows.update_conversation(connection, row, running_turn=None, lease_until=None)
