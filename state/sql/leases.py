"""
The leases that this replica takes in SQL, and which of them nobody here works under.

A lease whose taking was given up while its COMMIT was under way is this replica's by name and nobody's in fact: the message that
comes again takes it at once, and need not wait until it has run out.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from core.messages import Message
from state.fencing import next_token
from state.sql import rows
from state.sql.connection import Connection
from state.sql.rows import Row
from state.store import Lease


class Leases:
    """Of one replica, whose name is `owner`."""

    def __init__(self, *, owner: str, lease_seconds: float) -> None:
        self._owner = owner
        self.microseconds = int(lease_seconds * 1_000_000)
        self._lost: dict[tuple[str, str], int] = {}

    def lose(self, taken: Iterable[Lease]) -> None:
        """Of a transaction that nobody heard the end of: they may stand in SQL."""
        self._lost |= {(lease.tenant, lease.conversation_id): lease.token for lease in taken}

    def keep(self, taken: Iterable[Lease]) -> None:
        for lease in taken:
            self._lost.pop((lease.tenant, lease.conversation_id), None)

    @property
    def lost(self) -> Collection[tuple[str, str]]:
        """(tenant, conversation_id), to be looked for in SQL."""
        return tuple(self._lost)

    def forget(self, lost: Iterable[tuple[str, str]]) -> None:
        """They have been looked for, and taken or not found."""
        for place in lost:
            self._lost.pop(place, None)

    def is_free(self, row: Row) -> bool:
        if row.lease_until is None or row.lease_until < row.now:
            return True
        lost = self._lost.get((row.tenant, row.conversation_id))
        return bool(row.lease_owner == self._owner and row.lease_token == lost)

    def for_one(self, row: Row, message: Message, turn_id: str) -> Lease:
        """The usual lease: nothing else waits, so nothing else has to be read. Its `values` are still to be written."""
        return Lease(
            tenant=row.tenant,
            conversation_id=row.conversation_id,
            turn_id=turn_id,
            token=next_token(row.lease_token),
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

    async def take(self, connection: Connection, row: Row, turn: Row, *, head: int) -> Lease:
        token = next_token(row.lease_token)
        await rows.update_conversation(connection, row, **self.values(row, turn.turn_id, token))
        return await rows.lease_of(
            connection,
            row,
            turn,
            token=token,
            owner=self._owner,
            head=head,
            state_version=row.state_version,
        )

    def values(self, row: Row, turn_id: str, token: int) -> dict[str, Any]:
        return {
            "lease_token": token,
            "lease_owner": self._owner,
            "lease_until": row.now + self.microseconds,
            "running_turn": turn_id,
        }


def next_turn(row: Row, waiting: Sequence[Row]) -> Row:
    """The interrupted turn first, else the one that waits longest."""
    interrupted = [turn for turn in waiting if turn.turn_id == row.running_turn]
    return interrupted[0] if interrupted else waiting[0]
