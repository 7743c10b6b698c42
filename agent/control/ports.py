"""
What the control plane needs of its store: resources of one tenant, changed one after the other.

Every method may raise DependencyUnavailable or DependencyTimeout.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from core.control_records import Change, Deployment, Remembered, Resource

T = TypeVar("T")
R = TypeVar("R", bound=Resource)


class ControlRows(Protocol):
    """The resources of one tenant inside one transaction. Nothing that one change reads is changed by another meanwhile."""

    async def get(self, kind: type[R], id: UUID) -> R | None: ...

    async def find(
        self,
        kind: type[R],
        fields: Mapping[str, Any],
        *,
        limit: int | None = None,
        offset: int = 0,
        before: UUID | None = None,
    ) -> Sequence[R]:
        """Those whose fields have these values, newest first; only those that were made before the one named, if any."""
        ...

    async def was_made(self, kind: type[Resource], id: UUID) -> bool:
        """Whether there is such a resource, or was."""
        ...

    async def insert(self, resource: Resource) -> None: ...

    async def replace(self, resource: Resource) -> None: ...

    async def delete(self, resource: Resource) -> None: ...

    async def users_of(self, resource: Resource, *, limit: int) -> Sequence[Resource]:
        """Some of those that name it."""
        ...

    async def audit(
        self,
        action: str,
        resource: Resource,
        *,
        who: str,
        at: datetime,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None: ...

    async def changes(
        self, *, kind: str | None, resource_id: UUID | None, limit: int, offset: int
    ) -> Sequence[Change]:
        """The audit, newest first."""
        ...

    async def remembered(self, key: str) -> Remembered | None: ...

    async def remember(self, key: str, answer: Remembered) -> None: ...


class ControlStore(Protocol):
    async def versions(self) -> Mapping[str, int]:
        """By tenant, greater after each change; who never changed anything is not there."""
        ...

    async def read(self, tenant: str, work: Callable[[ControlRows], Awaitable[T]]) -> T: ...

    async def change(self, tenant: str, work: Callable[[ControlRows], Awaitable[T]]) -> T:
        """All of it or nothing; each makes the tenant's version greater by one."""
        ...


class Spawning(Protocol):
    """Deployments that wait for their probes: each is probed by one process at a time."""

    async def waiting(self, environment: str, *, limit: int) -> Sequence[tuple[str, UUID]]:
        """Tenant and id of those that nobody probes."""
        ...

    async def claim(self, tenant: str, id: UUID, *, owner: str, seconds: float) -> Deployment | None:
        """The deployment, which is `owner`'s to probe for so long; None where another was quicker."""
        ...

    async def renew(self, tenant: str, id: UUID, *, owner: str, seconds: float) -> bool:
        """False where it is another's by now."""
        ...

    async def release(self, tenant: str, id: UUID, *, owner: str) -> None: ...
