"""
Transactions through an engine of SQLAlchemy's, as many at once as it has connections.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from state.sql.connection import Connection, Query, Record, Values
from state.sql.lane import Attempt, Work

T = TypeVar("T")

_GOODBYE_SECONDS = 0.1

READ_ONLY = "25006"
"""A server of PostgreSQL's that was the writable one before a failover."""


class EngineLane:
    """Implements `state.sql.lane.Lane`; SQLite's for long reads, and what PostgreSQL's is made of."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def transaction(self, work: Work[T], attempt: Attempt, *, timeout_seconds: float) -> T:
        """
        In a task of its own: when a server is silent, psycopg's answer to a cancellation is to ask that server to cancel, and
        to wait 5 s for it. Nobody waits for that but the abandoned task.
        """
        task = asyncio.create_task(self._twice(work, attempt))
        try:
            done, _ = await asyncio.wait((task,), timeout=timeout_seconds)
        except asyncio.CancelledError:
            self._abandon(task, attempt)
            raise
        if not done:
            self._abandon(task, attempt)
            raise TimeoutError
        return task.result()

    async def close(self) -> None:
        if self._abandoned:
            # A silent server is not waited for: it rolls back by itself when the connection ends.
            await asyncio.wait(self._abandoned, timeout=_GOODBYE_SECONDS)
        await self._engine.dispose()

    async def _twice(self, work: Work[T], attempt: Attempt) -> T:
        """After a restart of the server the pool's connections are dead; SQLAlchemy drops them all with the first one."""
        try:
            return await self._once(work, attempt)
        except DBAPIError as failed:
            if attempt.is_committing or not failed.connection_invalidated:
                raise
            return await self._once(work, attempt)

    async def _once(self, work: Work[T], attempt: Attempt) -> T:
        async with self._engine.begin() as connection:
            result = await work(_PooledConnection(connection))
            attempt.begin_commit()
        return result

    def _abandon(self, task: "asyncio.Task[Any]", attempt: Attempt) -> None:
        attempt.is_given_up = True
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()


class _PooledConnection(Connection):
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def fetch(self, query: Query, values: Values) -> Sequence[Record]:
        text, parameters, record = query.prepared(self.dialect, values)
        found = await self._connection.exec_driver_sql(text, parameters(values))
        return [record(row) for row in found.fetchall()]

    async def change(self, query: Query, values: Values) -> int:
        text, parameters, _ = query.prepared(self.dialect, values)
        return (await self._connection.exec_driver_sql(text, parameters(values))).rowcount

    async def execute(
        self, statement: sa.Executable, parameters: Any = None
    ) -> CursorResult[*tuple[Any, ...]]:
        return await self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> CursorResult[*tuple[Any, ...]]:
        return await self._connection.exec_driver_sql(statement)
