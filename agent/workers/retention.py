"""
Delete what has been kept long enough. What waits, and what a person must look at, is not touched however old it is.
"""

from collections.abc import Awaitable, Callable, Mapping

from core.clock import Clock
from core.errors import CarelineError
from core.telemetry.logging import get_logger

_EVERY_SECONDS = 3600.0

_log = get_logger(__name__)


class Retention:
    """
    `forget` deletes a handful of one kind and returns how many; by what they are called in the log. Any number may run at once:
    what one has deleted the other does not find.
    """

    def __init__(self, forget: Mapping[str, Callable[[], Awaitable[int]]], *, clock: Clock) -> None:
        self._forget = forget
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(_EVERY_SECONDS)

    async def run_once(self) -> None:
        for kind, forget in self._forget.items():
            try:
                forgotten = 0
                while some := await forget():
                    forgotten += some
            except CarelineError as exc:
                _log.debug("retention.waits", kind=kind, error=type(exc).__name__)
            else:
                if forgotten:
                    _log.info("retention.forgot", kind=kind, rows=forgotten)
