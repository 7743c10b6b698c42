"""
The company's customers and their orders in SQL: the directory for who has no other.
"""

from functools import partial

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import NotFound
from core.records import Customer, Order
from state.sql.engine import Database
from state.sql.tables import customers, orders
from state.sql.types import insert

_ORDERS_SHOWN = 20


class SqlCustomerDirectory:
    """Implements `tools.ports.CustomerDirectory`."""

    def __init__(self, database: Database) -> None:
        self._database = database.named("customers")

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        async def read(connection: AsyncConnection) -> Customer:
            row = (
                await connection.execute(
                    sa.select(customers).where(
                        customers.c.tenant == tenant, customers.c.customer_id == customer_id
                    )
                )
            ).one_or_none()
            if row is None:
                raise NotFound(f"no customer {customer_id}")
            found = await connection.execute(
                sa.select(orders)
                .where(orders.c.tenant == tenant, orders.c.customer_id == customer_id)
                .order_by(orders.c.placed_at.desc(), orders.c.order_id)
                .limit(_ORDERS_SHOWN)
            )
            return Customer(
                customer_id=row.customer_id,
                name=row.name,
                email=row.email,
                phone=row.phone,
                locale=row.locale,
                timezone=row.timezone,
                attributes=row.attributes,
                orders=tuple(_order(order) for order in found),
            )

        return await self._database.read(read)

    async def put_customer(self, tenant: str, customer: Customer) -> None:
        """Write a customer over what was known; orders that are not among theirs any more stay."""
        await self._database.write(partial(_put_customer, tenant=tenant, customer=customer))


async def _put_customer(connection: AsyncConnection, *, tenant: str, customer: Customer) -> None:
    known = {
        "name": customer.name,
        "email": customer.email,
        "phone": customer.phone,
        "locale": customer.locale,
        "timezone": customer.timezone,
        "attributes": customer.attributes,
    }
    await connection.execute(
        insert(connection, customers)
        .values(tenant=tenant, customer_id=customer.customer_id, **known)
        .on_conflict_do_update(index_elements=[customers.c.tenant, customers.c.customer_id], set_=known)
    )
    for order in customer.orders:
        placed = {
            "customer_id": customer.customer_id,
            "placed_at": order.placed_at,
            "status": order.status,
            "items": list(order.items),
            "total_cents": order.total_cents,
            "currency": order.currency,
            "tracking": order.tracking,
            "expected_at": order.expected_at,
        }
        await connection.execute(
            insert(connection, orders)
            .values(tenant=tenant, order_id=order.order_id, **placed)
            .on_conflict_do_update(index_elements=[orders.c.tenant, orders.c.order_id], set_=placed)
        )


def _order(row: sa.Row[tuple[object, ...]]) -> Order:
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
