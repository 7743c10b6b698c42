"""
SQLite as a database of one process: reads through aiosqlite, as many at once as there are connections; writes one after the
other, each transaction whole in the writing thread.

Through aiosqlite every statement is several hops between threads. A turn writes some twenty, which cost more CPU time than
all the rest of it together; docs/decisions has the figures.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")

_MOST_TOGETHER = 64


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


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A transaction that somebody waits for. `result` belongs to the event loop `loop`."""

    work: Callable[[AsyncConnection], Awaitable[Any]]
    before_commit: Callable[[], None]
    result: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class SqliteWriter:
    """
    One connection in one thread. What waits while it writes is written together next, in order of arrival, and becomes durable
    by one commit: a commit costs more than all that a turn writes. Each keeps its own fate: a savepoint takes back what failed.
    """

    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._is_writing = False
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
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, before_commit, loop.create_future(), loop)
        with self._lock:
            self._waiting.append(waiting)
            begins = not self._is_writing
            self._is_writing = True
        if begins:
            self._thread.submit(self._write_all)
        return cast(T, await waiting.result)

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._engine.dispose()

    def _write_all(self) -> None:
        """In the thread, until nothing waits."""
        while True:
            with self._lock:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
                if not group:
                    self._is_writing = False
                    return
            fates = self._written(group)
            for loop in {waiting.loop for waiting in group}:
                told = [(w.result, fate) for w, fate in zip(group, fates, strict=True) if w.loop is loop]
                with suppress(RuntimeError):  # a loop that is closed has nobody who waits
                    loop.call_soon_threadsafe(_tell, told)

    def _written(self, group: Sequence[_Waiting]) -> "list[_Fate]":
        fates: list[_Fate] = []
        try:
            with self._engine.begin() as connection:
                for waiting in group:
                    fates.append(_fate_of(waiting, connection, is_alone=len(group) == 1))
        except BaseException as failed:
            # Without a commit nothing stands; who failed before it keeps the reason of their own.
            return [
                fate if fate.failure is not None else _Fate(failure=failed)
                for fate in (*fates, *(_Fate() for _ in group[len(fates) :]))
            ]
        return fates


@dataclass(frozen=True, slots=True)
class _Fate:
    value: Any = None
    failure: BaseException | None = None


def _fate_of(waiting: _Waiting, connection: sa.Connection, *, is_alone: bool) -> _Fate:
    """
    Raises:
        Exception: where it is alone, so that its transaction is rolled back; or the savepoint itself fails.
    """
    if is_alone:
        value = _run_through(waiting.work(cast(AsyncConnection, _Connection(connection))))
        waiting.before_commit()
        return _Fate(value)
    connection.exec_driver_sql("SAVEPOINT one")
    try:
        value = _run_through(waiting.work(cast(AsyncConnection, _Connection(connection))))
        waiting.before_commit()
    except BaseException as failed:
        connection.exec_driver_sql("ROLLBACK TO one")
        connection.exec_driver_sql("RELEASE one")
        return _Fate(failure=failed)
    connection.exec_driver_sql("RELEASE one")
    return _Fate(value)


def _tell(fates: Sequence[tuple[asyncio.Future[Any], _Fate]]) -> None:
    for result, fate in fates:
        if result.done():  # given up meanwhile
            continue
        if fate.failure is not None:
            result.set_exception(fate.failure)
        else:
            result.set_result(fate.value)


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
