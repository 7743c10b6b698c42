"""
Take back what a run has done, by its journal, newest first: what it made is deleted, what it changed gets its values back.

What somebody else has changed or come to use meanwhile stays, and is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agent.control.sealing import withheld
from agent.deploy.applying import create
from agent.deploy.declared import Address
from agent.deploy.journal import Fate, Journal, Step
from agent.deploy.outcome import Observer, next_step_for, said_of
from agent.deploy.ports import Plane, Resource, was_refused
from core.clock import Clock
from core.errors import CarelineError

KEY_HOURS = 47
"""For so long a repeated creation gives the same resource; the plane promises an hour more."""
_AFTER_SPAWNING = frozenset({"spawning", "active", "failed"})
"""Where a deployment that was to spawn comes by itself."""


@dataclass(frozen=True, slots=True)
class Left:
    """What was not taken back; `id` None where it is not known. `was_made` by this run."""

    address: Address
    kind: str
    id: str | None
    said: str
    next_step: str
    was_made: bool


@dataclass(slots=True)
class TakenBack:
    """`pending`: the plane could not be asked; the journal has the rest."""

    left: list[Left] = field(default_factory=list)
    pending: CarelineError | None = None


class Rollback:
    def __init__(self, plane: Plane, journal: Journal, *, clock: Clock, observer: Observer) -> None:
        self._plane = plane
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._result = TakenBack()

    async def run(self) -> TakenBack:
        steps = [
            step for step in self._journal.newest_first() if step.fate not in (Fate.REFUSED, Fate.UNDONE)
        ]
        self._observer.stage("taking back", len(steps))
        for step in steps:
            try:
                await (self._unmake(step) if step.makes else self._restore(step))
            except CarelineError as exc:
                if not was_refused(exc):
                    self._result.pending = exc
                    return self._result
                self._leave(step, said_of(exc), next_step_for(exc))
            self._journal.was_undone(step)
            self._observer.advanced()
        return self._result

    async def _unmake(self, step: Step) -> None:
        id = step.id
        if id is None:
            if not has_key(step, self._clock.now()):
                await self._tell_of_old(step)
                return
            try:
                # Whether it was made is asked by asking for it again.
                id = str((await create(self._plane, self._journal, step))["id"])
            except CarelineError as exc:
                if was_refused(exc):
                    return
                raise
        try:
            await self._plane.delete(step.intent.kind, id)
        except CarelineError as exc:
            if not was_refused(exc):
                raise
            self._leave(step, said_of(exc), "Delete it by hand when nothing uses it any more.", id=id)

    async def _tell_of_old(self, step: Step) -> None:
        for each in await self._plane.listed(step.intent.kind):
            if each["name"] == step.intent.name:
                self._leave(
                    step,
                    f"whether the interrupted run made it cannot be known any more ({step.intent.at:%Y-%m-%d %H:%M})",
                    "Look whether it is wanted, and delete it by hand if not.",
                    id=str(each["id"]),
                )
                return

    async def _restore(self, step: Step) -> None:
        intent = step.intent
        id, before = str(intent.id), intent.before or {}
        if any(each.id == id for each in self._journal.steps if each.makes):
            return  # it goes as a whole
        found = await self._plane.get(intent.kind, id)
        if found is None:
            self._leave(step, "somebody has deleted it meanwhile", "Run the command again to make it anew.")
            return
        if _has(intent.kind, found, before):
            return
        if not _has(intent.kind, found, intent.fields):
            self._leave(
                step,
                "somebody else has changed it meanwhile, so it was left as it is",
                f"Before this run it had {_named(before)}.",
            )
            return
        await self._plane.update(intent.kind, id, _restorable(before))

    def _leave(self, step: Step, said: str, next_step: str, *, id: str | None = None) -> None:
        self._result.left.append(
            Left(
                address=step.address,
                kind=step.intent.kind,
                id=id or step.id,
                said=said,
                next_step=next_step,
                was_made=step.makes,
            )
        )


def has_key(step: Step, now: datetime) -> bool:
    """Whether the plane still knows its key."""
    return now - step.intent.at < timedelta(hours=KEY_HOURS)


def _has(kind: str, found: Resource, fields: Mapping[str, Any]) -> bool:
    return all(_is(kind, name, found.get(name), value) for name, value in fields.items())


def _is(kind: str, name: str, now: Any, value: Any) -> bool:
    if name == "status" and value == "spawning":
        return now in _AFTER_SPAWNING
    if kind == "model-providers" and name == "config":
        return bool(withheld(value) == now)
    return bool(now == value)


def _restorable(before: Mapping[str, Any]) -> dict[str, Any]:
    """What was active becomes so again by its probes."""
    return {**before, **({"status": "spawning"} if before.get("status") == "active" else {})}


def _named(before: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in before.items())
