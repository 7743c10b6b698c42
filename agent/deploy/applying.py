"""
Carry out a plan: what does not depend on each other at the same time, each request in the journal before it is sent.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.deploy.declared import Address
from agent.deploy.journal import Journal, Step
from agent.deploy.outcome import Observer
from agent.deploy.planning import Action, New, Plan, Planned, Retired
from agent.deploy.ports import Plane, was_refused
from core.clock import Clock
from core.errors import CarelineError

_APART = "tool_ids"
"""Has a request of its own."""


@dataclass(slots=True)
class Applied:
    """`ids` of what is there now, `failures` of what is not. Nothing new was begun after the first."""

    ids: dict[Address, str] = field(default_factory=dict)
    failures: dict[Address, CarelineError] = field(default_factory=dict)


class _NotBegun(Exception):
    pass


class Applying:
    def __init__(
        self, plane: Plane, journal: Journal, *, clock: Clock, at_once: int, observer: Observer
    ) -> None:
        self._plane = plane
        self._journal = journal
        self._clock = clock
        self._permits = asyncio.Semaphore(at_once)
        self._observer = observer
        self._applied = Applied()

    async def carry_out(self, plan: Plan) -> Applied:
        """Returns once everything that was begun has ended."""
        self._observer.stage("applying", len(plan.changes))
        tasks: dict[Address, asyncio.Task[None]] = {}
        for planned in plan.entries:
            before = [tasks[each] for each in planned.needs]
            tasks[planned.address] = asyncio.create_task(self._one(planned, before))
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for failure in ended:
            if failure is not None and not isinstance(failure, _NotBegun):
                raise failure
        return self._applied

    async def retire(self, retired: Sequence[Retired]) -> Applied:
        """Deployments that newer ones have taken over from; they stay, completed."""
        for each in retired:
            try:
                await self._update(
                    each.address, "deployments", each.id, {"status": "completed"}, {"status": each.status}
                )
            except CarelineError as exc:
                self._applied.failures[each.address] = exc
                break
        return self._applied

    async def _one(self, planned: Planned, before: Sequence[asyncio.Task[None]]) -> None:
        # Waiting must not end because one of several has failed: all are waited for in any case.
        if before:
            await asyncio.wait(before)
        if any(task.exception() is not None for task in before):
            raise _NotBegun
        if planned.action is Action.KEEP:
            self._applied.ids[planned.address] = planned.id or ""
            return
        async with self._permits:
            if self._applied.failures:
                raise _NotBegun
            try:
                await self._carry_out(planned)
            except CarelineError as exc:
                self._applied.failures[planned.address] = exc
                raise _NotBegun from exc
            self._observer.advanced()

    async def _carry_out(self, planned: Planned) -> None:
        fields = {name: self._resolved(value) for name, value in planned.fields.items()}
        if planned.is_made:
            self._applied.ids[planned.address] = await self._make(planned, fields)
            return
        found = planned.found or {}
        id = str(found["id"])
        for part in (
            {name: value for name, value in fields.items() if name != _APART},
            {name: value for name, value in fields.items() if name == _APART},
        ):
            if part:
                before = {name: found[name] for name in part}
                await self._update(planned.address, planned.kind, id, part, before)
        self._applied.ids[planned.address] = id

    async def _make(self, planned: Planned, fields: Mapping[str, Any]) -> str:
        declared = planned.declared
        body = {"name": planned.address.name, **fields}
        if declared.status is not None and "status" in declared.section.create.model_fields:
            body["status"] = declared.status
        step = self._journal.will_create(planned.address, planned.kind, body, at=self._clock.now())
        made = await create(self._plane, self._journal, step)
        is_draft = declared.status is not None and made["status"] != declared.status
        if is_draft:
            await self._update(
                planned.address,
                planned.kind,
                str(made["id"]),
                {"status": declared.status},
                {"status": made["status"]},
            )
        return str(made["id"])

    async def _update(
        self, address: Address, kind: str, id: str, fields: Mapping[str, Any], before: Mapping[str, Any]
    ) -> None:
        step = self._journal.will_update(address, kind, id, fields, before=before, at=self._clock.now())
        try:
            await self._plane.update(kind, id, fields)
        except CarelineError as exc:
            if was_refused(exc):
                self._journal.was_refused(step)
            raise
        self._journal.was_done(step, id)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, New):
            return self._applied.ids[value.address]
        return [self._resolved(each) for each in value] if isinstance(value, list) else value


async def create(plane: Plane, journal: Journal, step: Step) -> Mapping[str, Any]:
    """Once, however often it is asked for: the key is in the journal."""
    intent = step.intent
    try:
        made = await plane.create(intent.kind, intent.fields, key=intent.key or "")
    except CarelineError as exc:
        if was_refused(exc):
            journal.was_refused(step)
        raise
    journal.was_done(step, str(made["id"]))
    return made
