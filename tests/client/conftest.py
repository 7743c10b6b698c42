"""A control plane whose tests speak through the library, with and without asyncio; one process serves it to all of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import httpx
import pytest
from careline_client.fake import FakeCareline

from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.client.driver import LibraryDriver
from tests.control.conftest import database, hosted  # noqa: F401 - fixtures
from tests.control.plane import Plane


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


@pytest.fixture
def plane_address(hosted: Plane) -> str:  # noqa: F811
    return str(hosted.client.base_url).removesuffix("/").removesuffix("/api/v1")


@pytest.fixture(params=["asyncio", "sync"])
async def plane(
    request: pytest.FixtureRequest,
    database: Database,  # noqa: F811
    hosted: Plane,  # noqa: F811
    plane_address: str,
) -> AsyncIterator[Plane]:
    """Without resources and events at its beginning."""
    hosted.recent.clear()
    driver = LibraryDriver(plane_address, is_sync=request.param == "sync")
    yield replace(hosted, client=cast(httpx.AsyncClient, driver), made={})
    await driver.aclose()
