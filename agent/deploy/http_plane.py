"""
A control plane over HTTP, as `docs/control-plane.md` describes it: every request is one that may be repeated, and is.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from agent.deploy.ports import Resource
from core.clock import Clock
from core.errors import (
    ConcurrentAccess,
    Conflict,
    ExternalApiFailed,
    FieldError,
    NotFound,
    ToolMisconfigured,
    ValidationFailed,
)
from core.http import make_client, raise_for_answer, translate
from core.resilience.deadline import Deadline
from core.resilience.retry import RetryBudget, RetryPolicy, retry_with_backoff

PLANE = "control plane"
PREFIX = "/api/v1"
_PAGE = 200
_LISTINGS = 5
_ANSWER_BYTES = 64 * 1024 * 1024
_LONGEST_SAID = 2000
_LONGEST_CALL = 120.0
"""With all its repeats; who is told to wait longer than that is told so."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
PATIENT = RetryPolicy(attempts=5, base_seconds=_FIRST_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS)


class NoPlane(ToolMisconfigured):
    """Something else answers at its URL."""

    next_step = "Check --to: it is the URL of the service, without /api/v1."


class _Detail(msgspec.Struct):
    loc: list[str | int]
    msg: str
    type: str = ""


class _Details(msgspec.Struct):
    detail: str | list[_Detail] = ""


def make_plane_client(url: str, *, key: str | None, timeout_seconds: float) -> httpx.AsyncClient:
    return make_client(
        "deploy",
        base_url=url.rstrip("/") + PREFIX,
        timeout_seconds=timeout_seconds,
        headers={"Authorization": f"Bearer {key}"} if key else None,
        answer_bytes=_ANSWER_BYTES,
    )


class HttpPlane:
    """
    Implements `agent.deploy.ports.Plane`. A 500 is tried again, too: a creation has its key, and everything else says how it
    shall be in the end.
    """

    def __init__(self, client: httpx.AsyncClient, *, clock: Clock, policy: RetryPolicy = PATIENT) -> None:
        self._client = client
        self._clock = clock
        self._policy = policy
        self._chance = random.Random()

    async def listed(self, kind: str) -> Sequence[Resource]:
        """Raises ConcurrentAccess where others change so much that the pages never fit together."""
        for _ in range(_LISTINGS):
            found = await self._pages(kind)
            if found is not None:
                return found
        raise ConcurrentAccess(f"{kind}: others make and delete them just now, so that they cannot be listed")

    async def get(self, kind: str, id: str) -> Resource | None:
        try:
            found: Resource = await self._ask("GET", f"/{kind}/{id}")
        except NotFound:
            return None
        return found

    async def create(self, kind: str, fields: Mapping[str, Any], *, key: str) -> Resource:
        made: Resource = await self._ask("POST", f"/{kind}", fields, key=key)
        return made

    async def update(self, kind: str, id: str, fields: Mapping[str, Any]) -> Resource:
        if set(fields) == {"tool_ids"}:
            changed: Resource = await self._ask("POST", f"/{kind}/{id}/tools", fields)
        else:
            changed = await self._ask("PATCH", f"/{kind}/{id}", fields)
        return changed

    async def delete(self, kind: str, id: str) -> None:
        try:
            await self._ask("DELETE", f"/{kind}/{id}")
        except NotFound:
            return

    async def _page(self, kind: str, offset: int) -> list[Resource]:
        try:
            page = await self._ask("GET", f"/{kind}?limit={_PAGE}&offset={offset}")
            found: list[Resource] = msgspec.convert(page, list[dict[str, Any]])
        except (NotFound, msgspec.ValidationError) as exc:
            raise NoPlane(f"there is no control plane at {self._client.base_url}") from exc
        if not all("id" in each for each in found):
            raise NoPlane(f"what {self._client.base_url} lists is no control plane's")
        return found

    async def _pages(self, kind: str) -> list[Resource] | None:
        """None where the list has shifted between two pages: each begins with the last of the one before."""
        found: list[Resource] = []
        while True:
            offset = max(0, len(found) - 1)
            page = await self._page(kind, offset)
            if found and (not page or page[0]["id"] != found[-1]["id"]):
                return None
            found += page[1:] if found else page
            if len(page) < _PAGE:
                return found

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Any:
        headers = {"X-Request-ID": uuid4().hex, **({"Idempotency-Key": key} if key else {})}

        async def once() -> Any:
            try:
                response = await self._client.request(
                    method,
                    path,
                    content=None if body is None else msgspec.json.encode(body),
                    headers=headers | ({} if body is None else {"Content-Type": "application/json"}),
                )
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise translate(f"{PLANE} at {self._client.base_url.copy_with(path='/')}", exc) from exc
            return _answered(response, headers["X-Request-ID"])

        return await retry_with_backoff(
            once,
            policy=self._policy,
            clock=self._clock,
            rng=self._chance,
            budget=RetryBudget(reserve=self._policy.attempts),
            deadline=Deadline(self._clock, _LONGEST_CALL),
        )


def _answered(response: httpx.Response, request_id: str) -> Any:
    """The document; None without one. Raises as `_raise_for`."""
    _raise_for(response, request_id)
    if not response.content:
        return None
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError as exc:
        raise ExternalApiFailed(PLANE, f"{PLANE}: the answer is no JSON; is this its URL?") from exc


def _raise_for(response: httpx.Response, request_id: str) -> None:
    """As `raise_for_answer`, with the plane's own words where it refuses."""
    details = _details(response)
    said = details.detail[:_LONGEST_SAID] if isinstance(details.detail, str) else ""
    match response.status_code:
        case 404:
            raise NotFound(said)
        case 409:
            raise Conflict(said)
        case 422 if isinstance(details.detail, list):
            fields = tuple(FieldError(tuple(each.loc), each.msg, each.type) for each in details.detail)
            raise ValidationFailed(f"{PLANE}: a field is wrong", fields=fields)
        case 500:
            raise ExternalApiFailed(
                PLANE,
                f"{PLANE}: answered 500 (request {request_id})",
                answered_status=500,
                may_have_happened=True,
            )
    raise_for_answer(PLANE, response)


def _details(response: httpx.Response) -> _Details:
    try:
        return msgspec.json.decode(response.content, type=_Details)
    except msgspec.DecodeError:
        return _Details()
