"""
Whether the company's own tables are what `CARELINE_CUSTOMERS_SQL` says; where not, which of its fields is wrong and what to do.

Reads nothing of a customer: each question has an empty answer.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from core.errors import DependencyUnavailable, InternalFailure, ToolMisconfigured
from core.lookup_settings import CustomerFields, CustomersSql, OrderFields, OrdersTable
from state.sql.advice import DatabaseNotOpened, next_step
from state.sql.connection import Connection
from state.sql.engine import Database, async_url
from state.sql.foreign_customers import ForeignSqlCustomerDirectory
from state.sql.migrate import may_come_back

MAPPING = "CARELINE_CUSTOMERS_SQL"

_Question = tuple[str, sa.Select[Any]]
"""A field of the mapping, and what is asked of the database to see whether it is there."""


class MappingDoesNotFit(ToolMisconfigured):
    """`next_step` is a sentence for the operator."""

    def __init__(self, field: str, said: str, *, setting: str) -> None:
        super().__init__(f"{MAPPING}: {field}: {said}", reason="mapping")
        self.next_step = (
            f"Correct {field} in {MAPPING} (or [customers_sql] of careline.toml), or make the table, column or right that is "
            f"missing in the database that {setting} names."
        )


async def check_mapping(database: Database, mapping: CustomersSql, *, url: str, setting: str) -> None:
    """
    `setting` is the variable that holds `url`, where `database` is.

    Raises:
        MappingDoesNotFit: naming the first field that is wrong.
        DatabaseNotOpened: it refuses us, and waiting does not mend that.
        DependencyUnavailable, DependencyTimeout: it cannot be asked now.
    """
    try:
        await ForeignSqlCustomerDirectory(database, mapping).check()
    except ToolMisconfigured as wrong:
        for field, question in _questions(mapping):
            if (said := await _refusal(database, question)) is not None:
                raise MappingDoesNotFit(field, said, setting=setting) from wrong
        said = f"{mapping.id_type} is not what the database compares the customer's id with ({_first_line(wrong)})"
        raise MappingDoesNotFit("id_type", said, setting=setting) from wrong
    except DependencyUnavailable as away:
        said = _first_line(away)
        if may_come_back(url, said):
            raise
        raise DatabaseNotOpened(
            f"the customers' database cannot be opened: {said}",
            reason="refused",
            next_step=next_step(async_url(url), said, setting=setting),
            dependency="customers",
        ) from away


async def _refusal(database: Database, question: sa.Select[Any]) -> str | None:
    async def ask(connection: Connection) -> None:
        await connection.execute(question)

    try:
        await database.read(ask)
    except InternalFailure as wrong:
        return _first_line(wrong)
    return None


def _questions(mapping: CustomersSql) -> Iterator[_Question]:
    """Tables before their columns: where a table is missing, every column is."""
    columns = dict(_fields("customer", mapping.customer))
    if mapping.tenant_column is not None:
        columns["tenant_column"] = mapping.tenant_column
    yield from _of_table("", mapping.table, columns)
    if mapping.orders is not None:
        yield from _of_table("orders.", mapping.orders.table, _order_columns(mapping.orders))


def _order_columns(orders: OrdersTable) -> dict[str, str]:
    columns = {"orders.customer_id": orders.customer_id, **dict(_fields("orders.fields", orders.fields))}
    if orders.tenant_column is not None:
        columns["orders.tenant_column"] = orders.tenant_column
    return columns


def _of_table(prefix: str, table: str, columns: dict[str, str]) -> Iterator[_Question]:
    schema, _, name = table.rpartition(".")
    source = sa.table(name, *(sa.column(each) for each in set(columns.values())), schema=schema or None)
    yield f"{prefix}table", sa.select(sa.literal(1)).select_from(source).where(sa.false())
    for field, column in columns.items():
        yield field, sa.select(source.c[column]).where(sa.false())


def _fields(prefix: str, fields: CustomerFields | OrderFields) -> Iterator[tuple[str, str]]:
    """(name in the mapping, column) of every field that names a column."""
    paths = set(fields.paths)
    for name in type(fields).model_fields:
        value = getattr(fields, name)
        match value:
            case str() if value in paths:
                yield f"{prefix}.{name}", value
            case tuple():
                yield from ((f"{prefix}.{name}.{place}", each) for place, each in enumerate(value))
            case dict() if name == "attributes":
                yield from ((f"{prefix}.{name}.{key}", each) for key, each in value.items())


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [""])[0]
