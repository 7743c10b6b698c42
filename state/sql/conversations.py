"""
The record of conversations: the state protocol (docs/architecture.md) on SQL.

Each method is one transaction that locks the conversation's row first, so what it reads stays true until it writes. No
statement grows with a conversation's length.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from core.errors import LeaseLost, NotFound
from core.messages import Message, MessageRole
from state.identifiers import note_id
from state.journal import decode_entry
from state.selection import snapshot_on
from state.sql import rows
from state.sql.absorb import absorb_entry
from state.sql.commit import write_turn
from state.sql.connection import Connection
from state.sql.effects import begin_effect, save_effect, stored_effect
from state.sql.engine import Database
from state.sql.intake import take_in
from state.sql.lane import Work
from state.sql.leases import Leases, next_turn
from state.sql.rows import Row
from state.sql.tables import conversations, turns
from state.sql.types import database_now
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

T = TypeVar("T")


class SqlConversationStore:
    """Implements `state.store.Record`. `owner` names this replica in the leases it takes."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        self._database = database
        self._leases = Leases(owner=owner, lease_seconds=lease_seconds)

    async def intake(self, message: IncomingMessage) -> Intake:
        return await self._leasing(
            partial(take_in, message=message, leases=self._leases), lambda intake: (intake.lease,)
        )

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
        return await self._leasing(
            partial(write_turn, commit=commit, lease_microseconds=self._leases.microseconds),
            lambda written: (written.next_lease,),
        )

    async def absorb(self, entries: Sequence[bytes]) -> int:
        decoded = [decode_entry(entry) for entry in entries]

        async def write(connection: Connection) -> int:
            written = 0
            for entry in decoded:
                written += await absorb_entry(connection, entry, lease_microseconds=self._leases.microseconds)
            return written

        return await self._database.write(write)

    async def renew(self, lease: Lease) -> None:
        if not await self._move_end(lease, database_now() + self._leases.microseconds):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")

    async def release(self, lease: Lease) -> bool:
        await self._move_end(lease, database_now() - 1)
        return True

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
            # A lost lease has not run out, and nobody works under it all the same.
            for tenant, conversation_id in dict.fromkeys([*map(tuple, found.all()), *self._leases.lost]):
                row = await rows.conversation_row(connection, tenant, conversation_id, lock=True)
                waiting = [] if row is None else await rows.unanswered_turns(connection, row)
                if row is not None and waiting and self._leases.is_free(row):
                    turn = next_turn(row, waiting)
                    leases.append(await self._leases.take(connection, row, turn, head=row.head))
            return leases

        looked_for = list(self._leases.lost)
        leases = await self._leasing(write, lambda leases: leases)
        self._leases.forget(looked_for)
        return leases

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        return await self._database.write(partial(begin_effect, effect=effect))

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        return await self._database.read(partial(stored_effect, tenant=tenant, key=key))

    async def finish_effect(self, effect: EffectRecord) -> None:
        await self._database.write(partial(save_effect, effect=effect))

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

    async def _leasing(self, work: Work[T], leases_of: Callable[[T], Iterable[Lease | None]]) -> T:
        """`work` in a transaction; the leases that it takes are lost with whoever does not hear of them."""
        taken: list[Lease] = []

        async def write(connection: Connection) -> T:
            result = await work(connection)
            taken[:] = [lease for lease in leases_of(result) if lease is not None]
            return result

        try:
            result = await self._database.write(write)
        except BaseException:  # cancellation above all
            self._leases.lose(taken)
            raise
        self._leases.keep(taken)
        return result

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


def _holds(row: Row, lease: Lease) -> bool:
    return bool(row.lease_token == lease.token and row.running_turn == lease.turn_id)
