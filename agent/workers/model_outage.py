"""
Whether one deployed agent's model is known to be away: noted by the turn that met it, ended by a probe.

The settings' own models are watched by `core.resilience.degradation`, which knows its dependencies from the start; those of
deployed agents come and go.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from core.clock import Clock
from core.telemetry.logging import get_logger

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0

_log = get_logger(__name__)


class ModelOutage:
    """
    Implements `agent.brain.fallback.Outages` for a single model. `probe` raises while it does not work, and has `probe_seconds`;
    `came_back` is called then. `aclose` when the agent is served no more.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        came_back: Callable[[], object],
        probe_seconds: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._name = name
        self._probe = probe
        self._came_back = came_back
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._rng = rng
        self._recovering: asyncio.Task[None] | None = None

    def is_down(self, dependency: str) -> bool:
        return self._recovering is not None

    def mark_down(self, dependency: str, why: str = "") -> None:
        if self._recovering is None:
            _log.warning("agent_model.went_down", model=self._name, why=why)
            self._recovering = asyncio.create_task(self._recover())

    async def aclose(self) -> None:
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)

    async def _recover(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            await self._clock.sleep(self._rng.uniform(pause / 2, pause))
            try:
                async with asyncio.timeout(self._probe_seconds):
                    await self._probe()
            except Exception as exc:  # the loop must outlive every way in which a model can fail
                _log.debug("agent_model.still_down", model=self._name, error=type(exc).__name__)
                pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
                continue
            _log.info("agent_model.came_back", model=self._name)
            self._came_back()
            self._recovering = None
            return
