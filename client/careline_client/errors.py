"""
The one tree of what can go wrong: the service answered with an error, or did not answer.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx


class CarelineError(Exception):
    """
    Of everything that this library raises on purpose.

    `outcome_unknown`: what was asked for may have been done all the same, since an answer was lost or the service failed. Asking
    again with the same key tells. `request_id` is what the service's operators ask for.
    """

    outcome_unknown = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: `loc` is the way to it, such as `("body", "name")`."""

    loc: tuple[str | int, ...]
    msg: str
    type: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.loc))}: {self.msg}"


class APIError(CarelineError):
    """
    The service answered, and refused or failed.

    `code` is the contract's word for it (`not_found`, `rate_limit_exceeded` …), None where the answer has none. `details` are the
    wrong fields that it names. `stored` tells of a chat message that it is kept although this answer is an error; None where the
    answer does not say. `response` is httpx's.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        details: Sequence[FieldError] = (),
        retry_after: float | None = None,
        stored: bool | None = None,
        response: httpx.Response,
    ) -> None:
        super().__init__(message)
        self.status = response.status_code
        self.code = code
        self.request_id = request_id
        self.details = tuple(details)
        self.retry_after = retry_after
        self.stored = stored
        self.response = response


class AuthenticationError(APIError):
    """401: no credential that the service knows."""


class PermissionDeniedError(APIError):
    """403."""


class NotFoundError(APIError):
    """404."""


class ConflictError(APIError):
    """409: it exists already, is published, or is in use; the message says which."""


class ValidationError(APIError):
    """400 and 422: `details` names the fields to mend."""


class RateLimitError(APIError):
    """429: not before `retry_after` seconds, where the service said so."""


class ServerError(APIError):
    """5xx: it may be tried again; whether the request was carried out is not known."""


class TimeoutError(CarelineError, builtins.TimeoutError):
    """No answer in time. What was asked may have been done."""


class ConnectionError(CarelineError, builtins.ConnectionError):
    """The connection failed. `was_sent` is False where the request cannot have reached the service."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class StreamError(CarelineError):
    """The service ended a stream with an error of its own; `problem` is what it said."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "the stream failed"))
        self.problem = problem


class DeploymentFailedError(CarelineError):
    """The deployment did not become active; `deployment` is how it was last read."""

    def __init__(self, message: str, *, deployment: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.deployment = deployment


class RolledBackError(CarelineError):
    """
    One of several creations failed (`__cause__`), and those before it were taken back: `undone` are gone again; `left` could not
    be deleted, each with the error that says why, and are a person's to look at. One without an `id` may not be there at all: its
    answer was lost.
    """

    def __init__(
        self,
        message: str,
        *,
        undone: Sequence[Mapping[str, Any]],
        left: Sequence[tuple[Mapping[str, Any], CarelineError]],
    ) -> None:
        super().__init__(message)
        self.undone = tuple(undone)
        self.left = tuple(left)


_BY_STATUS: Mapping[int, type[APIError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: ValidationError,
    429: RateLimitError,
}


def error_of(response: httpx.Response) -> APIError:
    """Of an answer that is no success, whose body was read: a problem of the chat routes, or a control plane's `detail`."""
    try:
        body: Any = response.json()
    except ValueError:
        body = response.text
    told = body if isinstance(body, dict) else {}
    named = told.get("errors") or (told.get("detail") if isinstance(told.get("detail"), list) else None)
    details = _details(named)
    said = told.get("detail") if isinstance(told.get("detail"), str) else None
    message = (
        said
        or "; ".join(map(str, details))
        or told.get("title")
        or response.reason_phrase
        or "no reason given"
    )
    kind = _BY_STATUS.get(response.status_code, ServerError if response.status_code >= 500 else APIError)
    stored = told.get("stored")
    return kind(
        f"{response.status_code}: {message}",
        code=told.get("code"),
        request_id=told.get("request_id") or response.headers.get("X-Request-ID"),
        details=details,
        retry_after=retry_after(response),
        stored=stored if isinstance(stored, bool) else None,
        response=response,
    )


def retry_after(response: httpx.Response) -> float | None:
    """Seconds, of either form of the header (RFC 9110, 10.2.3); None where it is missing or means nothing."""
    told = response.headers.get("Retry-After")
    if told is None:
        return None
    try:
        return max(float(told), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def failure_of(error: httpx.RequestError) -> TimeoutError | ConnectionError:
    """What httpx raises where there was no answer."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return ConnectionError(f"no connection in time: {error}", was_sent=False)
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError(f"no answer in time: {type(error).__name__}")
    was_sent = not isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol | httpx.ProxyError)
    return ConnectionError(f"{type(error).__name__}: {error}", was_sent=was_sent)


def _details(named: Any) -> tuple[FieldError, ...]:
    if not isinstance(named, list):
        return ()
    return tuple(
        FieldError(tuple(each.get("loc", ())), str(each.get("msg", "")), str(each.get("type", "")))
        for each in named
        if isinstance(each, dict)
    )
