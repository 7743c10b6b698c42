"""
PostgreSQL as a database of many processes: a connection for each transaction, and as few trips to the server as it allows.

A trip costs more than what it asks for, in time and in CPU on both sides. Questions that are put together go in one message;
what is written waits, and goes together with the COMMIT. Values are put into the text by psycopg, since only PostgreSQL's simple
protocol takes several statements at once; pgbouncer in transaction mode passes that on as well (docs/decisions/0010).
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from state.sql.connection import Ask, Connection, Query, Record, Values
from state.sql.hosts import prefer_who_answers
from state.sql.lane import Attempt, Work
from state.sql.pooled import READ_ONLY, EngineLane

T = TypeVar("T")


def open_postgres(url: URL, timeout_seconds: float, connections: int) -> AsyncEngine:
    milliseconds = int(timeout_seconds * 1000)
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
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
    prefer_who_answers(engine, url)
    return engine


def _leave_read_only(context: sa.engine.ExceptionContext) -> None:
    """The next connection looks for the writable server again, where the URL names several."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


class PostgresLane(EngineLane):
    """Its engine's connections are in autocommit: a transaction begins with the first message that it sends."""

    async def _once(self, work: Work[T], attempt: Attempt) -> T:
        pool = self._engine.pool
        async with self._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver = cast("psycopg.AsyncConnection[Any]", raw.driver_connection)
            transaction = _Transaction(connection, driver, is_write=attempt.is_write)
            try:
                result = await work(transaction)
                attempt.begin_commit()
                await transaction.commit()
            except sa.exc.DBAPIError as failed:
                if failed.connection_invalidated:
                    await connection.invalidate()
                    # The server is another one now, for the pool's other connections too.
                    if self._engine.pool is pool:
                        await self._engine.dispose(close=False)
                raise
        return result


class _Transaction(Connection):
    def __init__(
        self, connection: AsyncConnection, driver: "psycopg.AsyncConnection[Any]", *, is_write: bool
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._cursor = psycopg.AsyncClientCursor(driver)
        self._dialect = connection.dialect
        self._unsent: list[str] = ["BEGIN"] if is_write else []

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def fetch(self, query: Query, values: Values) -> Sequence[Record]:
        return (await self.fetch_all((query, values)))[0]

    async def fetch_all(self, *asks: Ask) -> Sequence[Sequence[Record]]:
        records = []
        for query, values in asks:
            text, parameters, record = query.prepared(self._dialect, values)
            self._unsent.append(self._cursor.mogrify(text, parameters(values)))
            records.append(record)
        results = (await self._send())[-len(asks) :]
        return [[record(row) for row in rows] for record, (rows, _) in zip(records, results, strict=True)]

    async def write(self, query: Query, values: Values) -> None:
        text, parameters, _ = query.prepared(self._dialect, values)
        self._unsent.append(self._cursor.mogrify(text, parameters(values)))

    async def change(self, query: Query, values: Values) -> int:
        await self.write(query, values)
        return (await self._send())[-1][1]

    async def execute(
        self, statement: sa.Executable, parameters: Any = None
    ) -> CursorResult[*tuple[Any, ...]]:
        await self._send()
        return await self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> CursorResult[*tuple[Any, ...]]:
        await self._send()
        return await self._connection.exec_driver_sql(statement)

    async def commit(self) -> None:
        if self._driver.info.transaction_status != psycopg.pq.TransactionStatus.IDLE or self._unsent[1:]:
            self._unsent.append("COMMIT")
            await self._send()

    async def _send(self) -> list[tuple[list[Any], int]]:
        """Rows and row count of each statement, in order."""
        if not self._unsent:
            return []
        text, self._unsent = "; ".join(self._unsent), []
        results = []
        try:
            # Put together from SQLAlchemy's texts and psycopg's own quoting of every value.
            await self._cursor.execute(text.encode())
            while True:
                is_table = self._cursor.description is not None
                results.append((await self._cursor.fetchall() if is_table else [], self._cursor.rowcount))
                if not self._cursor.nextset():
                    break
        except psycopg.Error as error:
            is_lost = self._driver.closed or self._driver.broken or error.sqlstate == READ_ONLY
            raise sa.exc.DBAPIError.instance(
                text, None, error, psycopg.Error, connection_invalidated=is_lost, dialect=self._dialect
            ) from error
        return results
