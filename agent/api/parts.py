"""
What the HTTP interface needs from the rest of the service; `agent.bootstrap` hands it over.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx

from agent.api.eventlog import EventLog
from agent.api.limits import RateLimits
from agent.control.plane import ControlPlane
from agent.control.providers import Providers
from agent.control.sources import ToolSources
from agent.turn.effects import ToolRunner
from agent.turn.inputs import Turns
from core.clock import Clock
from core.explanation import TurnExplanation
from core.records import Feedback, OutboxItem
from core.resilience.degradation import DependencyStatus
from core.settings import Settings
from core.telemetry.metrics import Metrics
from core.telemetry.recent import RecentEvents
from tools.registry import ToolSchema

CONTROL_PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTools:
    """Careline's own tools for MCP clients. `keep` writes down what a tool has promised, once per key."""

    runner: ToolRunner
    schemas: Callable[[], Sequence[ToolSchema]]
    keep: Callable[[OutboxItem], Awaitable[None]]


class Explained(Protocol):
    """Why turns were answered as they were. Both may raise DependencyUnavailable or DependencyTimeout."""

    async def of_turn(self, tenant: str, turn_id: str) -> TurnExplanation | None: ...


class FeedbackStore(Protocol):
    """What customers think of answers."""

    async def give(self, tenant: str, given: Feedback) -> None:
        """In the place of what the same one said of the same turn before."""
        ...

    async def of_turn(self, tenant: str, conversation_id: str, turn_id: str) -> Sequence[Feedback]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlParts:
    """What the control plane's routes need beside what all need."""

    plane: ControlPlane
    providers: Providers
    sources: ToolSources
    recent: RecentEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """
    `dependencies` tells every dependency's state by name, `can_serve` whether any turn can be answered and
    kept. `visitor_secret` (32 bytes or more) signs visitors' tokens: all replicas must share it; DependencyUnavailable until it
    is known.
    `identity_client` fetches `CARELINE_IDENTITY_JWKS_URL`; it is needed only where that is set.
    `tools` is needed only where they are served to MCP clients.
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
    explained: Explained
    feedback: FeedbackStore
    identity_client: httpx.AsyncClient | None = None
    tools: ServedTools | None = None
    control: ControlParts | None = None
