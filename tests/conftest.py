"""
Fixtures that every kind of test uses: private servers and fresh databases.

A missing program skips the tests that need it.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import Phase, settings

from tests.servers import PostgresServer, ProgramMissing, RedisServer

# Before Python 3.12, explaining a failure traces each line of each example: ten times as long, for what nobody reads in CI.
settings.register_profile("careline", phases=[phase for phase in Phase if phase is not Phase.explain])
settings.load_profile("careline")


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """What one test's program sets up of logging must not silence the next one's."""
    yield
    structlog.reset_defaults()


@contextmanager
def _skip_if_missing() -> Iterator[None]:
    try:
        yield
    except ProgramMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Shared by all tests: use `redis_url`, and `killable_redis` to take it away."""
    with _skip_if_missing():
        server = RedisServer()
    with server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def killable_redis() -> Iterator[RedisServer]:
    with _skip_if_missing():
        server = RedisServer()
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Shared by all tests: use `postgres_database`, and `killable_postgres` to take it away."""
    with _skip_if_missing():
        server = PostgresServer()
    with server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def killable_postgres() -> Iterator[PostgresServer]:
    with _skip_if_missing():
        server = PostgresServer()
    with server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}"
