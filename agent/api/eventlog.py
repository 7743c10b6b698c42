"""
What the HTTP interface asks of a log.
"""

from typing import Any, Protocol


class EventLog(Protocol):
    """The part of a structlog logger that is used here."""

    def info(self, event: str, **facts: Any) -> Any: ...

    def warning(self, event: str, **facts: Any) -> Any: ...

    def error(self, event: str, **facts: Any) -> Any: ...
