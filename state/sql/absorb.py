"""
Take over into the record what the journal kept while SQL was down: each entry once, however often it comes.
"""

from dataclasses import replace

import msgspec

from core.errors import DataIntegrityFailed
from core.messages import Durability, TurnResult
from state.accepted import message_from
from state.codec import decode
from state.identifiers import reply_id_of, split_turn_id
from state.journal import CommitEntry, Entry, LeaseEntry, MessageEntry
from state.sql import rows
from state.sql.commit import apply_commit, put_outbox
from state.sql.connection import Connection
from state.sql.effects import effect_status, save_effect
from state.sql.regroup import regroup
from state.store import TurnCommit


async def absorb_entry(connection: Connection, entry: Entry, *, lease_microseconds: int) -> int:
    """1 when the entry was written, 0 when it, or something that makes it void, is there already."""
    if isinstance(entry, MessageEntry):
        return await _message(connection, entry)
    if isinstance(entry, LeaseEntry):
        return await _lease(connection, entry, lease_microseconds=lease_microseconds)
    if isinstance(entry, CommitEntry):
        return await _commit(connection, entry, lease_microseconds=lease_microseconds)
    return await save_effect(connection, effect=entry.effect)


async def _message(connection: Connection, entry: MessageEntry) -> int:
    message = entry.message
    row = await rows.conversation_row(connection, message.tenant, entry.conversation_id, lock=True)
    if row is None:
        row = await rows.create_conversation(connection, message, entry.conversation_id)
    stored = await rows.stored_message(connection, message.tenant, entry.conversation_id, entry.message_id)
    if stored is not None:
        return 0
    seq = row.head + 1
    turn_id = entry.turn_id
    turn = await rows.turn_row(connection, message.tenant, turn_id)
    is_past = turn is not None and (turn.result is not None or row.running_turn == turn_id)
    if is_past and entry.result is None:
        # SQL has answered that turn without this message, or is about to.
        turn_id = split_turn_id(message.tenant, entry.conversation_id, entry.message_id)
        turn = None
    if turn is None:
        await rows.insert_turn(
            connection,
            row,
            turn_id=turn_id,
            message_id=entry.message_id,
            seq=seq,
            durability=Durability.REDIS,
            result=entry.result,
        )
    else:
        await rows.extend_turn(connection, row, turn_id, last_seq=seq)
    stored = message_from(message, message_id=entry.message_id, turn_id=turn_id, seq=seq)
    await rows.insert_message(connection, row, stored)
    answered = seq if entry.result is not None and row.answered >= row.last_user else row.answered
    await rows.update_conversation(
        connection, row, head=seq, last_user=seq, answered=answered, updated_at=message.at
    )
    return 1


async def _lease(connection: Connection, entry: LeaseEntry, *, lease_microseconds: int) -> int:
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


async def _commit(connection: Connection, entry: CommitEntry, *, lease_microseconds: int) -> int:
    lease = entry.commit.lease
    row = await rows.conversation_row(connection, lease.tenant, lease.conversation_id, lock=True)
    if row is None:
        return 0
    turn_id = await regroup(connection, row, lease)
    if turn_id is None:
        # Another replica's answer stands, or this one does already. What the customer was promised is kept either way.
        for place, item in enumerate(entry.commit.outbox):
            if await effect_status(connection, tenant=item.tenant, key=item.key) != "confirmed":
                await put_outbox(connection, item, place=place)
        named = await rows.turn_row(connection, lease.tenant, lease.turn_id)
        if named is not None and not _is_the_same_answer(named.result, entry.commit.result):
            # What the journal built on this answer knows another past: no version of it may pass for SQL's.
            await rows.update_conversation(connection, row, state_version=row.state_version + 1)
        return 0
    row, turn, waiting = await rows.running(connection, lease.tenant, lease.conversation_id, turn_id=turn_id)
    if row is None or turn is None:
        raise DataIntegrityFailed(f"{turn_id} was regrouped and is not there")
    await apply_commit(
        connection,
        row,
        turn,
        _as_answer_to(entry.commit, turn_id),
        waiting,
        lease_microseconds=lease_microseconds,
        journaled=entry,
    )
    return 1


def _is_the_same_answer(stored: bytes | None, told: TurnResult) -> bool:
    """SQL may have carried out a commit whose answer nobody heard, so that the journal was given it too."""
    if stored is None:
        return False
    return msgspec.structs.replace(decode(stored, TurnResult), durability=told.durability) == told


def _as_answer_to(commit: TurnCommit, turn_id: str) -> TurnCommit:
    """The same words as the reply of another turn, under the id that this turn's reply has."""
    lease = commit.lease
    if turn_id == lease.turn_id:
        return commit
    reply_id = reply_id_of(lease.tenant, lease.conversation_id, turn_id)
    reply = commit.result.reply
    return replace(
        commit,
        reply=msgspec.structs.replace(commit.reply, message_id=reply_id, turn_id=turn_id),
        result=msgspec.structs.replace(
            commit.result,
            turn_id=turn_id,
            reply=None if reply is None else msgspec.structs.replace(reply, message_id=reply_id),
        ),
    )
