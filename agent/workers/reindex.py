"""
Keep this replica's local index as new as the articles in SQL, for every tenant that has some.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from core.clock import Clock
from core.errors import CarelineError

_EVERY_SECONDS = 2.0


class Shelf(Protocol):
    async def tenants(self) -> Sequence[str]:
        """Those that have, or had, articles."""
        ...


class Reindexing:
    """`tenants` get an index even before their first article: an empty one, which finds nothing. Others join the set."""

    def __init__(
        self,
        shelf: Shelf,
        refresh: Callable[[Iterable[str]], Awaitable[None]],
        *,
        tenants: set[str],
        clock: Clock,
    ) -> None:
        self._shelf = shelf
        self._refresh = refresh
        self._tenants = tenants
        self._clock = clock

    async def run_once(self) -> None:
        """With SQL down, for the tenants that are known already: damaged files are noticed all the same."""
        with suppress(CarelineError):
            self._tenants.update(await self._shelf.tenants())
        await self._refresh(sorted(self._tenants))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(_EVERY_SECONDS)
