"""
The company's customers and their orders in SQL: the directory for who has no other.
"""

from functools import partial

import sqlalchemy as sa

from core.errors import NotFound
from core.records import Customer, Order
from state.sql.connection import Connection, Query, Record
from state.sql.engine import Database
from state.sql.tables import customers, orders
from state.sql.types import insert_or_update

_ORDERS_SHOWN = 20

_CUSTOMER = Query(
    sa.select(customers).where(
        customers.c.tenant == sa.bindparam("tenant_"), customers.c.customer_id == sa.bindparam("customer_id_")
    )
)
_ORDERS = Query(
    sa.select(orders)
    .where(orders.c.tenant == sa.bindparam("tenant_"), orders.c.customer_id == sa.bindparam("customer_id_"))
    .order_by(orders.c.placed_at.desc(), orders.c.order_id)
    .limit(_ORDERS_SHOWN)
)
_PUT_CUSTOMER = insert_or_update(
    customers,
    customers.c.tenant,
    customers.c.customer_id,
    over=("name", "email", "phone", "locale", "timezone", "attributes"),
)
_PUT_ORDER = insert_or_update(
    orders,
    orders.c.tenant,
    orders.c.order_id,
    over=(
        "customer_id",
        "placed_at",
        "status",
        "items",
        "total_cents",
        "currency",
        "tracking",
        "expected_at",
    ),
)


class SqlCustomerDirectory:
    """Implements `tools.ports.CustomerDirectory`."""

    def __init__(self, database: Database) -> None:
        self._database = database.named("customers")

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        async def read(connection: Connection) -> Customer:
            whose = {"tenant_": tenant, "customer_id_": customer_id}
            found = await connection.fetch(_CUSTOMER, whose)
            if not found:
                raise NotFound(f"no customer {customer_id}")
            row = found[0]
            return Customer(
                customer_id=row.customer_id,
                name=row.name,
                email=row.email,
                phone=row.phone,
                locale=row.locale,
                timezone=row.timezone,
                attributes=row.attributes,
                orders=tuple(_order(order) for order in await connection.fetch(_ORDERS, whose)),
            )

        return await self._database.read(read)

    async def put_customer(self, tenant: str, customer: Customer) -> None:
        """Write a customer over what was known; orders that are not among theirs any more stay."""
        await self._database.write(partial(_put_customer, tenant=tenant, customer=customer))


async def _put_customer(connection: Connection, *, tenant: str, customer: Customer) -> None:
    await connection.write(
        _PUT_CUSTOMER,
        {
            "tenant": tenant,
            "customer_id": customer.customer_id,
            "name": customer.name,
            "email": customer.email,
            "phone": customer.phone,
            "locale": customer.locale,
            "timezone": customer.timezone,
            "attributes": customer.attributes,
        },
    )
    for order in customer.orders:
        await connection.write(
            _PUT_ORDER,
            {
                "tenant": tenant,
                "order_id": order.order_id,
                "customer_id": customer.customer_id,
                "placed_at": order.placed_at,
                "status": order.status,
                "items": list(order.items),
                "total_cents": order.total_cents,
                "currency": order.currency,
                "tracking": order.tracking,
                "expected_at": order.expected_at,
            },
        )


def _order(row: Record) -> Order:
    return Order(
        order_id=row.order_id,
        placed_at=row.placed_at,
        status=row.status,
        items=tuple(row.items),
        total_cents=row.total_cents,
        currency=row.currency,
        tracking=row.tracking,
        expected_at=row.expected_at,
    )
