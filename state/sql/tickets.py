"""
A ticket desk in SQL, for who has no other: one ticket per key, numbered T-1001 and up.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.errors import DataIntegrityFailed, NotFound
from core.records import NewTicket, Recognition, Ticket, TicketStatus
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import tickets
from state.sql.types import insert

_NUMBERS_START_AT = 1000


class SqlTicketDesk:
    """Implements `tools.ports.TicketDesk` and `TakesAdditions`."""

    recognition = Recognition.KEY
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database.named("tickets")
        self._clock = clock

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        now = self._clock.now()

        async def write(connection: Connection) -> Ticket:
            # Asked before it is inserted: a sequence counts attempts too, and repeats must not leave gaps in the numbers.
            stored = await _by_key(connection, tenant, ticket.key)
            if stored is None:
                await connection.execute(
                    insert(connection.dialect, tickets)
                    .values(
                        tenant=tenant,
                        key=ticket.key,
                        receipt=ticket.receipt,
                        customer_id=ticket.customer_id,
                        conversation_id=ticket.conversation_id,
                        subject=ticket.subject,
                        description=ticket.description,
                        contact=ticket.contact,
                        status=TicketStatus.OPEN,
                        created_at=now,
                        updated_at=now,
                    )
                    .on_conflict_do_nothing(index_elements=[tickets.c.tenant, tickets.c.key])
                )
                stored = await _by_key(connection, tenant, ticket.key)
            if stored is None:
                raise DataIntegrityFailed(f"ticket {ticket.key} was written and is not there")
            return stored

        return await self._database.write(write)

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        async def read(connection: Connection) -> Ticket | None:
            return await _by_key(connection, tenant, key)

        return await self._database.read(read)

    async def add_to_ticket(self, tenant: str, reference: str, addition: NewTicket) -> Ticket:
        """Put below what the ticket says, under the addition's receipt, by which a repeat is recognised."""
        place = sa.and_(
            tickets.c.tenant == tenant,
            tickets.c.number == _number(reference),
            tickets.c.customer_id == addition.customer_id,
        )
        heading = f"[{addition.receipt}]"

        async def write(connection: Connection) -> Ticket:
            row = (await connection.execute(sa.select(tickets).where(place).with_for_update())).one_or_none()
            if row is None:
                raise NotFound("this customer has no such ticket")
            if heading not in row.description:
                said = f"{row.description}\n\n{heading} {addition.subject}\n{addition.description}"
                await connection.execute(
                    sa.update(tickets)
                    .where(place)
                    .values(description=said, status=TicketStatus.OPEN, updated_at=self._clock.now())
                )
                row = (await connection.execute(sa.select(tickets).where(place))).one()
            return _ticket(row)

        return await self._database.write(write)

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        async def read(connection: Connection) -> Sequence[Ticket]:
            found = await connection.execute(
                sa.select(tickets)
                .where(tickets.c.tenant == tenant, tickets.c.customer_id == customer_id)
                .order_by(tickets.c.number.desc())
                .limit(limit)
            )
            return tuple(_ticket(row) for row in found)

        return await self._database.read(read)


async def _by_key(connection: Connection, tenant: str, key: str) -> Ticket | None:
    query = sa.select(tickets).where(tickets.c.tenant == tenant, tickets.c.key == key)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _ticket(row)


def _number(reference: str) -> int:
    """-1, which no ticket has, for what is no number of this desk."""
    digits = reference.removeprefix("T-")
    return (
        int(digits) - _NUMBERS_START_AT
        if digits.isascii() and digits.isdecimal() and len(digits) < 16
        else -1
    )


def _ticket(row: sa.Row[Any]) -> Ticket:
    return Ticket(
        reference=f"T-{_NUMBERS_START_AT + row.number}",
        receipt=row.receipt,
        customer_id=row.customer_id,
        subject=row.subject,
        description=row.description,
        status=TicketStatus(row.status),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
