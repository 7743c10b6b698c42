"""
Keep a loop running: a crash is logged and the loop begun again after a pause, cancellation ends it.
"""

from collections.abc import Awaitable, Callable

from core.clock import Clock
from core.telemetry.logging import get_logger

_PAUSE_SECONDS = 1.0

log = get_logger(__name__)


async def supervised(name: str, loop: Callable[[], Awaitable[None]], *, clock: Clock) -> None:
    while True:
        try:
            await loop()
            return
        except Exception as exc:  # the service outlives a loop that crashed
            log.error("worker.crashed", worker=name, error=type(exc).__name__, exc_info=exc)
        await clock.sleep(_PAUSE_SECONDS)
