"""
A SQL database as the stores use it: one transaction per call, bounded in time, its errors in Careline's words.

SQLite: a single writing thread per process, so writers queue fairly here instead of polling its lock; BEGIN IMMEDIATE,
because a transaction that reads first and writes later loses updates (490 of 900 over three processes); WAL with
synchronous FULL, because an acknowledged message must survive a power cut, not only a kill. That costs about 3 ms a commit.
"""

import asyncio
import copy
from functools import partial
from typing import TypeVar

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

from core.clock import Clock
from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyTimeout,
    DependencyUnavailable,
    InternalFailure,
    InvalidInput,
)
from core.postgres_url import with_hosts_in_query
from core.resilience.interference import Interference
from core.resilience.timelimit import TimeLimit
from core.virtual_time import VirtualClock
from state.sql.connection import Connection
from state.sql.lane import Attempt, Lane, Work
from state.sql.pooled import READ_ONLY, EngineLane
from state.sql.sqlite import SqliteThread, open_long_reader
from state.sql.sqlite_in_line import SqliteInLine

T = TypeVar("T")

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
_RETRY_AFTER_SECONDS = 2.0


def async_url(url: str) -> URL:
    """The URL with the async driver that Careline brings, where it names none; several hosts as SQLAlchemy reads them."""
    parsed = make_url(with_hosts_in_query(url))
    return parsed.set(drivername=_ASYNC_DRIVERS.get(parsed.drivername, parsed.drivername))


class Database:
    """
    `read`, `scan` and `write` run `work` in one transaction and return what it returns. Of one that `is_foreign`, use `read` and
    `ping` only: not even its journal mode is changed then. On a virtual `clock` SQLite is asked in line, and tells that time.

    Raises:
        DependencyUnavailable, DependencyTimeout: with `dependency` as its name; `may_have_happened` when the COMMIT was sent and
            its answer never came.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        dependency: str = "sql",
        connections: int = 10,
        is_foreign: bool = False,
        clock: Clock | None = None,
        interference: Interference | None = None,
    ) -> None:
        self.dependency = dependency
        self._timeout = timeout_seconds
        parsed = async_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._writer: Lane
        self._reader: Lane
        self._scanner: Lane
        self._prober: Lane
        self._interference = interference
        if self.is_sqlite and isinstance(clock, VirtualClock):
            self._writer = SqliteInLine(parsed, timeout_seconds=timeout_seconds, may_write=True, clock=clock)
            self._reader = self._scanner = self._prober = SqliteInLine(
                parsed, timeout_seconds=timeout_seconds, may_write=False, clock=clock, is_foreign=is_foreign
            )
        elif self.is_sqlite:
            self._writer = SqliteThread(parsed, timeout_seconds=timeout_seconds, may_write=True)
            self._reader = SqliteThread(
                parsed, timeout_seconds=timeout_seconds, may_write=False, is_foreign=is_foreign
            )
            self._scanner = EngineLane(
                open_long_reader(parsed, timeout_seconds=timeout_seconds, connections=_SQLITE_READERS)
            )
            self._prober = EngineLane(
                open_long_reader(
                    parsed, timeout_seconds=timeout_seconds, connections=1, is_foreign=is_foreign
                )
            )
        else:
            # Its driver takes 9 MB, which SQLite does not need.
            from state.sql.postgres import PostgresLane, open_postgres

            self._prober = PostgresLane(open_postgres(parsed, timeout_seconds, 1))
            self._writer = self._reader = self._scanner = PostgresLane(
                open_postgres(parsed, timeout_seconds, connections)
            )

    def named(self, dependency: str) -> "Database":
        """The same connections under another dependency's name, for a store that happens to live in this database."""
        view = copy.copy(self)
        view.dependency = dependency
        return view

    async def read(self, work: Work[T]) -> T:
        """A few rows by their keys."""
        return await self._carried_out(self._reader, work, Attempt(is_write=False))

    async def scan(self, work: Work[T]) -> T:
        """Any number of rows, which nobody's turn waits for."""
        return await self._carried_out(self._scanner, work, Attempt(is_write=False))

    async def write(self, work: Work[T]) -> T:
        return await self._carried_out(self._writer, work, Attempt(is_write=True))

    async def ping(self) -> None:
        """On a connection of its own: whether the server answers must not depend on how many wait for it."""
        await self._carried_out(self._prober, _ask_one, Attempt(is_write=False))

    async def close(self) -> None:
        for lane in {self._writer, self._reader, self._scanner, self._prober}:
            await lane.close()

    async def _carried_out(self, lane: Lane, work: Work[T], attempt: Attempt) -> T:
        try:
            if self._interference is None:
                return await lane.transaction(work, attempt, timeout_seconds=self._timeout)
            return await self._interfered_with(self._interference, lane, work, attempt)
        except CarelineError:
            raise
        except TimeoutError as late:
            if not attempt.is_given_up:
                raise self._translated(late, is_committing=attempt.is_committing) from late
            raise DependencyTimeout(
                self.dependency, retry_after=_RETRY_AFTER_SECONDS, may_have_happened=attempt.is_write
            ) from late
        except (SQLAlchemyError, OSError, UnicodeEncodeError) as error:
            raise self._translated(error, is_committing=attempt.is_committing) from error

    async def _interfered_with(
        self, interference: Interference, lane: Lane, work: Work[T], attempt: Attempt
    ) -> T:
        try:
            with TimeLimit(self._timeout):
                return await interference.through(
                    self.dependency,
                    partial(lane.transaction, work, attempt, timeout_seconds=self._timeout),
                )
        except (TimeoutError, asyncio.CancelledError):
            attempt.is_given_up = True
            raise

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
        if getattr(error.orig, "sqlstate", None) == READ_ONLY:
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


async def _ask_one(connection: Connection) -> None:
    await connection.execute(_ONE)
