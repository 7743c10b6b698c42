"""
What a tool was asked and answered, noted for a turn's recording, in the words of a log line's message.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.explanation import record
from tools.protocol import ToolOutcome


def record_call(arguments: Mapping[str, Any], outcome: ToolOutcome) -> None:
    action = outcome.action
    result = dict(outcome.value)
    for name in ("receipt", "reference"):
        if (value := getattr(action, name)) is not None:
            result.setdefault(name, value)
    if outcome.passages:
        result["passages"] = msgspec.to_builtins(outcome.passages)
    record(
        "tool",
        text=action.summary,
        tool=action.tool,
        args=dict(arguments),
        result=result,
        status=action.status.value,
        error_type=action.error_type,
    )
