"""
Deployments that wait for their probes, and who probes which: one process at a time, by the database's clock.
"""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from core.control_records import Deployment, DeploymentStatus
from state.sql.connection import Connection
from state.sql.control import resource_of
from state.sql.control_tables import deployments
from state.sql.engine import Database
from state.sql.types import database_in, database_now


class SqlSpawning:
    """Implements `agent.control.ports.Spawning`. What it writes is no change of the plane's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, environment: str, *, limit: int) -> Sequence[tuple[str, UUID]]:
        query = (
            sa.select(deployments.c.tenant, deployments.c.id)
            .where(deployments.c.environment == environment, _is_free())
            .order_by(deployments.c.updated_at)
            .limit(limit)
        )

        async def read(connection: Connection) -> Sequence[tuple[str, UUID]]:
            return [(row.tenant, UUID(row.id)) for row in await connection.execute(query)]

        return await self._database.scan(read)

    async def claim(self, tenant: str, id: UUID, *, owner: str, seconds: float) -> Deployment | None:
        async def write(connection: Connection) -> Deployment | None:
            taken = await connection.execute(
                sa.update(deployments)
                .where(_is(tenant, id), _is_free())
                .values(probing_owner=owner, probing_until=database_in(seconds))
            )
            if taken.rowcount == 0:
                return None
            found = await connection.execute(sa.select(deployments).where(_is(tenant, id)))
            return resource_of(Deployment, found.mappings().one())

        return await self._database.write(write)

    async def renew(self, tenant: str, id: UUID, *, owner: str, seconds: float) -> bool:
        async def write(connection: Connection) -> bool:
            renewed = await connection.execute(
                sa.update(deployments)
                .where(_is(tenant, id), deployments.c.probing_owner == owner)
                .values(probing_until=database_in(seconds))
            )
            return renewed.rowcount == 1

        return await self._database.write(write)

    async def release(self, tenant: str, id: UUID, *, owner: str) -> None:
        async def write(connection: Connection) -> None:
            await connection.execute(
                sa.update(deployments)
                .where(_is(tenant, id), deployments.c.probing_owner == owner)
                .values(probing_owner=None, probing_until=None)
            )

        await self._database.write(write)


def _is(tenant: str, id: UUID) -> sa.ColumnElement[bool]:
    return sa.and_(deployments.c.tenant == tenant, deployments.c.id == str(id))


def _is_free() -> sa.ColumnElement[bool]:
    until = sa.type_coerce(deployments.c.probing_until, sa.BigInteger)
    return sa.and_(
        deployments.c.status == DeploymentStatus.SPAWNING, sa.or_(until.is_(None), until < database_now())
    )
