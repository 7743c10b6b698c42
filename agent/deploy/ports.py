"""
What a deploy needs of a control plane: resources as JSON objects, by the kinds and field names of the wire.

Every method may raise the errors of `core.http.raise_for_answer` and `translate`, once it has been tried as often as makes sense;
a 422 is `ValidationFailed` with the fields that are wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from core.errors import CallerError, CarelineError, DependencyError, RateLimited

Resource = Mapping[str, Any]


class Plane(Protocol):
    async def listed(self, kind: str) -> Sequence[Resource]:
        """All of a kind, newest first."""
        ...

    async def get(self, kind: str, id: str) -> Resource | None:
        """None where it is not there any more."""
        ...

    async def create(self, kind: str, fields: Mapping[str, Any], *, key: str) -> Resource:
        """Repeated with the same key and fields, the same resource, for 48 hours."""
        ...

    async def update(self, kind: str, id: str, fields: Mapping[str, Any]) -> Resource:
        """`tool_ids` of a definition stand alone: they are another request's."""
        ...

    async def delete(self, kind: str, id: str) -> None:
        """Nothing happens where it is not there any more."""
        ...


def was_refused(failure: CarelineError) -> bool:
    """Whether the plane has answered that it did nothing; else nobody knows what it did."""
    if isinstance(failure, RateLimited):
        return False
    if isinstance(failure, DependencyError):
        return not failure.may_retry
    return isinstance(failure, CallerError)


def can_be_repeated(failure: CarelineError) -> bool:
    """Whether the same deploy may succeed later, without that anybody changes anything."""
    return failure.may_retry
