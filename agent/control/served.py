"""
What is served in one environment, as last read: held in memory, and in a file for a start while SQL is away.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.control.ports import ControlRows, ControlStore
from core.control_records import Deployment, DeploymentStatus, ModelProvider
from core.telemetry.logging import get_logger
from core.whole_files import written_whole

_FILE = "deployments.json"

_log = get_logger(__name__)


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's active deployments, newest first, with the providers that they name. Secrets stay sealed."""

    version: int
    deployments: tuple[Deployment, ...] = ()
    providers: tuple[ModelProvider, ...] = ()

    def provider_of(self, deployment: Deployment) -> ModelProvider | None:
        return next((each for each in self.providers if each.id == deployment.model_provider_id), None)


async def read_served(store: ControlStore, tenant: str, environment: str, *, version: int) -> Served:
    """`version` is the plane's, as it was read before."""

    async def work(rows: ControlRows) -> Served:
        active = {"environment": environment, "status": DeploymentStatus.ACTIVE}
        deployments = await rows.find(Deployment, active)
        named = dict.fromkeys(each.model_provider_id for each in deployments)
        providers = [await rows.get(ModelProvider, id) for id in named if id is not None]
        return Served(
            version=version,
            deployments=tuple(deployments),
            providers=tuple(each for each in providers if each is not None),
        )

    return await store.read(tenant, work)


class _Kept(msgspec.Struct, frozen=True):
    environment: str
    tenants: dict[str, Served]


class LastKnown:
    """A file in the data folder, which only its owner may read: prompts are the company's own."""

    def __init__(self, folder: Path, *, environment: str) -> None:
        self._path = folder / _FILE
        self._environment = environment

    def read(self) -> Mapping[str, Served]:
        """Empty where nothing was kept, or nothing that can be read."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("deployments.file_unreadable", error=str(exc))
            return {}
        return kept.tenants if kept.environment == self._environment else {}

    def write(self, tenants: Mapping[str, Served]) -> None:
        """All at once: a reader finds the old or the new. What fails is logged: SQL knows it all."""
        try:
            with written_whole(self._path) as file:
                file.write(msgspec.json.encode(_Kept(self._environment, dict(tenants))))
        except OSError as exc:
            _log.warning("deployments.file_not_written", error=str(exc))
