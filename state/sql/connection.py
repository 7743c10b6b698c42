"""
A transaction's connection, as the stores use it: for any statement of SQLAlchemy's, and a short way for those of every turn.

SQLAlchemy writes a `Query` once for each database; the driver then carries it out by itself. Through SQLAlchemy an execution
costs ten times what SQLite needs for it, and a turn has some fifteen.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult, Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
_Statement: TypeAlias = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete


class Record(tuple[Any, ...]):
    """A row whose columns are attributes, as they are of SQLAlchemy's."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, column: str) -> Any: ...


class Connection(Protocol):
    """A database that saves no trips need only know `fetch` and `change`."""

    @property
    def dialect(self) -> Dialect: ...

    async def fetch(self, query: "Query", values: Values) -> Sequence[Record]:
        """All rows of a SELECT."""
        ...

    async def fetch_all(self, *asks: "Ask") -> Sequence[Sequence[Record]]:
        """Of several SELECTs, which are carried out in this order: one trip to the database for all of them, where it can."""
        return [await self.fetch(query, values) for query, values in asks]

    async def write(self, query: "Query", values: Values) -> None:
        """An INSERT, UPDATE or DELETE. It may be carried out, and fail, as late as with the COMMIT."""
        await self.change(query, values)

    async def change(self, query: "Query", values: Values) -> int:
        """How many rows an INSERT, UPDATE or DELETE wrote."""
        ...

    async def execute(
        self, statement: sa.Executable, parameters: Any = None
    ) -> CursorResult[*tuple[Any, ...]]: ...

    async def exec_driver_sql(self, statement: str) -> CursorResult[*tuple[Any, ...]]: ...


Ask: TypeAlias = "tuple[Query, Values]"


class Prepared(NamedTuple):
    """One database's words. `parameters` brings values into the driver's order and types, `record` makes rows of its."""

    text: str
    parameters: Callable[[Values], Any]
    record: Callable[[Sequence[Any]], Record]


class Query:
    """
    A statement that is made once, with `sa.bindparam` for what changes. An INSERT, and an UPDATE without values of its own, takes
    the columns that it is given; parameters of conditions end in an underscore, so that they are not taken for columns. Where
    databases spell it differently, it is made for a dialect.
    """

    def __init__(self, statement: "_Statement | Callable[[Dialect], _Statement]") -> None:
        self._statement = statement
        self._prepared: dict[tuple[str, ...], Prepared] = {}

    def prepared(self, dialect: Dialect, values: Values) -> Prepared:
        known = (dialect.name, *values)
        found = self._prepared.get(known)
        if found is None:
            found = self._prepared[known] = self._prepare(dialect, values)
        return found

    def _prepare(self, dialect: Dialect, values: Values) -> Prepared:
        written = self._statement
        statement = written if isinstance(written, sa.UpdateBase | sa.Select) else written(dialect)
        compiled = statement.compile(dialect=dialect, column_keys=list(values))
        columns = statement.selected_columns if isinstance(statement, sa.Select) else ()
        return Prepared(
            str(compiled),
            _parameters(compiled, dialect),
            _record([(c.key or "", c.type) for c in columns], dialect),
        )


def _parameters(compiled: SQLCompiler, dialect: Dialect) -> Callable[[Values], Any]:
    """Values that the statement itself brings, such as a limit, come along."""
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    convert = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect)
        for bind, name in compiled.bind_names.items()
    }

    def value(name: str, values: Values) -> Any:
        given = values[name] if name in values else constants[name]
        converted = convert[name]
        return given if converted is None else converted(given)

    order = compiled.positiontup
    if order is None:
        names = tuple(convert)
        return lambda values: {name: value(name, values) for name in names}
    return lambda values: tuple([value(name, values) for name in order])


def _record(
    columns: Sequence[tuple[str, TypeEngine[Any]]], dialect: Dialect
) -> Callable[[Sequence[Any]], Record]:
    places = {name: property(itemgetter(place)) for place, (name, _) in enumerate(columns)}
    kind = cast(type[Record], type("Record", (Record,), {"__slots__": (), **places}))
    processors = [kind_.dialect_impl(dialect).result_processor(dialect, None) for _, kind_ in columns]
    conversions = tuple((place, each) for place, each in enumerate(processors) if each is not None)

    def record(row: Sequence[Any]) -> Record:
        converted = list(row)
        for place, convert in conversions:
            converted[place] = convert(converted[place])
        return kind(converted)

    return record if conversions else kind
