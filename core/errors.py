"""
The one error tree.

    CarelineError
    ├── CallerError                    whoever asked must change something
    │   ├── InvalidInput
    │   │   └── ValidationFailed
    │   ├── AuthenticationFailed
    │   ├── PermissionDenied
    │   ├── NotFound
    │   ├── TooLarge
    │   ├── Conflict
    │   │   ├── DuplicateFound
    │   │   └── ConcurrentAccess       somebody else was faster: reload, then try again
    │   │       └── LeaseLost          this turn belongs to another replica now
    │   └── RateLimited
    ├── DependencyError                something Careline needs did not do its part
    │   ├── DependencyUnavailable      refused, down, or not tried because its breaker is open
    │   ├── DependencyTimeout
    │   ├── NetworkFailed
    │   ├── ExternalApiFailed          it answered, with an error
    │   ├── DependencyRefusedUs        our credentials or rights, not the customer's
    │   └── DependencyRejectedInput    it understood us and says that the data is wrong
    ├── ToolError
    │   ├── ToolNotFound
    │   ├── ToolMisconfigured
    │   └── ToolExecutionFailed
    ├── StateError
    │   ├── StateLoadFailed
    │   ├── StateSaveFailed
    │   └── DataIntegrityFailed
    └── InternalFailure

Every leaf says what the client sees (`status`, `code`), whether a repeat can help (`may_retry`), and what the caller can do
(`user_action`); `error_type` is the name under which logs, metrics and tool outcomes know it. What a customer reads is
decided by `tools.sentences`, never by the text of an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar


class ErrorType(StrEnum):
    INVALID_INPUT = "invalid_input"
    AUTHENTICATION_FAILED = "authentication_failed"
    PERMISSION_DENIED = "permission_denied"
    VALIDATION_ERROR = "validation_error"
    INTERNAL_ERROR = "internal_error"
    SERVICE_UNAVAILABLE = "service_unavailable"
    TIMEOUT_ERROR = "timeout_error"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    TOOL_EXECUTION_FAILED = "tool_execution_failed"
    TOOL_NOT_FOUND = "tool_not_found"
    TOOL_CONFIGURATION_ERROR = "tool_configuration_error"
    STATE_LOAD_FAILED = "state_load_failed"
    STATE_SAVE_FAILED = "state_save_failed"
    CONCURRENT_ACCESS_ERROR = "concurrent_access_error"
    EXTERNAL_API_ERROR = "external_api_error"
    NETWORK_ERROR = "network_error"
    DATA_INTEGRITY_ERROR = "data_integrity_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """Where and to whom an error happened. `message` is for operators and never reaches a customer."""

    error_type: ErrorType
    message: str
    timestamp: datetime
    customer_id: str | None = None
    conversation_id: str | None = None
    tool_name: str | None = None
    dependency: str | None = None
    reason: str | None = None
    retry_count: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


class CarelineError(Exception):
    """Everything that Careline raises on purpose. `reason` refines the type, e.g. `not_found` or `invalid_address`."""

    error_type: ClassVar[ErrorType] = ErrorType.INTERNAL_ERROR
    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    may_retry: ClassVar[bool] = False
    user_action: ClassVar[str] = "Report the request_id to the operator of this service."

    def __init__(
        self, message: str = "", *, reason: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message or self.code)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds after which a repeat makes sense, where the other side said so."""


class CallerError(CarelineError):
    error_type = ErrorType.INVALID_INPUT
    status = 400
    code = "invalid_input"
    user_action = "Mend the request and send it again."


class InvalidInput(CallerError):
    """The request cannot be read: not JSON, a wrong content type, an unknown method."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong, as the API reports it: `loc` like `("body", "message")`."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class ValidationFailed(InvalidInput):
    """The request can be read, but a field is wrong; `fields` names each."""

    error_type = ErrorType.VALIDATION_ERROR
    status = 422
    code = "validation_error"
    user_action = "Mend the fields that errors names."

    def __init__(
        self, message: str, *, fields: tuple[FieldError, ...] = (), reason: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.fields = fields


class AuthenticationFailed(CallerError):
    error_type = ErrorType.AUTHENTICATION_FAILED
    status = 401
    code = "authentication_failed"
    user_action = "Check the credentials in the Authorization header."


class PermissionDenied(CallerError):
    error_type = ErrorType.PERMISSION_DENIED
    status = 403
    code = "permission_denied"
    user_action = "Ask the operator of this service for access."


class NotFound(CallerError):
    status = 404
    code = "not_found"
    user_action = "Check that it exists and belongs to this caller."

    def __init__(
        self, message: str = "", *, reason: str | None = "not_found", retry_after: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class TooLarge(CallerError):
    status = 413
    code = "too_large"
    user_action = "Shorten the request."


class Conflict(CallerError):
    status = 409
    code = "conflict"
    user_action = "Read the existing one."


class DuplicateFound(Conflict):
    """It is there already, or nearly; `existing` names it, `can_be_added_to` says whether more can be put into it."""

    def __init__(
        self, message: str = "", *, existing: str | None = None, can_be_added_to: bool = False
    ) -> None:
        super().__init__(message, reason="similar" if can_be_added_to else "duplicate")
        self.existing = existing


class ConcurrentAccess(Conflict):
    error_type = ErrorType.CONCURRENT_ACCESS_ERROR
    code = "concurrent_access_error"
    may_retry = True
    user_action = "Read the current state, then try again."


class LeaseLost(ConcurrentAccess):
    """The commit was fenced: another replica holds this conversation's lease. Throw the turn away."""


