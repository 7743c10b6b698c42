"""A control plane in memory that keeps the real one's rules as far as a deploy meets them, and fails where a test says."""

import asyncio
import copy
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from agent.control.sealing import withheld
from agent.deploy.declared import SECTIONS
from core.errors import CarelineError, Conflict, FieldError, NotFound, ValidationFailed

When = Literal["before", "after"]
Fault = Callable[[int, str, When], CarelineError | None]
"""Asked before and after each writing request is carried out, with its number from 1 and e.g. `create tools`."""

_REFERENCES = {
    reference.wire: SECTIONS[reference.section].kind
    for section in SECTIONS.values()
    for reference in section.references.values()
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "system-prompts": {"status": "draft"},
    "agent-definitions": {"status": "draft"},
    "deployments": {"status": "spawning", "failure": None},
}


class MemoryPlane:
    """Implements `agent.deploy.ports.Plane`. Deployments are active when they are asked for, but for those in `failing`."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {section.kind: [] for section in SECTIONS.values()}
        self.writes: list[str] = []
        self.most_at_once = 0
        self.fault: Fault = lambda number, what, when: None
        self.failing: dict[str, str] = {}
        self.is_slow = False
        self._now = datetime.now(UTC)
        self._by_key: dict[str, tuple[Any, str]] = {}
        self._running = 0

    def all(self) -> dict[str, list[dict[str, Any]]]:
        """What there is, but for times."""
        rows = copy.deepcopy(self.rows)
        for kind in rows.values():
            for row in kind:
                del row["updated_at"]
        return rows

    def names(self, kind: str) -> list[str]:
        return [row["name"] for row in self.rows[kind]]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The newest."""
        return next(row for row in self.rows[kind] if row["name"] == name)

    async def listed(self, kind: str) -> Sequence[dict[str, Any]]:
        return [self._shown(kind, row) for row in self.rows[kind]]

    async def get(self, kind: str, id: str) -> dict[str, Any] | None:
        row = next((row for row in self.rows[kind] if row["id"] == id), None)
        if row is not None and kind == "deployments" and row["status"] == "spawning" and not self.is_slow:
            why = self.failing.get(row["name"])
            row |= {"status": "failed" if why else "active", "failure": why}
        return None if row is None else self._shown(kind, row)

    async def create(self, kind: str, fields: Mapping[str, Any], *, key: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            if key in self._by_key:
                sent, id = self._by_key[key]
                if sent != (kind, fields):
                    raise _wrong("Idempotency-Key")
                return next((row for row in self.rows[kind] if row["id"] == id), {"id": id, "status": None})
            if kind == "agent-classes" and fields["name"] in self.names(kind):
                raise Conflict(f"An agent class named {fields['name']!r} exists")
            self._check_references(fields)
            now = self._tick()
            row = {**_defaults(kind), **copy.deepcopy(dict(fields))}
            row |= {"id": str(uuid.uuid4()), "created_at": now, "updated_at": now}
            self.rows[kind].insert(0, row)
            self._by_key[key] = ((kind, copy.deepcopy(dict(fields))), row["id"])
            return row

        return self._shown(kind, await self._carried_out(f"create {kind}", work))

    async def update(self, kind: str, id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            row = self._row(kind, id)
            changed = {name: value for name, value in fields.items() if row.get(name) != value}
            if changed and row.get("status") in ("published", "deprecated"):
                raise Conflict(f"It is {row['status']}")
            self._check_references(changed)
            if changed:
                row |= {**copy.deepcopy(changed), "updated_at": self._tick()}
            return row

        return self._shown(kind, await self._carried_out(f"update {kind}", work))

    async def delete(self, kind: str, id: str) -> None:
        def work() -> dict[str, Any]:
            users = [
                row["name"]
                for rows in self.rows.values()
                for row in rows
                for wire in _REFERENCES
                if id == row.get(wire) or (isinstance(row.get(wire), list) and id in row[wire])
            ]
            if users:
                raise Conflict(f"In use by {', '.join(users)}")
            self.rows[kind] = [row for row in self.rows[kind] if row["id"] != id]
            return {}

        await self._carried_out(f"delete {kind}", work)

    async def _carried_out(self, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.writes.append(what)
        number = len(self.writes)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await asyncio.sleep(0)
            before = self.fault(number, what, "before")
            if before is not None:
                raise before
            done = work()
            after = self.fault(number, what, "after")
            if after is not None:
                raise after
            return done
        finally:
            self._running -= 1

    def _row(self, kind: str, id: str) -> dict[str, Any]:
        for row in self.rows[kind]:
            if row["id"] == id:
                return row
        raise NotFound(f"There is no {id} among {kind}")

    def _check_references(self, fields: Mapping[str, Any]) -> None:
        for wire, kind in _REFERENCES.items():
            named = fields.get(wire)
            for id in named if isinstance(named, list) else [named]:
                if id is not None and all(row["id"] != id for row in self.rows[kind]):
                    raise _wrong(wire)

    def _shown(self, kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
        shown = copy.deepcopy(dict(row))
        if kind == "model-providers":
            shown["config"] = withheld(shown.get("config", {}))
        return shown

    def _tick(self) -> str:
        self._now += timedelta(seconds=1)
        return self._now.isoformat()


def _defaults(kind: str) -> dict[str, Any]:
    section = next(each for each in SECTIONS.values() if each.kind == kind)
    given = {
        name: each.default for name, each in section.create.model_fields.items() if not each.is_required()
    }
    return {**copy.deepcopy(given), **_DEFAULTS.get(kind, {})}


def _wrong(field: str) -> ValidationFailed:
    return ValidationFailed("wrong", fields=(FieldError(("body", field), "unknown", "unknown_reference"),))
