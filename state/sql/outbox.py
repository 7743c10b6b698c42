"""
Effects that were promised and are still to be carried out: due, leased to one worker at a time, then done or dead.

Rows are written by `state.sql.commit`, in the transaction of the turn that promised them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from core.records import OutboxItem, OutboxKind
from state.codec import decode
from state.sql.commit import put_outbox
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.sending_order import let_next_go
from state.sql.tables import outbox
from state.sql.types import database_in, database_now, instant
from state.store import OutboxBacklog

OutboxStatus = Literal["due", "done", "dead", "dropped"]
"""`dead`: given up, and a person must look. `dropped`: a person has."""

_FORGOTTEN_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """
    An item as an operator sees it. `settled_at` is when it was done or given up (None in rows that are older than this column);
    `decision` is what an operator said of it.
    """

    item: OutboxItem
    status: OutboxStatus
    due_at: datetime
    created_at: datetime
    settled_at: datetime | None
    reference: str | None
    error: str | None
    decision: str | None
    is_leased: bool
    """Somebody works on it now."""


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
        return await self._claim(sa.select(outbox).limit(limit), owner=owner, lease_seconds=lease_seconds)

    async def claim_one(
        self, tenant: str, key: str, *, owner: str, lease_seconds: float
    ) -> Sequence[OutboxItem]:
        one = sa.select(outbox).where(outbox.c.tenant == tenant, outbox.c.key == key)
        return await self._claim(one, owner=owner, lease_seconds=lease_seconds)

    async def _claim(
        self, wanted: "sa.Select[Any]", *, owner: str, lease_seconds: float
    ) -> Sequence[OutboxItem]:
        until = database_in(lease_seconds)

        async def write(connection: Connection) -> Sequence[OutboxItem]:
            found = (
                await connection.execute(
                    wanted.where(
                        outbox.c.status == "due",
                        outbox.c.due_at <= database_now(),
                        sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < database_now()),
                    )
                    .order_by(outbox.c.due_at)
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

    async def renew_claim(self, item: OutboxItem, *, owner: str, lease_seconds: float) -> bool:
        async def write(connection: Connection) -> bool:
            changed = await connection.execute(
                sa.update(outbox)
                .where(*_is(item.tenant, item.key), outbox.c.status == "due", outbox.c.lease_owner == owner)
                .values(lease_until=database_in(lease_seconds))
            )
            return bool(changed.rowcount)

        return await self._database.write(write)

    async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
        """What has happened counts, also where an operator has dropped it meanwhile, or the lease has passed to another."""
        return await self._change(
            item, status="done", reference=reference, error=None, settled_at=database_now()
        )

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
        await self._change(item, only="due", due_at=database_in(wait_seconds), error=error)

    async def defer(self, item: OutboxItem, *, wait_seconds: float, why: str) -> None:
        attempts = max(item.attempts - 1, 0)
        await self._change(item, only="due", due_at=database_in(wait_seconds), error=why, attempts=attempts)

    async def dead(self, item: OutboxItem, *, error: str) -> bool:
        return await self._change(item, only="due", status="dead", error=error, settled_at=database_now())

    async def give_back(self, items: Sequence[OutboxItem], *, owner: str) -> None:
        async def write(connection: Connection) -> None:
            for item in items:
                await connection.execute(
                    sa.update(outbox)
                    .where(*_is(item.tenant, item.key), outbox.c.lease_owner == owner)
                    .values(lease_owner=None, lease_until=None)
                )

        await self._database.write(write)

    async def entries(
        self,
        *,
        tenant: str | None = None,
        status: OutboxStatus | None = None,
        kind: OutboxKind | None = None,
        limit: int | None = 100,
    ) -> Sequence[OutboxEntry]:
        """Newest first; None: all of them."""
        wanted = {outbox.c.tenant: tenant, outbox.c.status: status, outbox.c.kind: kind}
        leased = sa.and_(outbox.c.status == "due", outbox.c.lease_until > database_now()).label("leased")
        query = sa.select(outbox, leased).order_by(outbox.c.created_at.desc(), outbox.c.key).limit(limit)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(column == value)

        async def read(connection: Connection) -> Sequence[OutboxEntry]:
            return tuple(_entry(row) for row in await connection.execute(query))

        return await self._database.scan(read)

    async def forget(self, *, kept_seconds: float) -> int:
        """
        Delete what was done or dropped longer ago, up to a thousand rows; returns how many. What waits and what a person must
        look at stays, however old.
        """
        old = (
            sa.select(outbox.c.tenant, outbox.c.key)
            .where(
                outbox.c.status.in_(("done", "dropped")),
                sa.func.coalesce(outbox.c.settled_at, outbox.c.created_at) < database_in(-kept_seconds),
            )
            .limit(_FORGOTTEN_AT_ONCE)
        )

        async def write(connection: Connection) -> int:
            deleted = await connection.execute(
                sa.delete(outbox).where(sa.tuple_(outbox.c.tenant, outbox.c.key).in_(old))
            )
            return deleted.rowcount

        return await self._database.write(write)

    async def backlog(self) -> OutboxBacklog:
        async def read(connection: Connection) -> OutboxBacklog:
            rows = await connection.execute(
                sa.select(outbox.c.status, sa.func.count())
                .where(outbox.c.status.in_(("due", "dead")))
                .group_by(outbox.c.status)
            )
            counts: dict[str, int] = {row[0]: row[1] for row in rows}
            return OutboxBacklog(waiting=counts.get("due", 0), dead=counts.get("dead", 0))

        return await self._database.read(read)

    async def unattended_seconds(self) -> float:
        """How long the oldest due item has been waiting for somebody; 0 while anybody works on anything."""
        now = database_now()
        is_due = outbox.c.status == "due"
        at_work = sa.exists().where(is_due, outbox.c.lease_until >= now)
        query = sa.select(now - sa.func.min(outbox.c.due_at)).where(is_due, outbox.c.due_at <= now, ~at_work)

        async def read(connection: Connection) -> float:
            waited: int | None = (await connection.execute(query)).scalar_one()
            return max(0.0, (waited or 0) / 1_000_000)

        return await self._database.read(read)

    async def _change(self, item: OutboxItem, *, only: OutboxStatus | None = None, **values: Any) -> bool:
        """
        What is done stays done: a worker that lost its lease may report late. Returns whether another item has become due by it.
        """

        async def write(connection: Connection) -> bool:
            await connection.execute(
                sa.update(outbox)
                .where(
                    *_is(item.tenant, item.key),
                    outbox.c.status == only if only is not None else outbox.c.status != "done",
                )
                .values(lease_owner=None, lease_until=None, **values)
            )
            return "status" in values and await let_next_go(connection, item.tenant, item.recipient)

        return await self._database.write(write)


def _is(tenant: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    return outbox.c.tenant == tenant, outbox.c.key == key


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
        recipient=row.recipient,
    )


def _entry(row: sa.Row[Any]) -> OutboxEntry:
    return OutboxEntry(
        item=_item(row, attempts=row.attempts),
        status=row.status,
        due_at=instant(row.due_at),
        created_at=instant(row.created_at),
        settled_at=None if row.settled_at is None else instant(row.settled_at),
        reference=row.reference,
        error=row.error,
        decision=row.decision,
        is_leased=bool(row.leased),
    )
