"""
Take over into the record what the journal kept while SQL was down: each entry once, however often it comes.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from core.messages import Durability
from state.accepted import message_from
from state.journal import CommitEntry, Entry, LeaseEntry, MessageEntry
from state.sql import rows
from state.sql.commit import apply_commit, put_outbox
from state.sql.effects import absorb_effect, effect_status
from state.sql.rows import Row


async def absorb_entry(connection: AsyncConnection, entry: Entry, *, lease_microseconds: int) -> int:
    """1 when the entry was written, 0 when it, or something that makes it void, is there already."""
    if isinstance(entry, MessageEntry):
        return await _message(connection, entry)
    if isinstance(entry, LeaseEntry):
        return await _lease(connection, entry, lease_microseconds=lease_microseconds)
    if isinstance(entry, CommitEntry):
        return await _commit(connection, entry, lease_microseconds=lease_microseconds)
    return await absorb_effect(connection, entry.effect)


async def _message(connection: AsyncConnection, entry: MessageEntry) -> int:
    message = entry.message
    row = await rows.conversation_row(connection, message.tenant, entry.conversation_id, lock=True)
    if row is None:
        row = await rows.create_conversation(connection, message, entry.conversation_id)
    stored = await rows.stored_message(connection, message.tenant, entry.conversation_id, entry.message_id)
    if stored is not None:
        return 0
    seq = row.head + 1
    if await rows.turn_row(connection, message.tenant, entry.turn_id) is None:
        await rows.insert_turn(
            connection,
            row,
            turn_id=entry.turn_id,
            message_id=entry.message_id,
            seq=seq,
            durability=Durability.REDIS,
            result=entry.result,
        )
    else:
        await rows.extend_turn(connection, row, entry.turn_id, last_seq=seq)
    stored = message_from(message, message_id=entry.message_id, turn_id=entry.turn_id, seq=seq)
    await rows.insert_message(connection, row, stored)
    answered = seq if entry.result is not None and row.answered >= row.last_user else row.answered
    await rows.update_conversation(
        connection, row, head=seq, last_user=seq, answered=answered, updated_at=message.at
    )
    return 1


async def _lease(connection: AsyncConnection, entry: LeaseEntry, *, lease_microseconds: int) -> int:
    row = await rows.conversation_row(connection, entry.tenant, entry.conversation_id, lock=True)
    turn = await rows.turn_row(connection, entry.tenant, entry.turn_id)
    if row is None or turn is None or turn.result is not None or entry.token <= row.lease_token:
        return 0
    if row.running_turn not in (None, entry.turn_id):
        return 0
    await rows.update_conversation(
        connection,
        row,
        lease_token=entry.token,
        lease_owner=entry.owner,
        lease_until=row.now + lease_microseconds,
        running_turn=entry.turn_id,
    )
    return 1


async def _commit(connection: AsyncConnection, entry: CommitEntry, *, lease_microseconds: int) -> int:
    lease = entry.commit.lease
    row = await rows.conversation_row(connection, lease.tenant, lease.conversation_id, lock=True)
    turn = await rows.turn_row(connection, lease.tenant, lease.turn_id)
    if row is None:
        return 0
    if turn is None:
        turn = await _turn_of_the_same_messages(connection, entry)
    if turn is None or turn.result is not None:
        # Another replica's answer stands, or this one does already. What the customer was promised is kept either way.
        for item in entry.commit.outbox:
            if await effect_status(connection, tenant=item.tenant, key=item.key) != "confirmed":
                await put_outbox(connection, item)
        return 0
    await apply_commit(
        connection,
        row,
        turn,
        entry.commit,
        lease_microseconds=lease_microseconds,
        is_fenced=False,
    )
    return 1


async def _turn_of_the_same_messages(connection: AsyncConnection, entry: CommitEntry) -> Row | None:
    """
    SQL took the messages before it went away, and the journal took them again as another turn: the answer that the customer
    has heard belongs to the turn that SQL made of them.
    """
    lease = entry.commit.lease
    if not lease.fresh:
        return None
    place = (connection, lease.tenant, lease.conversation_id)
    first = await rows.stored_message(*place, lease.fresh[0].message_id)
    turn = None if first is None else await rows.turn_row(connection, lease.tenant, first.turn_id or "")
    if turn is None:
        return None
    asked = await rows.messages_between(*place, after=turn.first_seq - 1, upto=turn.last_seq)
    answered = {message.message_id for message in lease.fresh}
    is_all = all(m.message_id in answered for m in asked if m.turn_id == turn.turn_id)
    return turn if is_all else None