class RateLimited(CallerError):
    """Too many calls; raised for our own callers and for dependencies that answer 429 (then `dependency` is set)."""

    error_type = ErrorType.RATE_LIMIT_EXCEEDED
    status = 429
    code = "rate_limit_exceeded"
    may_retry = True
    user_action = "Wait for the time in Retry-After, then send the same request again."

    def __init__(
        self, message: str = "", *, dependency: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.dependency = dependency


class DependencyError(CarelineError):
    """
    A dependency did not do its part.

    `may_have_happened` is True when the request was sent and its fate is unknown: a call with effects must then be looked up
    or repeated with the same key, never repeated blindly.
    """

    error_type = ErrorType.SERVICE_UNAVAILABLE
    status = 503
    code = "service_unavailable"
    may_retry = True
    user_action = "Send the same request with the same id again after the time in Retry-After."

    def __init__(
        self,
        dependency: str,
        message: str = "",
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(message or f"{dependency}: {self.code}", reason=reason, retry_after=retry_after)
        self.dependency = dependency
        self.may_have_happened = may_have_happened


class DependencyUnavailable(DependencyError):
    """Refused, down, or not tried at all because its breaker is open."""


class DependencyTimeout(DependencyError):
    """No answer in time; `reason="request_timeout"`: it answered (408) that our request did not come in time."""

    error_type = ErrorType.TIMEOUT_ERROR
    status = 504
    code = "timeout_error"


class NetworkFailed(DependencyError):
    """The connection broke, or never came about."""

    error_type = ErrorType.NETWORK_ERROR


class ExternalApiFailed(DependencyError):
    """The dependency answered with an error of its own; `answered_status` is its HTTP status where it speaks HTTP."""

    error_type = ErrorType.EXTERNAL_API_ERROR
    status = 502
    code = "external_api_error"

    def __init__(
        self,
        dependency: str,
        message: str = "",
        *,
        answered_status: int | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(
            dependency, message, reason=reason, retry_after=retry_after, may_have_happened=may_have_happened
        )
        self.answered_status = answered_status


class DependencyRefusedUs(DependencyError):
    """Our credentials or rights at the dependency are wrong (`error_type` says which). An operator must act; no retry helps."""

    error_type = ErrorType.AUTHENTICATION_FAILED
    may_retry = False


class DependencyForbidsUs(DependencyRefusedUs):
    error_type = ErrorType.PERMISSION_DENIED


class DependencyRejectedInput(DependencyError):
    """
    It understood us and says that the data is wrong, e.g. `reason="invalid_address"`. Proves that it is alive.

    `answer` is the beginning of what it said. It may quote the customer: it is for who works on the case, and for no log.
    """

    error_type = ErrorType.VALIDATION_ERROR
    status = 422
    code = "validation_error"
    may_retry = False

    def __init__(
        self,
        dependency: str,
        message: str = "",
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        may_have_happened: bool = False,
        answer: str | None = None,
    ) -> None:
        super().__init__(
            dependency, message, reason=reason, retry_after=retry_after, may_have_happened=may_have_happened
        )
        self.answer = answer


class ToolError(CarelineError):
    error_type = ErrorType.TOOL_EXECUTION_FAILED


class ToolNotFound(ToolError):
    error_type = ErrorType.TOOL_NOT_FOUND


class ToolMisconfigured(ToolError):
    error_type = ErrorType.TOOL_CONFIGURATION_ERROR


class ToolExecutionFailed(ToolError):
    """A tool broke in a way that no other class names. `told` is what a brain may read of it, as data: it can mend its call."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)
        self.told: Mapping[str, Any] = told or {}


class StateError(CarelineError):
    status = 503
    code = "service_unavailable"
    may_retry = True
    user_action = "Send the same request with the same id again after the time in Retry-After."


class StateLoadFailed(StateError):
    """The state could not be asked for. Never to be read as "there is none"."""

    error_type = ErrorType.STATE_LOAD_FAILED


class StateSaveFailed(StateError):
    error_type = ErrorType.STATE_SAVE_FAILED


class DataIntegrityFailed(StateError):
    """Stored data contradicts itself, or cannot be decoded. It is kept as it is and reported."""

    error_type = ErrorType.DATA_INTEGRITY_ERROR
    status = 500
    code = "internal_error"
    may_retry = False


class InternalFailure(CarelineError):
    """A defect of ours."""
