"""
The company's own tables as the customer directory: declared columns are read, nothing is ever written.
"""

from typing import Any, TypeVar, cast
from uuid import UUID

import sqlalchemy as sa

from core.errors import DataIntegrityFailed, InternalFailure, NotFound, ToolMisconfigured
from core.foreign_records import ORDERS_SHOWN, customer_of, order_of
from core.lookup_settings import CustomersSql, OrdersTable
from core.records import Customer
from state.sql.connection import Connection, Query
from state.sql.engine import Database
from state.sql.lane import Work

T = TypeVar("T")

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.String(),
    "integer": sa.BigInteger(),
    "uuid": sa.Uuid(as_uuid=True),
}
_MOST_DIGITS = 18  # a BIGINT holds every one of these


class ForeignSqlCustomerDirectory:
    """Implements `tools.ports.CustomerDirectory`. Columns that are not mapped do not leave the database."""

    def __init__(self, database: Database, mapping: CustomersSql) -> None:
        self._database = database.named("customers")
        self._mapping = mapping
        id_type = _TYPES[mapping.id_type]
        self._customer = _select(
            mapping.table,
            mapping.customer.paths,
            id_column=mapping.customer.customer_id,
            id_type=id_type,
            tenant_column=mapping.tenant_column,
        )
        self._orders = _select_orders(mapping.orders, id_type) if mapping.orders is not None else None

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        """
        Raises, besides what the port says:
            DataIntegrityFailed: a column holds what the mapping does not fit.
            ToolMisconfigured: a table or column is not there.
        """
        mapping = self._mapping
        key = _key(mapping.id_type, customer_id)
        if key is None or (mapping.tenant_column is None and tenant != mapping.tenant):
            raise NotFound(f"no customer {customer_id}")
        whose = {"customer_id_": key} | ({} if mapping.tenant_column is None else {"tenant_": tenant})

        async def read(connection: Connection) -> Customer:
            found = await connection.fetch(self._customer, whose)
            if not found:
                raise NotFound(f"no customer {customer_id}")
            if len(found) > 1:
                raise DataIntegrityFailed(f"customers: {mapping.table} has several rows for one customer")
            own = dict(zip(mapping.customer.paths, found[0], strict=True))
            orders = []
            if self._orders is not None and mapping.orders is not None:
                for row in await connection.fetch(self._orders, whose):
                    values = dict(zip(mapping.orders.fields.paths, row, strict=True))
                    orders.append(order_of("customers", mapping.orders.fields, values.get))
            return customer_of("customers", mapping.customer, own.get, orders=orders)

        return await self._read(read)

    async def check(self) -> None:
        """
        Whether the tables and columns are there, at the cost of two empty answers.

        Raises:
            ToolMisconfigured: with the database's own words for what is missing, or not permitted.
            DependencyUnavailable, DependencyTimeout: it cannot be asked.
        """

        async def look(connection: Connection) -> None:
            for query in (self._customer, self._orders):
                if query is not None:
                    await connection.fetch(query, self._nobody())

        await self._read(look)

    async def _read(self, work: Work[T]) -> T:
        try:
            return await self._database.read(work)
        except InternalFailure as wrong:
            # What a database says of a statement that it cannot carry out; the statement itself, with its values, comes after it.
            said = (str(wrong).splitlines() or [""])[0]
            raise ToolMisconfigured(f"customers: the mapping does not fit its database: {said}") from wrong

    def _nobody(self) -> dict[str, Any]:
        nobody = {"text": "", "integer": -1, "uuid": UUID(int=0)}[self._mapping.id_type]
        return {"customer_id_": nobody} | ({} if self._mapping.tenant_column is None else {"tenant_": ""})


def _select_orders(orders: OrdersTable, id_type: sa.types.TypeEngine[Any]) -> Query:
    return _select(
        orders.table,
        orders.fields.paths,
        id_column=orders.customer_id,
        id_type=id_type,
        tenant_column=orders.tenant_column,
        newest_by=(orders.fields.placed_at, orders.fields.order_id),
    )


def _select(
    table: str,
    columns: tuple[str, ...],
    *,
    id_column: str,
    id_type: sa.types.TypeEngine[Any],
    tenant_column: str | None,
    newest_by: tuple[str, str] | None = None,
) -> Query:
    schema, _, name = table.rpartition(".")
    # Each column is named with its table: SQLite takes a lone quoted name that is no column for a text.
    named = (*columns, id_column, *([tenant_column] if tenant_column is not None else []), *(newest_by or ()))
    source = sa.table(name, *(sa.column(each) for each in dict.fromkeys(named)), schema=schema or None)
    statement = cast("sa.Select[Any]", sa.select(*(source.c[each] for each in columns)))
    statement = statement.where(source.c[id_column] == sa.bindparam("customer_id_", type_=id_type))
    if tenant_column is not None:
        statement = statement.where(source.c[tenant_column] == sa.bindparam("tenant_", type_=sa.String()))
    if newest_by is None:
        return Query(statement.limit(2))
    placed_at, order_id = newest_by
    return Query(
        statement.order_by(source.c[placed_at].desc().nulls_last(), source.c[order_id]).limit(ORDERS_SHOWN)
    )


def _key(id_type: str, customer_id: str) -> str | int | UUID | None:
    """None where these tables cannot hold such an id."""
    match id_type:
        case "integer":
            is_number = customer_id.isascii() and customer_id.isdigit() and len(customer_id) <= _MOST_DIGITS
            return int(customer_id) if is_number and str(int(customer_id)) == customer_id else None
        case "uuid":
            try:
                found = UUID(customer_id)
            except ValueError:
                return None
            return found if str(found) == customer_id else None
        case _:
            return customer_id
