"""
A SQL database as the stores use it: one transaction per call, bounded in time, its errors in Careline's words.

SQLite: a single writing thread per process, so writers queue fairly here instead of polling its lock; BEGIN IMMEDIATE,
because a transaction that reads first and writes later loses updates (490 of 900 over three processes); WAL with
synchronous FULL, because an acknowledged message must survive a power cut, not only a kill. That costs about 3 ms a commit.
"""

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyTimeout,
    DependencyUnavailable,
    InternalFailure,
    InvalidInput,
)
from state.sql.sqlite import SqliteWriter, open_reader

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_ASYNC_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_SQLITE_READERS = 4
_ONE = sa.text("SELECT 1")
UNREACHABLE = "unreachable"
"""The `reason` where no connection could be made, not even a second one."""
_QUERY_CANCELED = "57014"
_READ_ONLY = "25006"
"""A server that was the writable one before a failover."""
_RETRY_AFTER_SECONDS = 2.0
_GOODBYE_SECONDS = 0.1


def async_url(url: str) -> URL:
    """The URL with the async driver that Careline brings, where it names none."""
    parsed = make_url(url)
    return parsed.set(drivername=_ASYNC_DRIVERS.get(parsed.drivername, parsed.drivername))


class _Lane(Protocol):
    async def transaction(self, work: Work[T], before_commit: Callable[[], None]) -> T:
        """Run `work` in one transaction; `before_commit` is called when only the COMMIT is left."""
        ...

    async def close(self) -> None: ...


