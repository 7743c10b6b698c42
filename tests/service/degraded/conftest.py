"""
A record with a help centre and two customers, ready to be copied for a service of one's own.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tests.careline_process import CarelineProcess, run_careline
from tests.service.degraded.stage import ARTICLES, load_customers
from tests.service.degraded.talk import Service


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SQLite record and its index. Read only: a service works in a copy."""
    folder = tmp_path_factory.mktemp("library")
    run_careline("ingest", *ARTICLES, folder=folder)
    load_customers(f"sqlite+aiosqlite:///{folder / 'careline.db'}")
    return folder


@pytest.fixture(scope="module")
def furnished(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `library`."""
    folder = tmp_path_factory.mktemp("service") / "kept"
    shutil.copytree(library, folder)
    return folder


@pytest.fixture
async def talk_to() -> AsyncIterator[Callable[[CarelineProcess], Service]]:
    clients: list[httpx.AsyncClient] = []

    def connect(process: CarelineProcess) -> Service:
        client = httpx.AsyncClient(base_url=process.url, timeout=30.0)
        clients.append(client)
        return Service(client)

    yield connect
    for client in clients:
        await client.aclose()
