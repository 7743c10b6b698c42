"""The control plane, with what it needs of the service."""

from collections.abc import Sequence

from agent.api.parts import ControlParts
from agent.control.plane import ControlPlane
from agent.control.providers import Providers
from agent.control.sealing import Sealing
from agent.control.sources import ToolSources
from agent.models.base import ToolSpec
from core.clock import Clock
from core.settings import Settings
from core.telemetry.recent import recent_events
from state.opening import OpenState
from tools.registry import ToolRegistry


def make_sealing(settings: Settings) -> Sealing:
    """Raises ToolMisconfigured: the key that seals secrets is no key."""
    key = settings.control_key
    return Sealing(key.get_secret_value()) if key is not None else Sealing.from_folder(settings.data_dir)


def control_parts(
    settings: Settings, records: OpenState, own_tools: ToolRegistry, *, sealing: Sealing, clock: Clock
) -> ControlParts:
    async def careline() -> Sequence[ToolSpec]:
        return [ToolSpec(each.name, each.description, each.parameters) for each in own_tools.schemas()]

    return ControlParts(
        plane=ControlPlane(records.control, sealing=sealing, clock=clock),
        providers=Providers(
            sealing,
            timeout_seconds=settings.model_timeout_seconds,
            connect_seconds=settings.connect_timeout_seconds,
        ),
        sources=ToolSources({"careline": careline}),
        recent=recent_events(),
    )
