"""
What may be done to the control plane's resources: what must exist, what must not change, what is in use, and who did it.

Speaks of resources and their fields; bodies, defaults and status codes are `agent.api.control`'s.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec

from agent.control.agent_config import ConfigWrong, read_config
from agent.control.pinning import pinned
from agent.control.ports import ControlRows, ControlStore
from agent.control.sealing import Sealing, withheld
from core.clock import Clock
from core.control_records import (
    KINDS,
    AgentClass,
    AgentDefinition,
    Change,
    Deployment,
    DeploymentStatus,
    ModelProvider,
    PublicationStatus,
    Remembered,
    Resource,
    SystemPrompt,
    ToolRecord,
)
from core.errors import Conflict, FieldError, NotFound, ValidationFailed

T = TypeVar("T")
R = TypeVar("R", bound=Resource)

_NAMED_USERS = 5
_SLUG_TRIES = 1000
_NOT_OF_A_SLUG = re.compile(r"[^a-z0-9]+")
_LONGEST_SLUG = 60
_PUBLISHED = frozenset({PublicationStatus.PUBLISHED, PublicationStatus.DEPRECATED})
KEPT_BY_KEY = timedelta(hours=48)
KEPT_BY_REQUEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """By what a repeat of a request is recognised: the client's own key, or its request id with path and body."""

    key: str
    fingerprint: str
    kept: timedelta


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_repeat`: it was given before, and nothing was done now."""

    status: int
    body: bytes
    is_repeat: bool = False


class ControlPlane:
    """One for all tenants; every method is one transaction."""

    def __init__(self, store: ControlStore, *, sealing: Sealing, clock: Clock) -> None:
        self._store = store
        self._sealing = sealing
        self._clock = clock

    async def get(self, tenant: str, kind: type[R], id: UUID) -> R:
        """Raises NotFound."""
        return await self._store.read(tenant, lambda rows: _existing(rows, kind, id))

    async def find(
        self,
        tenant: str,
        kind: type[R],
        fields: Mapping[str, Any],
        *,
        limit: int,
        offset: int,
        before: UUID | None = None,
    ) -> Sequence[R]:
        """
        Newest first; with `before`, those that were made before that one, whether it is still there or not.

        Raises:
            ValidationFailed: there never was one with the id `before`.
        """

        async def work(rows: ControlRows) -> Sequence[R]:
            if before is not None and not await rows.was_made(kind, before):
                message = f"No such resource among {kind.kind}, and there never was"
                raise _wrong("before", message, "unknown_reference", place="query")
            return await rows.find(kind, fields, limit=limit, offset=offset, before=before)

        return await self._store.read(tenant, work)

    async def several(self, tenant: str, kind: type[R], ids: Sequence[UUID]) -> Sequence[R]:
        """In this order; what does not exist any more is left out."""

        async def work(rows: ControlRows) -> Sequence[R]:
            return [found for id in ids if (found := await rows.get(kind, id)) is not None]

        return await self._store.read(tenant, work)

    async def changes(
        self, tenant: str, *, kind: str | None, resource_id: UUID | None, limit: int, offset: int
    ) -> Sequence[Change]:
        return await self._store.read(
            tenant,
            lambda rows: rows.changes(kind=kind, resource_id=resource_id, limit=limit, offset=offset),
        )

    async def change(
        self,
        tenant: str,
        who: str,
        request: RequestKey | None,
        work: "Callable[[Changing], Awaitable[Answer]]",
    ) -> Answer:
        """
        What `work` answers; where the same request was answered already, that, and nothing is done.

        Raises:
            ValidationFailed: the key was used for another body.
        """
        now = self._clock.now()

        async def once(rows: ControlRows) -> Answer:
            if request is not None:
                before = await rows.remembered(request.key)
                if before is not None and now - before.at < request.kept:
                    if before.fingerprint != request.fingerprint:
                        raise _wrong(
                            "Idempotency-Key",
                            "This key was used for another request",
                            "key_reused",
                            place="header",
                        )
                    return Answer(before.status, before.body, is_repeat=True)
            answer = await work(Changing(rows, who, self._sealing, self._clock))
            if request is not None:
                await rows.remember(
                    request.key,
                    Remembered(
                        fingerprint=request.fingerprint, status=answer.status, body=answer.body, at=now
                    ),
                )
            return answer

        return await self._store.change(tenant, once)

    async def conclude(self, tenant: str, who: str, probed: Deployment, failure: str | None) -> bool:
        """
        The end of a deployment's probes: active, or failed and why. False where it has been changed since they began, or another
        was quicker: then they proved nothing.
        """
        now = self._clock.now()

        async def work(rows: ControlRows) -> bool:
            if await rows.get(Deployment, probed.id) != probed:
                return False
            after = msgspec.structs.replace(
                probed,
                status=DeploymentStatus.FAILED if failure is not None else DeploymentStatus.ACTIVE,
                failure=failure,
                probed_at=probed.probed_at if failure is not None else now,
                updated_at=now,
            )
            await rows.replace(after)
            await rows.audit("update", after, who=who, at=now, before=_shown(probed), after=_shown(after))
            return True

        return await self._store.change(tenant, work)


class Changing:
    """Inside one change. What it raises undoes all of it."""

    def __init__(self, rows: ControlRows, who: str, sealing: Sealing, clock: Clock) -> None:
        self._rows = rows
        self._who = who
        self._sealing = sealing
        self._clock = clock

    async def get(self, kind: type[R], id: UUID) -> R:
        """Raises NotFound."""
        return await _existing(self._rows, kind, id)

    async def create(self, kind: type[R], fields: Mapping[str, Any]) -> R:
        """
        Raises:
            Conflict: a class with this name exists.
            ValidationFailed: a reference names nothing.
        """
        await self._check_references(kind, fields)
        if kind is AgentClass:
            await self._check_name(fields["name"], None)
        now = self._clock.now()
        values = dict(fields)
        if kind is AgentDefinition:
            values |= {"slug": await self._free_slug(fields["name"]), "status": PublicationStatus.DRAFT}
        if kind is Deployment:
            values |= {
                "status": DeploymentStatus.SPAWNING,
                **await self._pinned(values["agent_definition_id"]),
            }
        if kind is ModelProvider:
            values["config"] = self._sealing.sealed(fields["config"])
        resource = kind(id=uuid4(), created_at=now, updated_at=now, **values)
        await self._rows.insert(resource)
        await self._audit("create", resource, before=None, after=resource)
        return resource

    async def update(self, kind: type[R], id: UUID, fields: Mapping[str, Any]) -> R:
        """
        Raises:
            NotFound: there is no such resource.
            Conflict: what is published does not change, but for being deprecated.
            ValidationFailed: a reference names nothing, or an active deployment cannot be configured like this.
        """
        before = await self.get(kind, id)
        changed = {name: value for name, value in fields.items() if getattr(before, name) != value}
        await self._check_references(kind, changed)
        if isinstance(before, AgentClass) and "name" in changed:
            await self._check_name(changed["name"], id)
        if isinstance(before, AgentDefinition | SystemPrompt):
            _check_unpublished(before, changed)
        if isinstance(before, AgentDefinition) and changed:
            changed["version"] = before.version + 1
        if isinstance(before, Deployment):
            changed |= await self._deployment_changed(before, changed)
        if isinstance(before, ModelProvider) and "config" in changed:
            changed["config"] = self._sealing.sealed(changed["config"], before=before.config)
        if not changed:
            return before
        after = msgspec.structs.replace(before, updated_at=self._clock.now(), **changed)
        await self._rows.replace(after)
        await self._audit("update", after, before=before, after=after)
        return after

    async def delete(self, kind: type[Resource], id: UUID) -> None:
        """
        Raises:
            NotFound: there is no such resource.
            Conflict: it is in use; the text names the users.
        """
        resource = await self.get(kind, id)
        users = await self._rows.users_of(resource, limit=_NAMED_USERS)
        if users:
            named = ", ".join(f"{user.name} ({user.kind}/{user.id})" for user in users)
            raise Conflict(f"In use by {named}. Delete or change those first.")
        await self._rows.delete(resource)
        await self._audit("delete", resource, before=resource, after=None)

    async def roll_back(self, id: UUID) -> Deployment:
        """
        End an active deployment; the one that was made before it and serves in its place.

        Raises:
            NotFound: there is no such deployment.
            Conflict: it is not active, or none that was made before it is.
        """
        deployment = await self.get(Deployment, id)
        if deployment.status is not DeploymentStatus.ACTIVE:
            raise Conflict(f"It is {deployment.status.value}: only what is active can be rolled back.")
        active = {"environment": deployment.environment, "status": DeploymentStatus.ACTIVE}
        earlier = await self._rows.find(Deployment, active, limit=1, before=id)
        if not earlier:
            raise Conflict(
                "No earlier deployment is active. Set its status to completed to leave its conversations to the built-in agent."
            )
        await self.update(Deployment, id, {"status": DeploymentStatus.COMPLETED})
        return earlier[0]

    async def set_tools(self, id: UUID, tool_ids: Sequence[UUID]) -> AgentDefinition:
        return await self.update(AgentDefinition, id, {"tool_ids": tuple(dict.fromkeys(tool_ids))})

    async def sync_tool(self, fields: Mapping[str, Any]) -> ToolRecord:
        """Create it, or bring the newest of its name to these fields."""
        known = await self._rows.find(ToolRecord, {"name": fields["name"]}, limit=1)
        if not known:
            return await self.create(ToolRecord, fields)
        return await self.update(ToolRecord, known[0].id, fields)

    async def _deployment_changed(self, before: Deployment, changed: Mapping[str, Any]) -> dict[str, Any]:
        """What goes along with another status, environment or configuration."""
        status = changed.get("status", before.status)
        is_active = before.status is DeploymentStatus.ACTIVE
        if status is DeploymentStatus.ACTIVE and not is_active:
            raise Conflict(
                "A deployment becomes active when its probes pass. Set its status to spawning to try again."
            )
        if status is DeploymentStatus.ACTIVE and "environment" in changed:
            status = DeploymentStatus.SPAWNING
        if status is DeploymentStatus.SPAWNING and before.status is not DeploymentStatus.SPAWNING:
            again = await self._pinned(before.agent_definition_id)
            return {"status": status, "failure": None, "probed_at": None, **again}
        if status is DeploymentStatus.ACTIVE and "config" in changed and before.pinned is not None:
            try:
                read_config(before.pinned.config, changed["config"])
            except ConfigWrong as exc:
                raise _wrong("config", exc.what, "wrong_config") from exc
        return {}

    async def _pinned(self, definition_id: UUID) -> dict[str, Any]:
        definition = await self.get(AgentDefinition, definition_id)
        return {
            "pinned": await pinned(self._rows, definition),
            "model_provider_id": definition.model_provider_id,
        }

    async def _check_references(self, kind: type[Resource], fields: Mapping[str, Any]) -> None:
        wrong = []
        for field, target in kind.references.items():
            named = fields.get(field)
            for place, id in enumerate(named if isinstance(named, tuple) else (named,)):
                if id is not None and await self._rows.get(KINDS[target], id) is None:
                    loc = ("body", field, place) if isinstance(named, tuple) else ("body", field)
                    wrong.append(
                        FieldError(loc, f"No such resource among {target}: {id}", "unknown_reference")
                    )
        if fields.get("structured_output_id") is not None:
            wrong.append(
                FieldError(
                    ("body", "structured_output_id"),
                    "There are no structured outputs here: put the schema into config.structured_output_schema",
                    "unknown_reference",
                )
            )
        if wrong:
            raise ValidationFailed("A field of the body is wrong.", fields=tuple(wrong))

    async def _check_name(self, name: str, own: UUID | None) -> None:
        found = await self._rows.find(AgentClass, {"name": name}, limit=1)
        if found and found[0].id != own:
            raise Conflict(f"An agent class named {name!r} exists: {found[0].id}")

    async def _free_slug(self, name: str) -> str:
        base = _NOT_OF_A_SLUG.sub("-", name.lower()).strip("-")[:_LONGEST_SLUG] or "agent"
        for number in range(1, _SLUG_TRIES):
            slug = base if number == 1 else f"{base}-{number}"
            if not await self._rows.find(AgentDefinition, {"slug": slug}, limit=1):
                return slug
        return f"{base}-{uuid4().hex[:12]}"

    async def _audit(
        self, action: str, resource: Resource, *, before: Resource | None, after: Resource | None
    ) -> None:
        await self._rows.audit(
            action,
            resource,
            who=self._who,
            at=self._clock.now(),
            before=_shown(before),
            after=_shown(after),
        )


async def _existing(rows: ControlRows, kind: type[R], id: UUID) -> R:
    found = await rows.get(kind, id)
    if found is None:
        raise NotFound(f"There is no {id} among {kind.kind}.")
    return found


def _check_unpublished(before: AgentDefinition | SystemPrompt, changed: Mapping[str, Any]) -> None:
    if before.status not in _PUBLISHED or not changed:
        return
    is_deprecated_now = (
        set(changed) == {"status"}
        and before.status is PublicationStatus.PUBLISHED
        and changed["status"] is PublicationStatus.DEPRECATED
    )
    if not is_deprecated_now:
        raise Conflict(
            f"It is {before.status.value} and does not change any more, but for becoming deprecated. Create a new one."
        )


def _shown(resource: Resource | None) -> dict[str, Any] | None:
    if resource is None:
        return None
    shown: dict[str, Any] = msgspec.to_builtins(resource)
    if isinstance(resource, ModelProvider):
        shown["config"] = withheld(resource.config)
    return shown


def _wrong(field: str, message: str, kind: str, *, place: str = "body") -> ValidationFailed:
    return ValidationFailed("The request is wrong.", fields=(FieldError((place, field), message, kind),))
