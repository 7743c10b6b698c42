"""
Word every failure as the contract's `application/problem+json`.

Only sentences written for the caller leave: those of this package's own refusals, and one fixed sentence per
code for the rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.api.eventlog import EventLog
from core.errors import (
    AuthenticationFailed,
    CarelineError,
    Conflict,
    DependencyError,
    FieldError,
    InternalFailure,
    InvalidInput,
    NotFound,
    PermissionDenied,
    TooLarge,
    ValidationFailed,
)

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    "invalid_input": "The request cannot be read",
    "validation_error": "A field is wrong",
    "authentication_failed": "The credentials are missing or not valid",
    "permission_denied": "Not allowed",
    "not_found": "Not found",
    "conflict": "It exists already",
    "concurrent_access_error": "Somebody else was faster",
    "too_large": "The request is too large",
    "rate_limit_exceeded": "Too many requests",
    "internal_error": "Something went wrong on our side",
    "external_api_error": "A system behind this service failed",
    "service_unavailable": "Not available right now",
    "timeout_error": "It took too long",
}
_DETAILS = {
    "not_found": "There is nothing here for this caller.",
    "conflict": "This id was used before for something else.",
    "concurrent_access_error": "The conversation changed meanwhile.",
    "rate_limit_exceeded": "This caller has sent more than its share of messages.",
    "internal_error": "The request failed through no fault of the caller.",
    "external_api_error": "A system that is needed for this answered with an error.",
    "service_unavailable": "Something that is needed for this cannot be reached right now.",
    "timeout_error": "Something that is needed for this did not answer in time.",
}
_RETRY_AFTER_STATUSES = frozenset({429, 502, 503, 504})
_DEFAULT_RETRY_SECONDS = 2
_MOST_FIELDS = 20
_LONGEST_LOC = 100


class MethodNotAllowed(InvalidInput):
    status = 405
    user_action = "Use a method that the Allow header names."

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This route answers {allowed} only.")
        self.allowed = allowed


class NotAcceptable(InvalidInput):
    status = 406
    user_action = "Accept the content type that detail names."


class UnsupportedMediaType(InvalidInput):
    status = 415
    user_action = "Send the content type that detail names."


class ClaimedAlready(Conflict):
    """A second claim of a conversation, by the customer whose it is."""


_SPEAKS_FOR_ITSELF = (InvalidInput, TooLarge, AuthenticationFailed, PermissionDenied, ClaimedAlready)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, as the caller is told."""

    status: int
    code: str
    detail: str
    is_retryable: bool
    user_action: str
    fields: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self, *, request_id: str, stored: bool | None) -> dict[str, Any]:
        """The body; `stored` None leaves it out (everything but POST)."""
        body: dict[str, Any] = {
            "type": f"urn:careline:problem:{self.code}",
            "title": _TITLES[self.code],
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "errors": details_of(self.fields[:_MOST_FIELDS]),
            "request_id": request_id,
            "retryable": self.is_retryable,
            "user_action": self.user_action,
        }
        if stored is not None:
            body["stored"] = stored
        return body


def details_of(fields: Sequence[FieldError]) -> list[dict[str, Any]]:
    """What is wrong with each field, as JSON."""
    return [
        {"loc": [_printable(step) for step in each.loc], "msg": each.msg, "type": each.type}
        for each in fields
    ]


def problem_of(exc: Exception) -> Problem:
    if isinstance(exc, HTTPException):
        exc = _from_starlette(exc)
    elif isinstance(exc, RequestValidationError):
        exc = _from_fastapi(exc)
    elif not isinstance(exc, CarelineError):
        exc = InternalFailure()
    headers: dict[str, str] = {}
    if exc.status in _RETRY_AFTER_STATUSES:
        headers["Retry-After"] = str(max(1, math.ceil(exc.retry_after or _DEFAULT_RETRY_SECONDS)))
    if exc.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="careline"'
    if isinstance(exc, MethodNotAllowed):
        headers["Allow"] = exc.allowed
    is_ours_to_word = isinstance(exc, _SPEAKS_FOR_ITSELF) and not isinstance(exc, DependencyError)
    return Problem(
        status=exc.status,
        code=exc.code,
        detail=str(exc) if is_ours_to_word else _DETAILS.get(exc.code, _TITLES[exc.code]),
        # A conflict stands until the caller has read what is there (docs/api.md), however soon our own code
        # may try again.
        is_retryable=exc.may_retry and exc.status != 409,
        user_action=exc.user_action,
        fields=exc.fields if isinstance(exc, ValidationFailed) else (),
        headers=headers,
    )


def request_id_of(request: Request) -> str:
    return str(request.scope["state"]["request_id"])


def respond(
    problem: Problem, *, request_id: str, stored: bool | None, extra: Mapping[str, Any] | None = None
) -> Response:
    document = problem.document(request_id=request_id, stored=stored)
    if extra:
        document.update(extra)
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(
        orjson.dumps(document), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


class ProblemResponses:
    """Answers for the exceptions that handlers raise; `others` words them where the route's clients expect another form."""

    def __init__(
        self, log: EventLog, *, others: Mapping[str, Callable[[Problem], Response]] | None = None
    ) -> None:
        self._log = log
        self._others = others or {}

    async def __call__(self, request: Request, exc: Exception) -> Response:
        problem = problem_of(exc)
        route = getattr(request.scope.get("route"), "path", None)
        tell = self._log.warning if problem.status >= 500 else self._log.info
        # The exception's own text may quote the customer, so only its name is told.
        tell(
            "http.refused",
            status=problem.status,
            code=problem.code,
            route=route,
            error=type(exc).__name__,
            dependency=exc.dependency if isinstance(exc, DependencyError) else None,
        )
        if (other := self._others.get(request.scope["path"])) is not None:
            return other(problem)
        stored = bool(getattr(request.state, "is_stored", False)) if request.method == "POST" else None
        return respond(problem, request_id=request_id_of(request), stored=stored)


def _from_starlette(exc: HTTPException) -> CarelineError:
    if exc.status_code == 404:
        return NotFound()
    if exc.status_code == 405:
        return MethodNotAllowed((exc.headers or {}).get("Allow", "other methods"))
    if exc.status_code < 500:
        return InvalidInput("The request cannot be read.")
    return InternalFailure()


def _from_fastapi(exc: RequestValidationError) -> ValidationFailed:
    fields = tuple(FieldError(tuple(each["loc"]), each["msg"], each["type"]) for each in exc.errors())
    return ValidationFailed("A parameter of the request is wrong.", fields=fields)


def _printable(step: str | int) -> str | int:
    """A field's name comes from the caller: it may be endless, or hold what JSON cannot carry."""
    if isinstance(step, int):
        return step
    return step[:_LONGEST_LOC].encode("utf-8", "replace").decode("utf-8")
