"""
What every way into a database has in common: work in one transaction, and how far an attempt at it has come.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from core.errors import DependencyTimeout
from state.sql.connection import Connection

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class Attempt:
    """One transaction. `is_given_up` when nobody waits for it any more; `is_committing` once only the COMMIT is left."""

    __slots__ = ("is_committing", "is_given_up", "is_write")

    def __init__(self, *, is_write: bool) -> None:
        self.is_write = is_write
        self.is_given_up = False
        self.is_committing = False

    def begin_commit(self) -> None:
        """Raises DependencyTimeout, which nobody hears, where it has been given up."""
        if self.is_given_up:
            raise DependencyTimeout("sql", "nobody waits for this transaction any more")
        self.is_committing = self.is_write


class Lane(Protocol):
    async def transaction(self, work: Work[T], attempt: Attempt, *, timeout_seconds: float) -> T:
        """
        Raises:
            TimeoutError: it is given up, and what it may still write is rolled back unless the COMMIT is on its way.
            SQLAlchemyError, OSError: as they come.
        """
        ...

    async def close(self) -> None: ...
