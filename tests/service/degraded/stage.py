"""
What the services of these tests are furnished with: a small help centre, two customers, servers of their own.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from agent.demo import shop
from core.identity import DEFAULT_TENANT
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from tests.servers import PostgresServer, ProgramMissing, RedisServer

REFUND = "When will I get my refund?"
"""A question, and the title of the article that answers it."""

ARTICLES = tuple(
    str(shop.ARTICLES / f"{name}.md")
    for name in ("returns-refund-time", "shipping-click-and-collect", "account-password")
)


def load_customers(database_url: str) -> None:
    """The shop's first two customers, of whom cus_01 has order QC204918."""

    async def put() -> None:
        database = Database(database_url, timeout_seconds=10)
        directory = SqlCustomerDirectory(database)
        for customer in shop.customers(datetime.now(UTC))[:2]:
            await directory.put_customer(DEFAULT_TENANT, customer)
        await database.close()

    asyncio.run(put())


@contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with server:
        yield server


@contextmanager
def own_redis(*options: str) -> Iterator[RedisServer]:
    try:
        server = RedisServer(*options)
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with server:
        yield server
