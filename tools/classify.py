"""
Turn any exception of a tool call into one of the 17 error types, with the reason that refines it.

Goes by class only. The words of an exception are for the log: they change with every release of a driver, and
a customer may have written them.
"""

from datetime import datetime

import msgspec

from core.errors import (
    CallerError,
    CarelineError,
    DependencyError,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DuplicateFound,
    ErrorContext,
    ErrorType,
    RateLimited,
    ToolMisconfigured,
    ValidationFailed,
)
from tools.protocol import ToolCall

_FOREIGN: tuple[tuple[type[BaseException], ErrorType], ...] = (
    # Subclasses stand before their bases: a TimeoutError is an OSError, a UnicodeError a ValueError.
    (TimeoutError, ErrorType.TIMEOUT_ERROR),
    (ConnectionError, ErrorType.NETWORK_ERROR),
    (PermissionError, ErrorType.TOOL_CONFIGURATION_ERROR),
    (FileNotFoundError, ErrorType.TOOL_CONFIGURATION_ERROR),
    (OSError, ErrorType.NETWORK_ERROR),
    (msgspec.ValidationError, ErrorType.VALIDATION_ERROR),
    (msgspec.DecodeError, ErrorType.EXTERNAL_API_ERROR),
    (UnicodeError, ErrorType.DATA_INTEGRITY_ERROR),
    (ValueError, ErrorType.TOOL_EXECUTION_FAILED),
    (TypeError, ErrorType.TOOL_EXECUTION_FAILED),
    (LookupError, ErrorType.TOOL_EXECUTION_FAILED),
    (NotImplementedError, ErrorType.TOOL_CONFIGURATION_ERROR),
    (ImportError, ErrorType.TOOL_CONFIGURATION_ERROR),
    (MemoryError, ErrorType.INTERNAL_ERROR),
)
_NEVER_SENT = (ConnectionRefusedError, FileNotFoundError, PermissionError)


def error_type_of(exc: BaseException) -> ErrorType:
    if isinstance(exc, CarelineError):
        return exc.error_type
    for kind, error_type in _FOREIGN:
        if isinstance(exc, kind):
            return error_type
    return ErrorType.TOOL_EXECUTION_FAILED


def reason_of(exc: BaseException) -> str | None:
    return exc.reason if isinstance(exc, CarelineError) else None


def dependency_of(exc: BaseException) -> str | None:
    """Whose fault it is, where it is not the caller's and not ours."""
    if isinstance(exc, DependencyError | RateLimited):
        return exc.dependency
    return None


def can_be_put_off(exc: BaseException) -> bool:
    """Whether the same call may well succeed later, because the dependency was not able to do it now."""
    match exc:
        case DependencyError():
            return exc.may_retry
        case RateLimited():
            return exc.dependency is not None
        case OSError():
            return not isinstance(exc, FileNotFoundError | PermissionError)
        case _:
            return False


def is_refused_for_good(exc: BaseException) -> bool:
    """Whether no repeat helps: the dependency does not let us in, is not there, or does not want this."""
    match exc:
        case RateLimited():
            return False
        case DependencyRefusedUs() | DependencyRejectedInput() | ToolMisconfigured() | CallerError():
            return True
        case _:
            return False


def is_for_an_operator(exc: BaseException) -> bool:
    """Whether it works as soon as somebody has mended our settings, rights or keys at the dependency."""
    return isinstance(exc, DependencyRefusedUs | ToolMisconfigured)


def said_of(exc: BaseException) -> str:
    """For who works on the case: the type, and the dependency's own words where it has said any."""
    answer = exc.answer if isinstance(exc, DependencyRejectedInput) else None
    kind = error_type_of(exc).value
    return kind if answer is None else f"{kind}: {answer}"


def fate_is_unknown(exc: BaseException) -> bool:
    """
    Whether the effect may have taken place all the same. In doubt it may: a second effect cannot be taken
    back.
    """
    match exc:
        case DependencyError():
            return exc.may_have_happened
        case CarelineError():
            return False
        case _:
            return not isinstance(exc, _NEVER_SENT)


def context_of(
    exc: BaseException, *, tool: str, call: ToolCall, at: datetime, retry_count: int
) -> ErrorContext:
    """
    `message` names the class and our own words; foreign words may carry values, so the log gets them by
    traceback only.
    """
    details: dict[str, object] = {
        "error_class": type(exc).__name__,
        "turn_id": call.turn_id,
        "call_id": call.call_id,
    }
    if isinstance(exc, ValidationFailed):
        details["fields"] = [".".join(str(part) for part in field.loc[1:]) for field in exc.fields]
    if isinstance(exc, DuplicateFound):
        details["existing"] = exc.existing
    if isinstance(exc, CarelineError) and exc.retry_after is not None:
        details["retry_after"] = exc.retry_after
    return ErrorContext(
        error_type=error_type_of(exc),
        message=str(exc) if isinstance(exc, CarelineError) else type(exc).__name__,
        timestamp=at,
        customer_id=call.caller.customer_id,
        conversation_id=call.conversation_id,
        tool_name=tool,
        dependency=dependency_of(exc),
        reason=reason_of(exc),
        retry_count=retry_count,
        details=details,
    )
