"""
The events of turns that last, in the record's database: for replicas that have no Redis between them.

Small rows of little value: they are removed by age, whatever became of their turn.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from core.clock import Clock
from state.sql.connection import Connection, Query
from state.sql.engine import Database
from state.sql.tables import turn_events
from state.sql.types import database_now, insert
from state.store import EventBatch

_POLL_SECONDS = 0.2
_STOP = 0
"""The run of the row that asks a turn to stop: a lease's token, and so a run, is never 0."""
_KEPT_MICROSECONDS = 3600 * 1_000_000
_SHARE = Query(
    lambda dialect: insert(dialect, turn_events).values(at=database_now()).on_conflict_do_nothing()
)


class SqlTurnEvents:
    """Implements `state.store.TurnEvents`; a reader asks each 0.2 s."""

    place = "sql"

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def share(self, tenant: str, turn_id: str, batch: EventBatch) -> bool:
        async def write(connection: Connection) -> bool:
            newest, is_stopped = await _standing(connection, tenant, turn_id)
            if newest is None:
                await _forget(connection)
            if newest is None or newest < (batch.run, batch.last):
                shared = {"run": batch.run, "last": batch.last, "body": batch.body}
                await connection.write(_SHARE, {"tenant": tenant, "turn_id": turn_id, **shared})
            return is_stopped

        return await self._database.write(write)

    async def forget(self) -> int:
        """Delete what is older than an hour, also where nobody shares any more; returns how many rows."""
        return await self._database.write(_forget)

    async def after(
        self, tenant: str, turn_id: str, *, run: int, last: int, seconds: float
    ) -> Sequence[EventBatch]:
        table = turn_events.c
        query = (
            sa.select(table.run, table.last, table.body)
            .where(
                table.tenant == tenant,
                table.turn_id == turn_id,
                table.run > _STOP,
                sa.or_(table.run > run, sa.and_(table.run == run, table.last > last)),
            )
            .order_by(table.run, table.last)
        )

        async def read(connection: Connection) -> Sequence[EventBatch]:
            found = await connection.execute(query)
            return [EventBatch(run=row.run, last=row.last, body=row.body) for row in found]

        ends_at = self._clock.monotonic() + seconds
        while True:
            batches = await self._database.read(read)
            left = ends_at - self._clock.monotonic()
            if batches or left <= 0:
                return batches
            await self._clock.sleep(min(_POLL_SECONDS, left))

    async def ask_to_stop(self, tenant: str, turn_id: str) -> None:
        async def write(connection: Connection) -> None:
            stop = {"run": _STOP, "last": 0, "body": b""}
            await connection.write(_SHARE, {"tenant": tenant, "turn_id": turn_id, **stop})

        await self._database.write(write)

    async def is_stop_asked(self, tenant: str, turn_id: str) -> bool:
        async def read(connection: Connection) -> bool:
            return (await _standing(connection, tenant, turn_id))[1]

        return await self._database.read(read)


async def _forget(connection: Connection) -> int:
    deleted = await connection.execute(
        sa.delete(turn_events).where(turn_events.c.at < database_now() - _KEPT_MICROSECONDS)
    )
    return deleted.rowcount


async def _standing(connection: Connection, tenant: str, turn_id: str) -> tuple[tuple[int, int] | None, bool]:
    """The newest (run, last) that is shared, and whether a stop was asked for."""
    table = turn_events.c
    ofturn = (table.tenant == tenant, table.turn_id == turn_id)
    newest = (
        await connection.execute(
            sa.select(table.run, table.last)
            .where(*ofturn)
            .order_by(table.run.desc(), table.last.desc())
            .limit(1)
        )
    ).one_or_none()
    if newest is None:
        return None, False
    stop = await connection.execute(sa.select(table.run).where(*ofturn, table.run == _STOP))
    position = None if newest.run == _STOP else (newest.run, newest.last)
    return position, stop.first() is not None
