"""
The record of conversations: intake, lease, load and commit of the state protocol (docs/architecture.md), on SQL.

Each method is one transaction that locks the conversation's row first, so what it reads stays true until it writes. No
statement grows with a conversation's length.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, LeaseLost, NotFound
from core.messages import Durability, Message, MessageRole
from state.accepted import handed_over_result, message_from
from state.identifiers import (
    conversation_id_of,
    message_id_of,
    note_id,
    turn_id_of,
)
from state.journal import decode_entry
from state.selection import snapshot_on
from state.sql import rows
from state.sql.absorb import absorb_entry
from state.sql.commit import write_turn
from state.sql.connection import Connection
from state.sql.effects import begin_effect, finish_effect, stored_effect
from state.sql.engine import Database
from state.sql.rows import Row
from state.sql.tables import conversations, turns
from state.sql.types import database_now, microseconds
from state.store import (
    ConversationRecord,
    EffectRecord,
    IncomingMessage,
    Intake,
    Lease,
    Snapshot,
    TurnCommit,
    TurnRecord,
    Written,
)


class SqlConversationStore:
    """Implements `state.store.Record`. `owner` names this replica in the leases it takes."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        self._database = database
        self._owner = owner
        self._lease_microseconds = int(lease_seconds * 1_000_000)

    async def intake(self, message: IncomingMessage) -> Intake:
        return await self._database.write(partial(self._intake, message))

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        basis = lease.basis
        if basis is not None and lease.after_seq == 0 and lease.head == lease.upto_seq == len(lease.fresh):
            return snapshot_on(basis, lease, lease.fresh, history_messages=history_messages, source="sql")

        async def read(connection: Connection) -> Snapshot:
            if basis is not None:
                window = await rows.messages_between(
                    connection,
                    lease.tenant,
                    lease.conversation_id,
                    after=max(0, lease.after_seq - history_messages),
                    upto=lease.head,
                )
                return snapshot_on(basis, lease, window, history_messages=history_messages, source="sql")
            row = await rows.conversation_row(connection, lease.tenant, lease.conversation_id, lock=False)
            if row is None or not _holds(row, lease):
                raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
            # Usually the lease brings along all that came after it, and a new conversation has nothing before it.
            is_all_known = row.head == lease.upto_seq == lease.after_seq + len(lease.fresh)
            upto = lease.after_seq if is_all_known else row.head
            window = ()
            if upto:
                window = await rows.messages_between(
                    connection,
                    lease.tenant,
                    lease.conversation_id,
                    after=max(0, lease.after_seq - history_messages),
                    upto=upto,
                )
            if is_all_known:
                window += lease.fresh
            return rows.snapshot_of(row, lease, window, history_messages=history_messages)

        return await self._database.read(read)

    async def commit(self, commit: TurnCommit) -> Lease | None:
        return (await self.write(commit)).next_lease

    async def write(self, commit: TurnCommit) -> Written:
        """Written twice with the same lease, the second finds what the first left: an answer that got lost loses nothing."""
        return await self._database.write(
            partial(write_turn, commit=commit, lease_microseconds=self._lease_microseconds)
        )

    async def absorb(self, entries: Sequence[bytes]) -> int:
        decoded = [decode_entry(entry) for entry in entries]

        async def write(connection: Connection) -> int:
            written = 0
            for entry in decoded:
                written += await absorb_entry(connection, entry, lease_microseconds=self._lease_microseconds)
            return written

        return await self._database.write(write)

    async def renew(self, lease: Lease) -> None:
        if not await self._move_end(lease, database_now() + self._lease_microseconds):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")

    async def release(self, lease: Lease) -> None:
        await self._move_end(lease, database_now() - 1)

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        async def write(connection: Connection) -> Sequence[Lease]:
            found = await connection.execute(
                sa.select(conversations.c.tenant, conversations.c.conversation_id)
                .where(
                    conversations.c.answered < conversations.c.last_user,
                    sa.or_(
                        conversations.c.lease_until.is_(None), conversations.c.lease_until < database_now()
                    ),
                )
                .order_by(conversations.c.lease_until)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            leases = []
            for tenant, conversation_id in found.all():
                row = await rows.conversation_row(connection, tenant, conversation_id, lock=False)
                waiting = [] if row is None else await rows.unanswered_turns(connection, row)
                if row is not None and waiting:
                    turn = _next_turn(row, waiting)
                    leases.append(await self._lease(connection, row, turn, head=row.head))
            return leases

        return await self._database.write(write)

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        return await self._database.write(partial(begin_effect, effect=effect))

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        return await self._database.read(partial(stored_effect, tenant=tenant, key=key))

    async def finish_effect(self, effect: EffectRecord) -> None:
        await self._database.write(partial(finish_effect, effect=effect))

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        return await self._database.read(partial(rows.turn_record, tenant=tenant, turn_id=turn_id))

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        async def read(connection: Connection) -> ConversationRecord | None:
            row = await rows.conversation_row(connection, tenant, conversation_id, lock=False)
            return None if row is None else rows.record_of(row)

        return await self._database.read(read)

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        # seq has no gaps, so a range of it is a limit.
        return await self._database.read(
            partial(
                rows.messages_between,
                tenant=tenant,
                conversation_id=conversation_id,
                after=after,
                upto=after + limit,
            )
        )

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None:
        async def write(connection: Connection) -> None:
            row = await rows.conversation_row(connection, tenant, conversation_id, lock=True)
            if row is None:
                raise NotFound(f"no conversation {conversation_id}")
            message_id = note_id(tenant, conversation_id, key)
            if await rows.stored_message(connection, tenant, conversation_id, message_id) is not None:
                return
            note = Message(message_id=message_id, seq=row.head + 1, role=MessageRole.SYSTEM, text=text, at=at)
            await rows.insert_message(connection, row, note)
            await rows.update_conversation(connection, row, head=note.seq, updated_at=at)

        await self._database.write(write)

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        async def write(connection: Connection) -> None:
            claimed = await connection.execute(
                sa.update(conversations)
                .where(
                    conversations.c.tenant == tenant,
                    conversations.c.conversation_id == conversation_id,
                    conversations.c.customer_id == visitor,
                )
                # The version moves, so that no copy which still names the visitor is used again.
                .values(customer_id=customer, state_version=conversations.c.state_version + 1)
            )
            if claimed.rowcount == 0:
                raise NotFound(f"no conversation {conversation_id} of this visitor")
            await connection.execute(
                sa.update(turns)
                .where(turns.c.tenant == tenant, turns.c.conversation_id == conversation_id)
                .values(customer_id=customer)
            )

        await self._database.write(write)

    async def _intake(self, message: IncomingMessage, connection: Connection) -> Intake:
        conversation_id = conversation_id_of(message)
        message_id = message_id_of(message, conversation_id)
        row, stored, waiting = await rows.standing(
            connection, message.tenant, conversation_id, message_id=message_id
        )
        if row is None:
            row = await _new_conversation(connection, message, conversation_id)
            if row.head:  # somebody else made it meanwhile
                return await self._intake(message, connection)
        if row.customer_id != message.customer_id:
            if message.conversation_id is None:
                raise Conflict("this client_message_id belongs to another customer")
            raise NotFound(f"no conversation {conversation_id} of this customer")
        if stored is not None:
            return await self._again(connection, row, message, stored, waiting)
        if (
            row.handed_over_until is not None
            and microseconds(row.handed_over_until) > row.now
            and row.answered >= row.last_user
        ):
            return await _keep_for_a_person(connection, row, message, message_id)
        return await self._accept(connection, row, message, message_id, waiting)

    async def _again(
        self,
        connection: Connection,
        row: Row,
        message: IncomingMessage,
        stored: Message,
        waiting: Sequence[Row],
    ) -> Intake:
        """The same message once more. After a crash it is this that gets the answer going again."""
        if stored.text != message.text:
            raise Conflict("this client_message_id was used for another text")
        turn = await rows.turn_row(connection, row.tenant, stored.turn_id or "")
        lease = None
        if turn is not None and turn.result is None and _is_free(row):
            lease = await self._lease(connection, row, _next_turn(row, waiting), head=row.head)
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
        self,
        connection: Connection,
        row: Row,
        message: IncomingMessage,
        message_id: str,
        waiting: Sequence[Row],
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
        if _is_free(row) and not waiting:
            lease = self._lease_for_one(row, stored, turn_id)
            values |= self._lease_values(row, turn_id, lease.token)
        await rows.update_conversation(connection, row, **values)
        if lease is None and _is_free(row):
            waiting = await rows.unanswered_turns(connection, row)
            lease = await self._lease(connection, row, _next_turn(row, waiting), head=seq)
        return Intake(
            conversation_id=row.conversation_id,
            turn_id=turn_id,
            message_id=message_id,
            seq=seq,
            durability=Durability.SQL,
            lease=lease,
        )

    async def _move_end(self, lease: Lease, until: sa.ColumnElement[int]) -> bool:
        """False when the lease is not held any more."""

        async def write(connection: Connection) -> bool:
            moved = await connection.execute(
                sa.update(conversations)
                .where(
                    conversations.c.tenant == lease.tenant,
                    conversations.c.conversation_id == lease.conversation_id,
                    conversations.c.lease_token == lease.token,
                    conversations.c.running_turn == lease.turn_id,
                )
                .values(lease_until=until)
            )
            return bool(moved.rowcount)

        return await self._database.write(write)

    def _lease_for_one(self, row: Row, message: Message, turn_id: str) -> Lease:
        """The usual lease: nothing else waits, so nothing else has to be read."""
        return Lease(
            tenant=row.tenant,
            conversation_id=row.conversation_id,
            turn_id=turn_id,
            token=row.lease_token + 1,
            owner=self._owner,
            after_seq=message.seq - 1,
            upto_seq=message.seq,
            state_version=row.state_version,
            head=message.seq,
            fresh=(message,),
            customer_id=row.customer_id,
            customer_version=row.customer_version or 0,
            basis=rows.basis_of(row),
        )

    async def _lease(self, connection: Connection, row: Row, turn: Row, *, head: int) -> Lease:
        token = row.lease_token + 1
        await rows.update_conversation(connection, row, **self._lease_values(row, turn.turn_id, token))
        return await rows.lease_of(
            connection,
            row,
            turn,
            token=token,
            owner=self._owner,
            head=head,
            state_version=row.state_version,
        )

    def _lease_values(self, row: Row, turn_id: str, token: int) -> dict[str, Any]:
        return {
            "lease_token": token,
            "lease_owner": self._owner,
            "lease_until": row.now + self._lease_microseconds,
            "running_turn": turn_id,
        }


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


def _next_turn(row: Row, waiting: Sequence[Row]) -> Row:
    """The interrupted turn first, else the one that waits longest."""
    interrupted = [turn for turn in waiting if turn.turn_id == row.running_turn]
    return interrupted[0] if interrupted else waiting[0]


def _is_free(row: Row) -> bool:
    return row.lease_until is None or row.lease_until < row.now


def _holds(row: Row, lease: Lease) -> bool:
    return bool(row.lease_token == lease.token and row.running_turn == lease.turn_id)
