"""
The control plane's resources in SQL: read side by side, changed one after the other.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa

from core.control_records import KINDS, Change, Remembered, Resource
from state.sql.connection import Connection
from state.sql.control_tables import TABLES, control_changes, control_requests, control_versions
from state.sql.engine import Database
from state.sql.types import insert

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

_FORGOTTEN_AT_ONCE = 1000


class SqlControlStore:
    """Implements `agent.control.ports.ControlStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, tenant: str, work: "Callable[[SqlControlRows], Awaitable[T]]") -> T:
        async def read(connection: Connection) -> T:
            return await work(SqlControlRows(connection, tenant, number=0))

        return await self._database.scan(read)

    async def change(self, tenant: str, work: "Callable[[SqlControlRows], Awaitable[T]]") -> T:
        async def write(connection: Connection) -> T:
            return await work(SqlControlRows(connection, tenant, number=await _next(connection, tenant)))

        return await self._database.write(write)

    async def versions(self) -> Mapping[str, int]:
        """Of each tenant that has ever changed something: greater after each change."""

        async def read(connection: Connection) -> Mapping[str, int]:
            return {row.tenant: row.version for row in await connection.execute(sa.select(control_versions))}

        return await self._database.scan(read)

    async def forget_requests(self, *, before: datetime) -> int:
        """Answers kept for repeats, up to a thousand; returns how many."""
        table = control_requests.c
        old = sa.select(table.tenant, table.key).where(table.at < before).limit(_FORGOTTEN_AT_ONCE)

        async def write(connection: Connection) -> int:
            deleted = await connection.execute(
                sa.delete(control_requests).where(sa.tuple_(table.tenant, table.key).in_(old))
            )
            return deleted.rowcount

        return await self._database.write(write)


class SqlControlRows:
    """Implements `agent.control.ports.ControlRows`, inside one transaction."""

    def __init__(self, connection: Connection, tenant: str, *, number: int) -> None:
        self._connection = connection
        self._tenant = tenant
        self._number = number
        self._changes = 0

    async def get(self, kind: type[R], id: UUID) -> R | None:
        table = TABLES[kind.kind]
        found = await self._connection.execute(
            sa.select(table).where(table.c.tenant == self._tenant, table.c.id == str(id))
        )
        row = found.mappings().one_or_none()
        return None if row is None else resource_of(kind, row)

    async def find(
        self,
        kind: type[R],
        fields: Mapping[str, Any],
        *,
        limit: int | None = None,
        offset: int = 0,
        before: UUID | None = None,
    ) -> Sequence[R]:
        table = TABLES[kind.kind]
        # The page is found in the index, which holds what orders it; only its own rows are read.
        page = (
            sa.select(table.c.id)
            .where(table.c.tenant == self._tenant)
            .where(*(table.c[name] == _column_value(value) for name, value in fields.items()))
            .order_by(table.c.number.desc(), table.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        if before is not None:
            place = await self._place_of(kind, before)
            if place is None:
                return []
            page = page.where(
                table.c.number <= place,
                sa.or_(table.c.number < place, table.c.id < str(before)),
            )
        query = (
            sa.select(table)
            .where(table.c.tenant == self._tenant, table.c.id.in_(page))
            .order_by(table.c.number.desc(), table.c.id.desc())
        )
        found = await self._connection.execute(query)
        return [resource_of(kind, row) for row in found.mappings()]

    async def was_made(self, kind: type[Resource], id: UUID) -> bool:
        return await self._place_of(kind, id) is not None

    async def _place_of(self, kind: type[Resource], id: UUID) -> int | None:
        """The change that made it; of one that is deleted, the audit knows."""
        changes = control_changes.c
        found = await self._connection.execute(
            sa.select(changes.number).where(
                changes.tenant == self._tenant,
                changes.resource_id == str(id),
                changes.kind == kind.kind,
                changes.action == "create",
            )
        )
        number = found.scalar_one_or_none()
        return None if number is None else int(number)

    async def insert(self, resource: Resource) -> None:
        await self._connection.execute(
            sa.insert(TABLES[resource.kind]),
            {"tenant": self._tenant, "number": self._number, **_columns(resource)},
        )

    async def replace(self, resource: Resource) -> None:
        table = TABLES[resource.kind]
        await self._connection.execute(
            sa.update(table)
            .where(table.c.tenant == self._tenant, table.c.id == str(resource.id))
            .values(**_columns(resource))
        )

    async def delete(self, resource: Resource) -> None:
        table = TABLES[resource.kind]
        await self._connection.execute(
            sa.delete(table).where(table.c.tenant == self._tenant, table.c.id == str(resource.id))
        )

    async def users_of(self, resource: Resource, *, limit: int) -> Sequence[Resource]:
        """What names it in one of its references."""
        users: list[Resource] = []
        for kind in KINDS.values():
            table = TABLES[kind.kind]
            for field, target in kind.references.items():
                if target != resource.kind:
                    continue
                column = table.c[field]
                names_it = (
                    sa.cast(column, sa.Text).like(f'%"{resource.id}"%')
                    if isinstance(column.type, sa.JSON)
                    else column == str(resource.id)
                )
                found = await self._connection.execute(
                    sa.select(table).where(table.c.tenant == self._tenant, names_it).limit(limit)
                )
                users += [resource_of(kind, row) for row in found.mappings()]
        return users[:limit]

    async def audit(
        self,
        action: str,
        resource: Resource,
        *,
        who: str,
        at: datetime,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        self._changes += 1
        await self._connection.execute(
            sa.insert(control_changes),
            {
                "tenant": self._tenant,
                "number": self._number,
                "place": self._changes,
                "at": at,
                "who": who,
                "action": action,
                "kind": resource.kind,
                "resource_id": str(resource.id),
                "before": before,
                "after": after,
            },
        )

    async def changes(
        self, *, kind: str | None, resource_id: UUID | None, limit: int, offset: int
    ) -> Sequence[Change]:
        table = control_changes.c
        query = (
            sa.select(control_changes)
            .where(table.tenant == self._tenant)
            .order_by(table.number.desc(), table.place.desc())
            .limit(limit)
            .offset(offset)
        )
        if kind is not None:
            query = query.where(table.kind == kind)
        if resource_id is not None:
            query = query.where(table.resource_id == str(resource_id))
        return [
            Change(
                number=row["number"],
                at=row["at"],
                who=row["who"],
                action=row["action"],
                kind=row["kind"],
                resource_id=UUID(row["resource_id"]),
                before=row["before"],
                after=row["after"],
            )
            for row in (await self._connection.execute(query)).mappings()
        ]

    async def remembered(self, key: str) -> Remembered | None:
        table = control_requests.c
        found = await self._connection.execute(
            sa.select(control_requests).where(table.tenant == self._tenant, table.key == key)
        )
        row = found.mappings().one_or_none()
        if row is None:
            return None
        return Remembered(
            fingerprint=row["fingerprint"], status=row["status"], body=bytes(row["body"]), at=row["at"]
        )

    async def remember(self, key: str, answer: Remembered) -> None:
        values = msgspec.structs.asdict(answer)
        statement = insert(self._connection.dialect, control_requests).values(
            tenant=self._tenant, key=key, **values
        )
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["tenant", "key"], set_=values)
        )


async def _next(connection: Connection, tenant: str) -> int:
    """The version that this change makes; who asks next waits until this one is committed."""
    statement = insert(connection.dialect, control_versions).values(tenant=tenant, version=1)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant"], set_={"version": control_versions.c.version + 1}
        )
    )
    version = await connection.execute(
        sa.select(control_versions.c.version).where(control_versions.c.tenant == tenant)
    )
    return int(version.scalar_one())


def _columns(resource: Resource) -> dict[str, Any]:
    return {name: _column_value(value) for name, value in msgspec.structs.asdict(resource).items()}


def _column_value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    return [str(item) for item in value] if isinstance(value, tuple) else value


def resource_of(kind: type[R], row: Mapping[Any, Any]) -> R:
    known = {name: row[name] for name in kind.__struct_fields__}
    return msgspec.convert(known, type=kind)
