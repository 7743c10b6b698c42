"""
Take a customer's message into the record, and the conversation's lease with it where it is free: one transaction.
"""

from collections.abc import Sequence
from typing import Any

from core.errors import Conflict, NotFound
from core.messages import Durability, Message
from state.accepted import handed_over_result, message_from
from state.identifiers import conversation_id_of, message_id_of, turn_id_of
from state.sql import rows
from state.sql.connection import Connection
from state.sql.leases import Leases, next_turn
from state.sql.rows import Row
from state.sql.types import microseconds
from state.store import IncomingMessage, Intake


async def take_in(connection: Connection, message: IncomingMessage, *, leases: Leases) -> Intake:
    """
    Raises:
        NotFound, Conflict: as `state.store.ConversationStore.intake` says.
    """
    conversation_id = conversation_id_of(message)
    message_id = message_id_of(message, conversation_id)
    row, stored, waiting = await rows.standing(
        connection, message.tenant, conversation_id, message_id=message_id
    )
    if row is None:
        row = await _new_conversation(connection, message, conversation_id)
        if row.head:  # somebody else made it meanwhile
            return await take_in(connection, message, leases=leases)
    if row.customer_id != message.customer_id:
        if message.conversation_id is None:
            raise Conflict("this client_message_id belongs to another customer")
        raise NotFound(f"no conversation {conversation_id} of this customer")
    if stored is not None:
        return await _again(connection, row, message, stored, waiting, leases=leases)
    if (
        row.handed_over_until is not None
        and microseconds(row.handed_over_until) > row.now
        and row.answered >= row.last_user
    ):
        return await _keep_for_a_person(connection, row, message, message_id)
    return await _accept(connection, row, message, message_id, waiting, leases=leases)


async def _again(
    connection: Connection,
    row: Row,
    message: IncomingMessage,
    stored: Message,
    waiting: Sequence[Row],
    *,
    leases: Leases,
) -> Intake:
    """The same message once more. After a crash it is this that gets the answer going again."""
    if stored.text != message.text:
        raise Conflict("this client_message_id was used for another text")
    turn = await rows.turn_row(connection, row.tenant, stored.turn_id or "")
    lease = None
    if turn is not None and turn.result is None and leases.is_free(row):
        lease = await leases.take(connection, row, next_turn(row, waiting), head=row.head)
    return Intake(
        conversation_id=row.conversation_id,
        turn_id=stored.turn_id or "",
        message_id=stored.message_id,
        seq=stored.seq,
        durability=Durability.SQL,
        lease=lease,
        result=None if turn is None else rows.result_of(turn.result),
        is_duplicate=True,
    )


async def _accept(
    connection: Connection,
    row: Row,
    message: IncomingMessage,
    message_id: str,
    waiting: Sequence[Row],
    *,
    leases: Leases,
) -> Intake:
    seq = row.head + 1
    joinable = [turn for turn in waiting if turn.turn_id != row.running_turn]
    if joinable:
        turn_id = joinable[-1].turn_id
        await rows.extend_turn(connection, row, turn_id, last_seq=seq)
    else:
        turn_id = turn_id_of(row.tenant, row.conversation_id, message_id)
        await rows.insert_turn(connection, row, turn_id=turn_id, message_id=message_id, seq=seq)
    stored = message_from(message, message_id=message_id, turn_id=turn_id, seq=seq)
    await rows.insert_message(connection, row, stored)
    values: dict[str, Any] = {"head": seq, "last_user": seq, "updated_at": message.at}
    lease = None
    if leases.is_free(row) and not waiting:
        lease = leases.for_one(row, stored, turn_id)
        values |= leases.values(row, turn_id, lease.token)
    await rows.update_conversation(connection, row, **values)
    if lease is None and leases.is_free(row):
        waiting = await rows.unanswered_turns(connection, row)
        lease = await leases.take(connection, row, next_turn(row, waiting), head=seq)
    return Intake(
        conversation_id=row.conversation_id,
        turn_id=turn_id,
        message_id=message_id,
        seq=seq,
        durability=Durability.SQL,
        lease=lease,
    )


async def _new_conversation(connection: Connection, message: IncomingMessage, conversation_id: str) -> Row:
    if message.conversation_id is not None:
        raise NotFound(f"no conversation {conversation_id}")
    return await rows.create_conversation(connection, message, conversation_id)


async def _keep_for_a_person(
    connection: Connection, row: Row, message: IncomingMessage, message_id: str
) -> Intake:
    """A person has the conversation: the message counts as answered, by a sentence that says so."""
    seq = row.head + 1
    turn_id = turn_id_of(row.tenant, row.conversation_id, message_id)
    result = handed_over_result(
        message,
        conversation_id=row.conversation_id,
        turn_id=turn_id,
        message_id=message_id,
        durability=Durability.SQL,
    )
    await rows.insert_turn(connection, row, turn_id=turn_id, message_id=message_id, seq=seq, result=result)
    stored = message_from(message, message_id=message_id, turn_id=turn_id, seq=seq)
    await rows.insert_message(connection, row, stored)
    await rows.update_conversation(
        connection, row, head=seq, last_user=seq, answered=seq, updated_at=message.at
    )
    return Intake(
        conversation_id=row.conversation_id,
        turn_id=turn_id,
        message_id=message_id,
        seq=seq,
        durability=Durability.SQL,
        result=result,
    )