class Database:
    """
    `read` and `write` run `work` in one transaction and return what it returns.

    Raises:
        DependencyUnavailable, DependencyTimeout: with `dependency` as its name; `may_have_happened` when the COMMIT was sent and
            its answer never came.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float, dependency: str = "sql", connections: int = 10
    ) -> None:
        self.dependency = dependency
        self._timeout = timeout_seconds
        self._abandoned: set[asyncio.Task[Any]] = set()
        parsed = async_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._writer: _Lane
        self._reader: _Lane
        self._prober: _Lane
        if self.is_sqlite:
            self._writer = SqliteWriter(parsed, timeout_seconds=timeout_seconds)
            self._reader = _EngineLane(
                open_reader(parsed, timeout_seconds=timeout_seconds, connections=_SQLITE_READERS)
            )
            self._prober = _EngineLane(open_reader(parsed, timeout_seconds=timeout_seconds, connections=1))
        else:
            self._prober = _EngineLane(_open_postgres(parsed, timeout_seconds, 1))
            self._writer = self._reader = _EngineLane(_open_postgres(parsed, timeout_seconds, connections))

    def named(self, dependency: str) -> "Database":
        """The same connections under another dependency's name, for a store that happens to live in this database."""
        view = copy.copy(self)
        view.dependency = dependency
        return view

    async def read(self, work: Work[T]) -> T:
        return await self._bounded(self._reader, work, is_write=False)

    async def write(self, work: Work[T]) -> T:
        return await self._bounded(self._writer, work, is_write=True)

    async def ping(self) -> None:
        """On a connection of its own: whether the server answers must not depend on how many wait for it."""
        await self._bounded(self._prober, _ask_one, is_write=False)

    async def close(self) -> None:
        if self._abandoned:
            # A silent server is not waited for: it rolls back by itself when the connection ends. A thread must end its own work.
            seconds = self._timeout if self.is_sqlite else _GOODBYE_SECONDS
            await asyncio.wait(self._abandoned, timeout=seconds)
        for lane in {self._writer, self._reader, self._prober}:
            await lane.close()

    async def _bounded(self, lane: _Lane, work: Work[T], *, is_write: bool) -> T:
        """
        In a task of its own: when a server is silent, psycopg's answer to a cancellation is to ask that server to cancel, and
        to wait 5 s for it. Nobody waits for that but the abandoned task.
        """
        given_up = threading.Event()
        task = asyncio.create_task(self._transaction(lane, work, is_write=is_write, given_up=given_up))
        try:
            done, _ = await asyncio.wait((task,), timeout=self._timeout)
        except asyncio.CancelledError:
            self._abandon(task, given_up)
            raise
        if not done:
            self._abandon(task, given_up)
            raise DependencyTimeout(
                self.dependency, retry_after=_RETRY_AFTER_SECONDS, may_have_happened=is_write
            )
        return task.result()

    def _abandon(self, task: "asyncio.Task[Any]", given_up: threading.Event) -> None:
        """A thread cannot be cancelled: what it still writes is rolled back, so that a refused message leaves no lease behind."""
        given_up.set()
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()

    async def _transaction(
        self, lane: _Lane, work: Work[T], *, is_write: bool, given_up: threading.Event
    ) -> T:
        try:
            return await self._attempt(lane, work, is_write=is_write, given_up=given_up)
        except DependencyUnavailable as failed:
            # After a restart of the server the pool's connections are dead; SQLAlchemy drops them all with the first one.
            cause = failed.__cause__
            if failed.may_have_happened or not (
                isinstance(cause, DBAPIError) and cause.connection_invalidated
            ):
                raise
            return await self._attempt(lane, work, is_write=is_write, given_up=given_up)

    async def _attempt(self, lane: _Lane, work: Work[T], *, is_write: bool, given_up: threading.Event) -> T:
        is_committing = False

        def note() -> None:
            nonlocal is_committing
            if given_up.is_set():
                raise DependencyTimeout(self.dependency, "nobody waits for this transaction any more")
            is_committing = is_write

        try:
            return await lane.transaction(work, note)
        except CarelineError:
            raise
        except (SQLAlchemyError, OSError, UnicodeEncodeError) as error:
            raise self._translated(error, is_committing=is_committing) from error

    def _translated(  # noqa: PLR0911 - one answer per kind of error
        self, error: Exception, *, is_committing: bool
    ) -> CarelineError:
        if isinstance(error, PoolTimeoutError):
            return DependencyUnavailable(
                self.dependency, str(error), reason="pool_full", retry_after=_RETRY_AFTER_SECONDS
            )
        if isinstance(error, OSError):
            return DependencyUnavailable(self.dependency, str(error), retry_after=_RETRY_AFTER_SECONDS)
        if isinstance(error, (DataError, UnicodeEncodeError)):
            return InvalidInput(str(error), reason="not_storable")
        if not isinstance(error, DBAPIError):
            return InternalFailure(str(error))
        if getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED:
            return DependencyTimeout(self.dependency, str(error.orig), retry_after=_RETRY_AFTER_SECONDS)
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            return DependencyUnavailable(
                self.dependency, str(error.orig), reason="cannot_serve", retry_after=_RETRY_AFTER_SECONDS
            )
        if "no such" in str(error.orig):
            return InternalFailure(str(error.orig), reason="not_migrated")
        if isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated:
            return DependencyUnavailable(
                self.dependency,
                str(error.orig),
                reason=None if self.is_sqlite or _is_from_server(error) else UNREACHABLE,
                retry_after=_RETRY_AFTER_SECONDS,
                may_have_happened=is_committing,
            )
        if isinstance(error, sa.exc.IntegrityError):
            return DataIntegrityFailed(str(error.orig))
        return InternalFailure(str(error.orig))


def _is_from_server(error: DBAPIError) -> bool:
    """A server that says what is wrong is there, unless it says that it is going away or coming up."""
    code = getattr(error.orig, "sqlstate", None)
    return code is not None and not code.startswith(("08", "57P"))


async def _ask_one(connection: AsyncConnection) -> None:
    await connection.execute(_ONE)


class _EngineLane:
    """As many transactions at once as the engine has connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def transaction(self, work: Work[T], before_commit: Callable[[], None]) -> T:
        async with self._engine.begin() as connection:
            result = await work(connection)
            before_commit()
        return result

    async def close(self) -> None:
        await self._engine.dispose()


def _open_postgres(url: URL, timeout_seconds: float, connections: int) -> AsyncEngine:
    milliseconds = int(timeout_seconds * 1000)
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        connect_args={
            "connect_timeout": max(2, round(timeout_seconds)),  # libpq knows no less
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            f" -c idle_in_transaction_session_timeout={milliseconds * 10}",
        },
    )
    sa.event.listen(engine.sync_engine, "handle_error", _leave_read_only)
    return engine


def _leave_read_only(context: sa.engine.ExceptionContext) -> None:
    """The next connection looks for the writable server again, where the URL names several."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True
