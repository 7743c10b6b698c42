"""
What the databases disagree about: instants, their own clock, and inserting only what is not there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

from state.sql.connection import Query

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """Microseconds since 1970, UTC: the same number in every database, and nothing lost in between."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else instant(value)


class database_now(FunctionElement[int]):  # noqa: N801 - reads as the SQL function that it is
    """The database's own clock in microseconds: replicas' clocks disagree, leases must not."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(database_now, "postgresql")
def _postgres_now(element: object, compiler: object, **_: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


@compiles(database_now, "sqlite")
def _sqlite_now(element: object, compiler: object, **_: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


def database_in(seconds: float) -> sa.ColumnElement[int]:
    """So long from now, or ago, by the database's own clock."""
    return database_now() + int(seconds * 1_000_000)


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def instant(number: int) -> datetime:
    return _EPOCH + number * _MICROSECOND


def insert(dialect: Dialect, table: sa.Table) -> Any:
    """An INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`, which both dialects spell alike but do not share."""
    return (postgresql if dialect.name == "postgresql" else sqlite).insert(table)


def insert_or_ignore(table: sa.Table) -> Query:
    """An INSERT that leaves a row of the same key as it is."""
    return Query(lambda dialect: insert(dialect, table).on_conflict_do_nothing())


def insert_or_update(table: sa.Table, *keys: sa.Column[Any], over: Sequence[str]) -> Query:
    """An INSERT that writes the columns `over` of a row with the same keys anew."""

    def written(dialect: Dialect) -> Any:
        new = insert(dialect, table)
        return new.on_conflict_do_update(
            index_elements=keys, set_={name: new.excluded[name] for name in over}
        )

    return Query(written)
