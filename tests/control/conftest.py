"""
One database of each kind for all tests of the control plane: each test finds it without resources.
"""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa

from agent.control.plane import ControlPlane
from state.sql.connection import Connection
from state.sql.control import SqlControlStore
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


@pytest.fixture(scope="session")
def hosted(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Served from a thread, so that it outlives the event loops of the tests."""
    folder = tmp_path_factory.mktemp("sealing")
    started: Future[tuple[Plane, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        own = Database(migrated_url, timeout_seconds=5.0)
        is_over = asyncio.Event()
        async with served_plane(own, folder) as plane:
            started.set_result((plane, asyncio.get_running_loop(), is_over))
            await is_over.wait()
        await own.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    plane, loop, is_over = started.result(timeout=60)
    yield plane
    loop.call_soon_threadsafe(is_over.set)
    thread.join()


@pytest.fixture
async def plane(database: Database, hosted: Plane) -> AsyncIterator[Plane]:
    """Without resources and events at its beginning; its clock has gone on since the test before."""
    hosted.recent.clear()
    store = SqlControlStore(database)
    control = ControlPlane(store, sealing=hosted.sealing, clock=hosted.clock)
    async with httpx.AsyncClient(base_url=hosted.client.base_url, timeout=20) as client:
        yield replace(hosted, client=client, store=store, control=control, made={})
