"""
SQLite as a database of one process: reads through aiosqlite, as many at once as there are connections; writes one after the
other, each transaction whole in the writing thread.

Through aiosqlite every statement is several hops between threads. A turn writes some twenty, which cost more CPU time than
all the rest of it together; docs/decisions has the figures.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")


def open_reader(url: URL, *, timeout_seconds: float, connections: int) -> AsyncEngine:
    """Connections that cannot write. A transaction sees one state of the database, whatever is written meanwhile."""
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        connect_args={"isolation_level": None, "timeout": timeout_seconds},
    )
    _prepare(engine.sync_engine, pragmas=("journal_mode = WAL", "query_only = ON"), begin="BEGIN")
    return engine


class SqliteWriter:
    """One connection in one thread; transactions wait in order of arrival."""

    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._engine = sa.create_engine(
            url.set(drivername="sqlite"),
            pool_size=1,
            max_overflow=0,
            connect_args={"isolation_level": None, "timeout": timeout_seconds, "check_same_thread": False},
        )
        _prepare(
            self._engine,
            pragmas=("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"),
            begin="BEGIN IMMEDIATE",
        )

    async def transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], before_commit: Callable[[], None]
    ) -> T:
        def run() -> T:
            with self._engine.begin() as connection:
                result = _run_through(work(cast(AsyncConnection, _Connection(connection))))
                before_commit()
            return result

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()


def _prepare(engine: sa.Engine, *, pragmas: Sequence[str], begin: str) -> None:
    """The driver must begin nothing by itself: its own late BEGIN loses updates."""

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def open_transaction(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)


class _Connection:
    """What stores use of an `AsyncConnection`, answered at once."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def execute(self, *arguments: Any) -> CursorResult[Any]:
        return self._connection.execute(*arguments)

    async def exec_driver_sql(self, statement: str) -> CursorResult[Any]:
        return self._connection.exec_driver_sql(statement)


def _run_through(work: Awaitable[T]) -> T:
    """Work that awaits nothing but its connection never waits, so one step takes it to its end."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as finished:
        return cast(T, finished.value)
    raise RuntimeError("a transaction may wait for nothing but its database")
