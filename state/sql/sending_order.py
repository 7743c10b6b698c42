"""
The line before an address: of the notifications that were promised to it, the one that was promised first goes first.

Used inside a transaction that somebody else holds.
"""

import sqlalchemy as sa

from state.sql.connection import Connection
from state.sql.tables import outbox
from state.sql.types import database_now

BEHIND_ANOTHER = "order"
A_REPEAT = "repeat"
_WAITS_FOR_ANOTHER = (BEHIND_ANOTHER, A_REPEAT)
"""Of all that an item may wait for (`Admission.why`), what ends as another is settled."""


async def due_ahead_of(connection: Connection, tenant: str, key: str, *, recipient: str) -> int | None:
    """When the first of those is due that were promised to the same address before this one; None where there is none."""
    own = (
        await connection.execute(
            sa.select(outbox.c.created_at).where(outbox.c.tenant == tenant, outbox.c.key == key)
        )
    ).scalar()
    waiting = sa.select(sa.func.min(outbox.c.due_at)).where(
        *_promised_to(tenant, recipient), outbox.c.key != key
    )
    if own is not None:
        waiting = waiting.where(
            sa.or_(outbox.c.created_at < own, sa.and_(outbox.c.created_at == own, outbox.c.key < key))
        )
    ahead: int | None = (await connection.execute(waiting)).scalar()
    return ahead


async def let_next_go(connection: Connection, tenant: str, recipient: str | None) -> bool:
    """
    After one was settled: the next in its line is due now, where it waited only for another. One at a time, so that a long line
    is not asked again and again. Returns whether there was one.
    """
    if recipient is None:
        return False
    first = (
        sa.select(outbox.c.key)
        .where(*_promised_to(tenant, recipient))
        .order_by(outbox.c.created_at, outbox.c.key)
        .limit(1)
    )
    let_go = await connection.execute(
        sa.update(outbox)
        .where(
            outbox.c.tenant == tenant,
            outbox.c.key == first.scalar_subquery(),
            outbox.c.status == "due",
            outbox.c.error.in_(_WAITS_FOR_ANOTHER),
            outbox.c.due_at > database_now(),
        )
        .values(due_at=database_now())
    )
    return bool(let_go.rowcount)


def _promised_to(tenant: str, recipient: str) -> tuple[sa.ColumnElement[bool], ...]:
    return outbox.c.tenant == tenant, outbox.c.recipient == recipient, outbox.c.status == "due"
