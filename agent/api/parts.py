"""
What the HTTP interface needs from the rest of the service; `agent.bootstrap` hands it over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from agent.api.eventlog import EventLog
from agent.api.limits import RateLimits
from agent.turn.inputs import Turns
from core.clock import Clock
from core.resilience.degradation import DependencyStatus
from core.settings import Settings
from core.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """
    `dependencies` tells every dependency's state by name, `can_serve` whether any turn can be answered and
    kept. `visitor_secret` (32 bytes or more) signs visitors' tokens: all replicas must share it; DependencyUnavailable until it
    is known.
    `identity_client` fetches `CARELINE_IDENTITY_JWKS_URL`; it is needed only where that is set.
    """

    settings: Settings
    turns: Turns
    dependencies: Callable[[], Mapping[str, DependencyStatus]]
    can_serve: Callable[[], bool]
    limits: RateLimits
    metrics: Metrics
    clock: Clock
    visitor_secret: Callable[[], bytes]
    log: EventLog
    identity_client: httpx.AsyncClient | None = None
