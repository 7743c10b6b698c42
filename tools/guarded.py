"""
Call a tool behind the guard of its dependency.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from core.resilience.guard import Guard
from tools.protocol import ToolCall, ToolTraits

T = TypeVar("T")


class GuardedTools:
    def __init__(self, guards: Mapping[str, Guard]) -> None:
        self._guards = dict(guards)

    def guard_of(self, dependency: str) -> Guard | None:
        return self._guards.get(dependency)

    async def run(
        self,
        tool: ToolTraits[Any],
        attempt: Callable[[], Awaitable[T]],
        call: ToolCall,
        *,
        may_repeat: bool,
        guard: str | None = None,
    ) -> T:
        if tool.dependency is None:
            return await attempt()
        chosen = self._guards.get(guard or tool.dependency, self._guards[tool.dependency])
        return await chosen.run(attempt, deadline=call.deadline, may_repeat=may_repeat)
