"""
SQLite as a database of one process: a writing thread and a reading one, each of which carries out together what waits.

Through aiosqlite every statement is several hops between threads. A turn has some fifteen, which cost more CPU time than all the
rest of it together (docs/decisions/0004, 0007). Long reads, whose rows are many, still go through it: they must not keep a turn
waiting.
"""

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from core.errors import CarelineError
from core.resilience.timelimit import TimeLimit
from state.sql.connection import Connection, Query, Record, Values
from state.sql.lane import Attempt, Work

T = TypeVar("T")

_MOST_TOGETHER = 64


def open_long_reader(
    url: URL, *, timeout_seconds: float, connections: int, is_foreign: bool = False
) -> AsyncEngine:
    """Connections that cannot write. A transaction sees one state of the database, whatever is written meanwhile."""
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        connect_args={"isolation_level": None, "timeout": timeout_seconds},
    )
    _prepare(engine.sync_engine, pragmas=_FOREIGN if is_foreign else _READING, begin="BEGIN")
    return engine


_READING = ("journal_mode = WAL", "query_only = ON")
_FOREIGN = ("query_only = ON",)
_WRITING = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A transaction that somebody waits for. `result` belongs to the event loop `loop`."""

    work: Work[Any]
    attempt: Attempt
    result: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


@dataclass(frozen=True, slots=True)
class _Fate:
    value: Any = None
    failure: BaseException | None = None


class SqliteThread:
    """
    One connection in one thread. What waits while it works is carried out together next, in order of arrival, in one transaction:
    a commit costs more than all that a turn writes. Each keeps its own fate: a savepoint takes back what failed.
    """

    def __init__(
        self, url: URL, *, timeout_seconds: float, may_write: bool, is_foreign: bool = False
    ) -> None:
        self._may_write = may_write
        self._arrivals: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sa.Connection | None = None
        self._engine = sa.create_engine(
            url.set(drivername="sqlite"),
            pool_size=1,
            max_overflow=0,
            connect_args={"isolation_level": None, "timeout": timeout_seconds, "check_same_thread": False},
        )
        _prepare(
            self._engine,
            pragmas=_WRITING if may_write else _FOREIGN if is_foreign else _READING,
            begin="BEGIN IMMEDIATE" if may_write else "BEGIN",
        )

    async def transaction(self, work: Work[T], attempt: Attempt, *, timeout_seconds: float) -> T:
        """
        A thread cannot be cancelled: what it writes when nobody waits any more is rolled back, so that a refused message leaves
        no lease behind.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, attempt, loop.create_future(), loop)
        if self._thread is None:
            self._thread = threading.Thread(target=self._carry_out_all, name="sqlite", daemon=True)
            self._thread.start()
        self._arrivals.put(waiting)
        try:
            with TimeLimit(timeout_seconds):
                return cast(T, await waiting.result)
        except (TimeoutError, asyncio.CancelledError):
            attempt.is_given_up = True
            raise

    async def close(self) -> None:
        if self._thread is not None:
            self._arrivals.put(None)
            await asyncio.to_thread(self._thread.join)
        self._engine.dispose()

    def _carry_out_all(self) -> None:
        """In the thread, until it is told to end."""
        while (first := self._arrivals.get()) is not None:
            group = [first]
            is_last = False
            with suppress(Empty):
                while len(group) < _MOST_TOGETHER:
                    more = self._arrivals.get_nowait()
                    if more is None:
                        is_last = True
                        break
                    group.append(more)
            self._tell(group, self._fates([(waiting.work, waiting.attempt) for waiting in group]))
            if is_last:
                break
        if self._connection is not None:
            self._connection.close()

    def _tell(self, group: Sequence[_Waiting], fates: Sequence[_Fate]) -> None:
        for loop in {waiting.loop for waiting in group}:
            told = [(w.result, fate) for w, fate in zip(group, fates, strict=True) if w.loop is loop]
            with suppress(RuntimeError):  # a loop that is closed has nobody who waits
                loop.call_soon_threadsafe(_settle, told)

    def _fates(self, group: Sequence[tuple[Work[Any], Attempt]]) -> list[_Fate]:
        fates: list[_Fate] = []
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                connection = _Connection(self._connection)
                for work, attempt in group:
                    fates.append(self._fate(work, attempt, connection, is_alone=len(group) == 1))
        except BaseException as failed:
            if not isinstance(failed, CarelineError):
                self._drop_connection()
            # Without a commit nothing stands; who failed before it keeps the reason of their own.
            return [
                fate if fate.failure is not None else _Fate(failure=failed)
                for fate in (*fates, *(_Fate() for _ in group[len(fates) :]))
            ]
        return fates

    def _fate(self, work: Work[Any], attempt: Attempt, connection: "_Connection", *, is_alone: bool) -> _Fate:
        """
        Raises:
            Exception: where it is alone, so that its transaction is rolled back; or the savepoint itself fails.
        """
        needs_savepoint = self._may_write and not is_alone
        if needs_savepoint:
            connection.driver.execute("SAVEPOINT one")
        try:
            value = _run_through(work(connection))
            attempt.begin_commit()
        except BaseException as failed:
            if is_alone:
                raise
            if needs_savepoint:
                connection.driver.execute("ROLLBACK TO one")
                connection.driver.execute("RELEASE one")
            return _Fate(failure=failed)
        if needs_savepoint:
            connection.driver.execute("RELEASE one")
        return _Fate(value)

    def _drop_connection(self) -> None:
        """After a failure of the database's the next group begins with a new connection."""
        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.close()
            self._connection = None


def _settle(fates: Sequence[tuple[asyncio.Future[Any], _Fate]]) -> None:
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


class _Connection(Connection):
    """Answers at once."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.driver = cast(Any, connection.connection.driver_connection)
        self._dialect = connection.dialect

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def fetch(self, query: Query, values: Values) -> Sequence[Record]:
        text, parameters, record = query.prepared(self._dialect, values)
        return [record(row) for row in self._carry_out(text, parameters(values))]

    async def change(self, query: Query, values: Values) -> int:
        text, parameters, _ = query.prepared(self._dialect, values)
        return cast(int, self._carry_out(text, parameters(values)).rowcount)

    async def execute(
        self, statement: sa.Executable, parameters: Any = None
    ) -> CursorResult[*tuple[Any, ...]]:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> CursorResult[*tuple[Any, ...]]:
        return self._connection.exec_driver_sql(statement)

    def _carry_out(self, text: str, parameters: Sequence[Any]) -> Any:
        driver = self._dialect.loaded_dbapi
        try:
            return self.driver.execute(text, parameters)
        except driver.Error as error:
            raise sa.exc.DBAPIError.instance(
                text, None, error, driver.Error, dialect=self._dialect
            ) from error


def _run_through(work: Awaitable[T]) -> T:
    """Work that awaits nothing but its connection never waits, so one step takes it to its end."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as finished:
        return cast(T, finished.value)
    raise RuntimeError("a transaction may wait for nothing but its database")
