"""
Who comes between a guard and its dependency: in replays and drills, something that makes calls fail as the world does.

Below every rule of the guard, so that what is tried out is the real deadline, retry and breaker.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Interference(Protocol):
    async def through(self, dependency: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """
        What `attempt` gives, or what becomes of it on the way.

        Raises:
            CarelineError: as an adapter of the dependency would.
        """
        ...


def reached(
    interference: Interference | None, dependency: str, attempt: Callable[[], Awaitable[T]]
) -> Awaitable[T]:
    """`attempt`, through whoever comes between."""
    return attempt() if interference is None else interference.through(dependency, attempt)
