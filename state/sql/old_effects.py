"""
Forget effects that are over: nothing can ask for them again, and nobody has to look at them.

An attempt of the outbox stands under its item's key with a suffix, and its turn is that key. It goes after the effect that it
carried out: while that is known, its key can be asked for again, and must be found carried out.
"""

import sqlalchemy as sa

from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import effects, outbox, turns
from state.sql.types import database_in

_OVER = ("confirmed", "failed", "queued")
"""What was queued is over once the outbox has forgotten it: carried out, or dropped."""
_FORGOTTEN_AT_ONCE = 1000


class SqlOldEffects:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, *, kept_seconds: float) -> int:
        """
        Delete what came to its end longer ago, up to a thousand rows; returns how many. What a turn without an answer has planned
        stays, and what the outbox knows, and what was begun and not ended or is of unknown fate, however old.
        """
        table, asked = effects.c, effects.alias("asked")
        is_attempt = sa.func.substr(table.key, 1, sa.func.length(table.turn_id)) == table.turn_id
        old = (
            sa.select(table.tenant, table.key)
            .where(
                table.at < database_in(-kept_seconds),
                sa.or_(table.status.in_(_OVER), is_attempt),
                ~sa.exists().where(
                    outbox.c.tenant == table.tenant, outbox.c.key.in_((table.key, table.turn_id))
                ),
                ~sa.exists().where(
                    turns.c.tenant == table.tenant, turns.c.turn_id == table.turn_id, turns.c.result.is_(None)
                ),
                ~sa.exists().where(asked.c.tenant == table.tenant, asked.c.key == table.turn_id),
            )
            .order_by(table.at)
            .limit(_FORGOTTEN_AT_ONCE)
        )

        async def write(connection: Connection) -> int:
            deleted = await connection.execute(
                sa.delete(effects).where(sa.tuple_(table.tenant, table.key).in_(old))
            )
            return deleted.rowcount

        return await self._database.write(write)
