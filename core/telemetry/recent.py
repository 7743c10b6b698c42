"""
The newest events of this process, as they were logged, for those who look at the service and not at its log.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

_LEVELS = ("debug", "info", "warning", "error")


class RecentEvents:
    """What is added is redacted already."""

    def __init__(self, most: int = 1000) -> None:
        self._events: deque[Mapping[str, Any]] = deque(maxlen=most)

    def add(self, event: Mapping[str, Any]) -> None:
        self._events.append(event)

    def clear(self) -> None:
        self._events.clear()

    def newest(
        self, *, limit: int, level: str | None = None, deployment_id: str | None = None
    ) -> Sequence[dict[str, Any]]:
        """Newest first; those of this level or a graver one."""
        least = _LEVELS.index(level) if level in _LEVELS else 0
        found: list[dict[str, Any]] = []
        for event in reversed(self._events):
            is_grave = _grade(event) >= least
            if is_grave and (deployment_id is None or event.get("deployment_id") == deployment_id):
                found.append(dict(event))
            if len(found) == limit:
                break
        return found


@cache
def recent_events() -> RecentEvents:
    """This process's: `core.telemetry.logging` adds to them whatever it writes."""
    return RecentEvents()


def _grade(event: Mapping[str, Any]) -> int:
    level = event.get("level")
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)
