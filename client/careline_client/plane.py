"""
The control plane's calls (`/api/v1`), as steps: the same for every kind of resource, and what single kinds have besides.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import httpx

from careline_client.errors import (
    APIError,
    CarelineError,
    ConflictError,
    DeploymentFailedError,
    NotFoundError,
    RolledBackError,
)
from careline_client.resources import Deployment
from careline_client.retries import key_headers
from careline_client.steps import Pause, Send, Steps, segment, without_none

R = TypeVar("R")
T = TypeVar("T")

PREFIX = "/api/v1"
PAGE = 1000
"""The most that one list may hold."""

Ask = Callable[[Send], Steps[httpx.Response]]
"""A request with its retries."""


def decoded(response: httpx.Response) -> Any:
    """
    Raises:
        CarelineError: a success that is no JSON: something else answers at this address.
    """
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise CarelineError(f"{response.request.url} answered {response.status_code} without JSON") from error


@dataclass(frozen=True)
class Kind(Generic[R]):
    """Of one kind, named as in its path: `agent-classes`."""

    name: str
    ask: Ask

    def create(self, fields: Mapping[str, Any], *, key: str | None) -> Steps[R]:
        response = yield from self.ask(
            Send(method="POST", path=self.all(), body=dict(fields), headers=key_headers(key))
        )
        return cast(R, decoded(response))

    def get(self, id: str) -> Steps[R]:
        return cast(R, decoded((yield from self.ask(Send(method="GET", path=self.one(id))))))

    def update(self, id: str, fields: Mapping[str, Any]) -> Steps[R]:
        response = yield from self.ask(Send(method="PATCH", path=self.one(id), body=dict(fields)))
        return cast(R, decoded(response))

    def delete(self, id: str) -> Steps[None]:
        yield from self.ask(Send(method="DELETE", path=self.one(id)))

    def page(self, filters: Mapping[str, Any], *, limit: int, offset: int) -> Steps[list[R]]:
        query = without_none(filters) | {"limit": limit, "offset": offset}
        return cast(list[R], decoded((yield from self.ask(Send(method="GET", path=self.all(), query=query)))))

    def paging(self, filters: Mapping[str, Any], *, page_size: int) -> "Paging[R]":
        return Paging(self, filters, page_size)

    def find(self, id: str) -> Steps[R | None]:
        try:
            return (yield from self.get(id))
        except NotFoundError:
            return None

    def find_named(self, name: str) -> Steps[R | None]:
        """The newest of that name."""
        pages = self.paging({}, page_size=PAGE)
        while (page := (yield from pages.next_page())) is not None:
            for each in page:
                if _field(each, "name") == name:
                    return each
        return None

    def get_or_create(self, fields: Mapping[str, Any]) -> Steps[R]:
        name = fields["name"]
        found = yield from self.find_named(name)
        if found is not None:
            return found
        try:
            return (yield from self.create(fields, key=None))
        except ConflictError:
            found = yield from self.find_named(name)
            if found is None:
                raise
            return found

    def post(self, where: str, body: Any = None) -> Steps[Any]:
        """What a kind has besides; carrying it out twice is the same as once."""
        return decoded((yield from self.ask(Send(method="POST", path=where, body=body))))

    def read(self, where: str) -> Steps[Any]:
        return decoded((yield from self.ask(Send(method="GET", path=where))))

    def all(self, action: str = "") -> str:
        """The path of all of this kind, or of an action on them."""
        return f"{PREFIX}/{self.name}" + (f"/{action}" if action else "")

    def one(self, id: str, action: str = "") -> str:
        return self.all(segment(id)) + (f"/{action}" if action else "")


class Paging(Generic[R]):
    """
    A walk through a list that is newest first and changes meanwhile: what stood all the while is told exactly once.

    Pages overlap by one. What others create shifts the rest along: some of it is read twice, and told once. What others delete
    pulls the rest nearer: the overlap is then not where it was, and the walk steps back to find it.
    """

    def __init__(self, kind: Kind[R], filters: Mapping[str, Any], page_size: int) -> None:
        if page_size < 2:
            raise ValueError("a page has at least two places: one of them is the overlap")
        self._kind = kind
        self._filters = filters
        self._page_size = page_size
        self._offset = 0
        self._told: set[str] = set()
        self._is_over = False

    def next_page(self) -> Steps[list[R] | None]:
        """What was not told yet; None behind the last."""
        while not self._is_over:
            page = yield from self._kind.page(self._filters, limit=self._page_size, offset=self._offset)
            if self._offset > 0 and (not page or _field(page[0], "id") not in self._told):
                self._offset = max(0, self._offset - self._page_size + 1)
                continue
            self._is_over = len(page) < self._page_size
            self._offset += self._page_size - 1
            new = [each for each in page if _field(each, "id") not in self._told]
            self._told.update(_field(each, "id") for each in new)
            if new:
                return new
        return None


def _field(resource: Any, name: str) -> str:
    return cast(str, resource[name])


def active(
    deployments: Kind[Deployment],
    id: str,
    *,
    timeout_seconds: float,
    poll_seconds: float,
    clock: Callable[[], float],
) -> Steps[Deployment]:
    """
    Raises:
        DeploymentFailedError: it failed, is over, or is not active in time.
    """
    ends_at = clock() + timeout_seconds
    while True:
        found = yield from deployments.get(id)
        status = found["status"]
        if status == "active":
            return found
        if status != "spawning":
            reason = found.get("failure")
            raise DeploymentFailedError(
                f"deployment {id} is {status}" + (f": {reason}" if reason else ""), deployment=found
            )
        left = ends_at - clock()
        if left <= 0:
            raise DeploymentFailedError(
                f"deployment {id} is still spawning after {timeout_seconds:g} s", deployment=found
            )
        yield Pause(min(poll_seconds, left))


Made = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Creation:
    """
    One of several that belong together. `kind` as in the path (`agent-classes`); `fields` may be made from what was created
    before it, in that order: `lambda made: {"name": "Support", "agent_class_id": made[0]["id"]}`.
    """

    kind: str
    fields: Mapping[str, Any] | Callable[[Made], Mapping[str, Any]]


def created_together(ask: Ask, creations: Sequence[Creation]) -> Steps[list[dict[str, Any]]]:
    """
    All of them, or none: where one fails, or the whole is interrupted, what was made before it is deleted, newest first.

    Raises:
        RolledBackError: `__cause__` is why. An interrupt stays what it is, with a note.
    """
    made: list[dict[str, Any]] = []
    asked: _Asked | None = None
    try:
        for creation in creations:
            fields = creation.fields(made) if callable(creation.fields) else creation.fields
            asked = _Asked(Kind(creation.kind, ask), fields, uuid.uuid4().hex)
            resource = yield from asked.create()
            asked = None
            made.append(resource)
    except GeneratorExit:
        raise
    except BaseException as cause:
        is_open = asked is not None and (not isinstance(cause, CarelineError) or cause.outcome_unknown)
        undone, left = yield from _taken_back(ask, creations, made, asked if is_open else None)
        outcome = f"{len(left)} could not be taken back" if left else "what was made before it is gone again"
        if not isinstance(cause, Exception):
            cause.add_note(f"creating together was interrupted; {outcome}")
            raise
        failed = creations[len(made)].kind
        raise RolledBackError(
            f"{failed} could not be created; {outcome}", undone=undone, left=left
        ) from cause
    return made


@dataclass(frozen=True, slots=True)
class _Asked:
    """A creation on its way. Asked for again under its key, it is what it was the first time."""

    kind: Kind[dict[str, Any]]
    fields: Mapping[str, Any]
    key: str

    def create(self) -> Steps[dict[str, Any]]:
        return self.kind.create(self.fields, key=self.key)


def _taken_back(
    ask: Ask, creations: Sequence[Creation], made: Sequence[dict[str, Any]], lost: _Asked | None
) -> Steps[tuple[list[Mapping[str, Any]], list[tuple[Mapping[str, Any], CarelineError]]]]:
    undone: list[Mapping[str, Any]] = []
    left: list[tuple[Mapping[str, Any], CarelineError]] = []
    standing = [
        (Kind[dict[str, Any]](creation.kind, ask), resource)
        for creation, resource in zip(creations, made, strict=False)
    ]
    if lost is not None:
        try:
            standing.append((lost.kind, (yield from lost.create())))
        except CarelineError as failure:
            if failure.outcome_unknown or not isinstance(failure, APIError):
                left.append((lost.fields, failure))
    for kind, resource in reversed(standing):
        try:
            yield from kind.delete(resource["id"])
        except NotFoundError:
            undone.append(resource)
        except CarelineError as failure:
            left.append((resource, failure))
        else:
            undone.append(resource)
    return undone, left
