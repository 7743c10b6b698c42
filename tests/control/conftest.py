"""
One database of each kind for all tests of the control plane: each test finds it without resources.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from state.sql.connection import Connection
from state.sql.control_tables import TABLES, control_changes, control_requests, control_versions
from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.control.plane import Plane, served_plane
from tests.servers import PostgresServer

_ALL = (*TABLES.values(), control_changes, control_requests, control_versions)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('plane') / 'careline.db'}"
        upgrade(url)
        yield url
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"plane_{uuid.uuid4().hex}"
    server.create_database(name)
    upgrade(server.url(name))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    opened = Database(migrated_url, timeout_seconds=5.0)

    async def empty(connection: Connection) -> None:
        for table in _ALL:
            await connection.execute(sa.delete(table))

    await opened.write(empty)
    yield opened
    await opened.close()


@pytest.fixture
async def plane(database: Database, tmp_path: Path) -> AsyncIterator[Plane]:
    async with served_plane(database, tmp_path) as served:
        yield served
