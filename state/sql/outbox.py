"""
Effects that were promised and are still to be carried out: due, leased to one worker at a time, then done or dead.

Rows are written by `state.sql.commit`, in the transaction of the turn that promised them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from core.errors import NotFound
from core.records import OutboxItem, OutboxKind
from state.codec import decode
from state.sql.commit import put_outbox
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import outbox
from state.sql.types import database_now, instant
from state.store import OutboxBacklog

OutboxStatus = Literal["due", "done", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """An item as an operator sees it."""

    item: OutboxItem
    status: OutboxStatus
    due_at: datetime
    reference: str | None
    error: str | None


class SqlOutbox:
    """Implements `state.store.Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, item: OutboxItem) -> None:
        """For an effect that no turn promises; once per (tenant, key)."""

        async def write(connection: Connection) -> None:
            await put_outbox(connection, item)

        await self._database.write(write)

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> Sequence[OutboxItem]:
        until = database_now() + int(lease_seconds * 1_000_000)

        async def write(connection: Connection) -> Sequence[OutboxItem]:
            found = (
                await connection.execute(
                    sa.select(outbox)
                    .where(
                        outbox.c.status == "due",
                        outbox.c.due_at <= database_now(),
                        sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < database_now()),
                    )
                    .order_by(outbox.c.due_at)
                    .limit(limit)
                    .with_for_update(skip_locked=True)
                )
            ).all()
            for row in found:
                await connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.tenant == row.tenant, outbox.c.key == row.key)
                    .values(lease_owner=owner, lease_until=until, attempts=outbox.c.attempts + 1)
                )
            return tuple(_item(row, attempts=row.attempts + 1) for row in found)

        return await self._database.write(write)

    async def done(self, item: OutboxItem, *, reference: str | None) -> None:
        await self._change(item.tenant, item.key, status="done", reference=reference, error=None)

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
        due_at = database_now() + int(wait_seconds * 1_000_000)
        await self._change(item.tenant, item.key, due_at=due_at, error=error)

    async def dead(self, item: OutboxItem, *, error: str) -> None:
        await self._change(item.tenant, item.key, status="dead", error=error)

    async def give_back(self, items: Sequence[OutboxItem], *, owner: str) -> None:
        async def write(connection: Connection) -> None:
            for item in items:
                await connection.execute(
                    sa.update(outbox)
                    .where(
                        outbox.c.tenant == item.tenant,
                        outbox.c.key == item.key,
                        outbox.c.lease_owner == owner,
                    )
                    .values(lease_owner=None, lease_until=None)
                )

        await self._database.write(write)

    async def requeue(self, tenant: str, key: str) -> None:
        """
        An operator's second chance: due now, its attempts forgotten.

        Raises:
            NotFound: there is no such item, or it is done.
        """
        if not await self._change(tenant, key, status="due", due_at=database_now(), attempts=0):
            raise NotFound(f"nothing to be done under {key}")

    async def drop(self, tenant: str, key: str) -> None:
        """An operator's decision that it shall not happen. The row stays, dead. Raises NotFound like `requeue`."""
        if not await self._change(tenant, key, status="dead", error="dropped by an operator"):
            raise NotFound(f"nothing to be done under {key}")

    async def entries(
        self, *, tenant: str | None = None, status: OutboxStatus | None = None, limit: int = 100
    ) -> Sequence[OutboxEntry]:
        """Newest first."""

        async def read(connection: Connection) -> Sequence[OutboxEntry]:
            query = sa.select(outbox).order_by(outbox.c.created_at.desc()).limit(limit)
            if tenant is not None:
                query = query.where(outbox.c.tenant == tenant)
            if status is not None:
                query = query.where(outbox.c.status == status)
            return tuple(_entry(row) for row in await connection.execute(query))

        return await self._database.scan(read)

    async def backlog(self) -> OutboxBacklog:
        async def read(connection: Connection) -> OutboxBacklog:
            rows = await connection.execute(
                sa.select(outbox.c.status, sa.func.count())
                .where(outbox.c.status != "done")
                .group_by(outbox.c.status)
            )
            counts: dict[str, int] = {row[0]: row[1] for row in rows}
            return OutboxBacklog(waiting=counts.get("due", 0), dead=counts.get("dead", 0))

        return await self._database.read(read)

    async def _change(self, tenant: str, key: str, **values: Any) -> bool:
        """What is done stays done: a worker that lost its lease may report late."""

        async def write(connection: Connection) -> bool:
            changed = await connection.execute(
                sa.update(outbox)
                .where(outbox.c.tenant == tenant, outbox.c.key == key, outbox.c.status != "done")
                .values(lease_owner=None, lease_until=None, **values)
            )
            return bool(changed.rowcount)

        return await self._database.write(write)


def _item(row: sa.Row[Any], *, attempts: int) -> OutboxItem:
    """`attempts` counts the one that begins now."""
    return OutboxItem(
        key=row.key,
        kind=OutboxKind(row.kind),
        tenant=row.tenant,
        conversation_id=row.conversation_id,
        payload=decode(row.payload, dict),
        locale=row.locale,
        attempts=attempts,
    )


def _entry(row: sa.Row[Any]) -> OutboxEntry:
    return OutboxEntry(
        item=_item(row, attempts=row.attempts),
        status=row.status,
        due_at=instant(row.due_at),
        reference=row.reference,
        error=row.error,
    )
