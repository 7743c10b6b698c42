"""
SQLite in the event loop's own thread, on a virtual clock: for replays, in which nothing may happen in an order of its own.

What is written here is thrown away, so it need not survive a power cut.
"""

import sqlite3
from typing import TypeVar, cast

from sqlalchemy import event
from sqlalchemy.engine import URL

from core.virtual_time import VirtualClock
from state.sql.lane import Attempt, Work
from state.sql.sqlite import SqliteThread

T = TypeVar("T")


class SqliteInLine(SqliteThread):
    """The database's own clock is the virtual one too."""

    def __init__(
        self,
        url: URL,
        *,
        timeout_seconds: float,
        may_write: bool,
        clock: VirtualClock,
        is_foreign: bool = False,
    ) -> None:
        super().__init__(url, timeout_seconds=timeout_seconds, may_write=may_write, is_foreign=is_foreign)

        @event.listens_for(self._engine, "connect")
        def take_over_time(connection: sqlite3.Connection, _: object) -> None:
            connection.create_function("julianday", 1, lambda _: clock.julian_day())
            if may_write:
                connection.execute("PRAGMA synchronous = OFF")

    async def transaction(self, work: Work[T], attempt: Attempt, *, timeout_seconds: float) -> T:
        [fate] = self._fates(((work, attempt),))
        if fate.failure is not None:
            raise fate.failure
        return cast(T, fate.value)

    async def close(self) -> None:
        self._drop_connection()
        self._engine.dispose()
