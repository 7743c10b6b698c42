"""
Every claim is told twice: of Careline's state handler, and of the naive one.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.pitfalls.world import Kind, World
from tests.servers import PostgresServer, ProgramMissing, RedisServer


@pytest.fixture(params=["careline", "naive"])
def kind(request: pytest.FixtureRequest) -> Kind:
    value: Kind = request.param
    return value


@pytest.fixture
async def world(kind: Kind, killable_redis: RedisServer, sqlite_url: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as closing:
        yield World(kind, redis=killable_redis, database_url=sqlite_url, sql=None, closing=closing)


@pytest.fixture(scope="package")
def breakable_postgres() -> Iterator[PostgresServer]:
    """One for all: a story that takes it away is followed by another start."""
    try:
        server = PostgresServer()
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
async def world_on_postgres(
    kind: Kind, killable_redis: RedisServer, breakable_postgres: PostgresServer
) -> AsyncIterator[World]:
    breakable_postgres.start()
    name = f"pitfall_{uuid.uuid4().hex}"
    breakable_postgres.create_database(name)
    async with AsyncExitStack() as closing:
        yield World(
            kind,
            redis=killable_redis,
            database_url=breakable_postgres.url(name),
            sql=breakable_postgres,
            closing=closing,
        )
    breakable_postgres.start()
