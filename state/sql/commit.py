"""
Write a turn into the record, inside a transaction that somebody else holds: fenced by its lease, or as the journal kept it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa

from core.errors import LeaseLost
from core.messages import Durability, Message
from core.records import OutboxItem
from state.codec import StateChange, change_over, decode, encode, encode_over
from state.fencing import next_token
from state.journal import CommitEntry
from state.models import ConversationState, CustomerState
from state.sql import rows
from state.sql.connection import Connection, Query
from state.sql.rows import Row
from state.sql.tables import outbox
from state.sql.types import database_now, insert
from state.store import Basis, Lease, TurnCommit, Written

_PLACE = sa.bindparam("place_", type_=sa.BigInteger)
_PUT_OUTBOX = Query(
    lambda dialect: (
        insert(dialect, outbox)
        .values(status="due", attempts=0, due_at=database_now(), created_at=database_now() + _PLACE)
        .on_conflict_do_nothing()
    )
)
_PUT_FOR_A_PERSON = Query(
    lambda dialect: (
        insert(dialect, outbox)
        .values(
            status="dead",
            attempts=0,
            due_at=database_now(),
            created_at=database_now() + _PLACE,
            settled_at=database_now(),
        )
        .on_conflict_do_nothing()
    )
)


async def write_turn(connection: Connection, *, commit: TurnCommit, lease_microseconds: int) -> Written:
    """
    Raises:
        LeaseLost: the conversation belongs to another lease. Nothing was written.
    """
    lease = commit.lease
    row, turn, waiting = await rows.running(
        connection, lease.tenant, lease.conversation_id, turn_id=lease.turn_id
    )
    if row is None:
        raise LeaseLost(f"{lease.conversation_id} is gone")
    if row.lease_token != lease.token or row.running_turn != lease.turn_id:
        return await _written_before(connection, row, turn, commit)
    if turn is None or turn.result is not None:
        raise LeaseLost(f"{lease.turn_id} is answered already")
    knew = (lease.state_version, lease.after_seq + 1, lease.upto_seq)
    if lease.durability is Durability.REDIS and knew != (row.state_version, turn.first_seq, turn.last_seq):
        # It did not know all that SQL does. Nobody has heard this answer yet, so the turn is run again.
        raise LeaseLost(f"{lease.turn_id} was built on less than SQL has")
    return await apply_commit(connection, row, turn, commit, waiting, lease_microseconds=lease_microseconds)


async def apply_commit(
    connection: Connection,
    row: Row,
    turn: Row,
    commit: TurnCommit,
    unanswered: Sequence[Row],
    *,
    lease_microseconds: int,
    journaled: CommitEntry | None = None,
) -> Written:
    """
    Reply, state, outbox and the turn's result, for one of the `unanswered` turns; then the lease goes on to the next turn, or,
    where the turn was `journaled`, is given back.
    """
    is_fenced = journaled is None
    reply = msgspec.structs.replace(commit.reply, seq=row.head + 1)
    await rows.insert_message(connection, row, reply)
    await rows.finish_turn(connection, row, turn.turn_id, commit.result, token=commit.lease.token)
    customer_state, customer_version = await _save_customer(connection, row, commit, journaled)
    for place, item in enumerate(commit.outbox):
        await put_outbox(connection, item, place=place)

    was_running = row.running_turn in (None, turn.turn_id)
    waiting = [each for each in unanswered if each.turn_id != turn.turn_id]
    version = row.state_version + 1
    values: dict[str, Any] = {
        "head": reply.seq,
        "answered": waiting[0].first_seq - 1 if waiting else row.last_user,
        "state_version": version,
        "updated_at": commit.at,
    }
    # A journaled turn that was built on an older state than SQL has by now adds its words, and leaves the newer state alone.
    if is_fenced or commit.lease.state_version >= row.state_version:
        change = None if journaled is None else journaled.state
        values["state"] = _over(commit.state, row.state, change)
    if commit.hand_over_until is not None:
        values["handed_over_until"] = commit.hand_over_until
    next_lease: Lease | None = None
    if was_running:
        values |= {"running_turn": None, "lease_until": None}
        if waiting and is_fenced:
            token = next_token(row.lease_token)
            values |= {
                "running_turn": waiting[0].turn_id,
                "lease_token": token,
                "lease_until": row.now + lease_microseconds,
            }
            next_lease = await rows.lease_of(
                connection,
                row,
                waiting[0],
                token=token,
                owner=commit.lease.owner,
                head=reply.seq,
                state_version=version,
            )
            next_lease = replace(next_lease, customer_version=customer_version)
    await rows.update_conversation(connection, row, **values)
    conversation = replace(
        rows.record_of(row),
        head=reply.seq,
        answered=values["answered"],
        updated_at=commit.at,
        handed_over_until=commit.hand_over_until or row.handed_over_until,
    )
    if next_lease is not None:
        state = decode(values.get("state", row.state), ConversationState)
        next_lease = replace(next_lease, basis=Basis(conversation, state, customer_state))
    return Written(
        conversation=conversation,
        reply=reply,
        state_version=version,
        customer_state=customer_state,
        customer_version=customer_version,
        next_lease=next_lease,
    )


async def put_outbox(connection: Connection, item: OutboxItem, *, place: int = 0) -> None:
    """Once per (tenant, key). `place`: behind how many others of the same moment it was promised."""
    await connection.write(
        _PUT_OUTBOX if item.error is None else _PUT_FOR_A_PERSON,
        {
            "tenant": item.tenant,
            "key": item.key,
            "kind": item.kind,
            "conversation_id": item.conversation_id,
            "payload": encode(item.payload),
            "locale": item.locale,
            "recipient": item.recipient,
            "place_": place,
            **({} if item.error is None else {"error": item.error}),
        },
    )


async def _written_before(connection: Connection, row: Row, turn: Row | None, commit: TurnCommit) -> Written:
    """The answer to a commit got lost and it comes again: say what it came to, as far as that still holds."""
    lease = commit.lease
    if turn is None or turn.result is None or turn.token != lease.token:
        raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
    reply = await _stored_reply(connection, commit)
    next_lease = None
    if (
        row.lease_token == next_token(lease.token)
        and row.lease_owner == lease.owner
        and row.running_turn is not None
    ):
        running = await rows.turn_row(connection, lease.tenant, row.running_turn)
        if running is not None:
            next_lease = await rows.lease_of(
                connection,
                row,
                running,
                token=row.lease_token,
                owner=lease.owner,
                head=row.head,
                state_version=row.state_version,
            )
    return Written(
        conversation=rows.record_of(row),
        reply=reply,
        state_version=row.state_version,
        customer_state=rows.customer_state_of(row),
        customer_version=row.customer_version or 0,
        next_lease=next_lease,
    )


async def _stored_reply(connection: Connection, commit: TurnCommit) -> Message:
    stored = await rows.stored_message(
        connection, commit.lease.tenant, commit.lease.conversation_id, commit.reply.message_id
    )
    if stored is None:
        raise LeaseLost(f"{commit.lease.turn_id} was answered with another reply")
    return stored


async def _save_customer(
    connection: Connection, row: Row, commit: TurnCommit, journaled: CommitEntry | None
) -> tuple[CustomerState, int]:
    """
    What two conversations of one customer learned at the same time is put together: a receipt once heard is not forgotten.
    """
    if commit.customer_state is None:
        return rows.customer_state_of(row), row.customer_version or 0
    # Read again under its own lock: the conversation's does not keep another conversation of this customer from writing.
    locked = await rows.locked_customer_state(connection, row)
    state = commit.customer_state
    encoded = _over(state, locked.state, None if journaled is None else journaled.customer_state)
    if locked.version != commit.lease.customer_version:
        state = decode(encoded, CustomerState).with_receipts_of(decode(locked.state, CustomerState))
        encoded = encode_over(state, encoded)
    await rows.update_customer_state(connection, row, version=locked.version + 1, encoded=encoded)
    return state, locked.version + 1


def _over(state: msgspec.Struct, stored: bytes | None, change: StateChange | None) -> bytes:
    return encode_over(state, stored) if change is None else change_over(change, stored, type(state))
