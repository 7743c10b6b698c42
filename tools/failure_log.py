"""
Tell operators of a tool call that failed or was refused. What the customer reads of it is said elsewhere.
"""

from core.clock import Clock
from core.errors import ErrorContext, ErrorType
from core.telemetry.logging import StructuredErrorLogger, get_logger
from tools.classify import context_of
from tools.protocol import ToolCall

_REFUSALS = frozenset({ErrorType.PERMISSION_DENIED, ErrorType.TOOL_NOT_FOUND})

_log = get_logger(__name__)


class FailureLog:
    def __init__(self, errors: StructuredErrorLogger, clock: Clock) -> None:
        self._errors = errors
        self._clock = clock

    def told(self, exc: Exception, tool: str, call: ToolCall, *, retries: int) -> ErrorContext:
        error = context_of(exc, tool=tool, call=call, at=self._clock.now(), retry_count=retries)
        self._errors.log_tool_error(error, exc=exc)
        if is_refusal(error):
            _log.warning(
                "tool.refused",
                tool=tool,
                call_id=call.call_id,
                conversation_id=call.conversation_id,
                customer_id=call.caller.customer_id,
                caller=call.caller.kind.value,
                error_type=error.error_type.value,
                reason=error.reason,
            )
        return error


def is_refusal(error: ErrorContext) -> bool:
    """We would not; nothing failed."""
    return error.dependency is None and error.error_type in _REFUSALS
