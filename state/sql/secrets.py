"""
Random secrets that all replicas share and nobody has to configure, such as the one that signs visitors' tokens.
"""

import secrets as chance

import sqlalchemy as sa

from core.errors import DataIntegrityFailed
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import secrets
from state.sql.types import insert

_BYTES = 32


class SqlSecrets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def secret(self, name: str) -> bytes:
        """Made by whoever asks first; everybody gets the same."""

        async def write(connection: Connection) -> bytes:
            await connection.execute(
                insert(connection.dialect, secrets)
                .values(name=name, value=chance.token_bytes(_BYTES))
                .on_conflict_do_nothing()
            )
            query = sa.select(secrets.c.value).where(secrets.c.name == name)
            value: bytes | None = (await connection.execute(query)).scalar_one_or_none()
            if value is None:
                raise DataIntegrityFailed(f"secret {name} was written and is not there")
            return value

        return await self._database.write(write)
