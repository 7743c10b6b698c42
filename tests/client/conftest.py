"""A control plane whose tests speak through the library, with and without asyncio; one process serves it to all of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import cast

import httpx
import pytest
from careline_client.fake import FakeCareline

from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.client.driver import LibraryDriver
from tests.control.conftest import database  # noqa: F401 - a fixture
from tests.control.plane import Plane, served_plane


@pytest.fixture(params=["asyncio", "sync"])
def is_sync(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "sync")


@pytest.fixture
def fake() -> FakeCareline:
    return FakeCareline()


@pytest.fixture(scope="session")
def migrated_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('plane') / 'careline.db'}"
    upgrade(url)
    return url


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
def plane_address(hosted: Plane) -> str:
    return str(hosted.client.base_url).removesuffix("/").removesuffix("/api/v1")


@pytest.fixture(params=["asyncio", "sync"])
async def plane(
    request: pytest.FixtureRequest,
    database: Database,  # noqa: F811
    hosted: Plane,
    plane_address: str,
) -> AsyncIterator[Plane]:
    """Without resources and events at its beginning."""
    hosted.recent._events.clear()
    driver = LibraryDriver(plane_address, is_sync=request.param == "sync")
    yield replace(hosted, client=cast(httpx.AsyncClient, driver), made={})
    await driver.aclose()
