"""
Whether a model provider answers, and which models it has: asked of any OpenAI-compatible server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.control.sealing import Sealing
from core.control_records import ModelProvider
from core.errors import CarelineError, ExternalApiFailed, ToolMisconfigured
from core.http import make_client, raise_for_answer, translate

DEPENDENCY = "model"
_ANSWER_BYTES = 4 * 1024 * 1024
_KEY_NAMES = ("api_key", "key", "token")


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


@dataclass(frozen=True, slots=True)
class Verification:
    """`message` says, for people, what was found or what to do."""

    is_ok: bool
    message: str


class Providers:
    def __init__(self, sealing: Sealing, *, timeout_seconds: float, connect_seconds: float) -> None:
        self._sealing = sealing
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = connect_seconds

    async def verify(self, provider: ModelProvider) -> Verification:
        """Never raises for a provider that fails."""
        try:
            models = await self.models(provider)
        except CarelineError as exc:
            return Verification(False, str(exc))
        return Verification(True, f"{len(models)} models")

    async def models(self, provider: ModelProvider) -> Sequence[str]:
        """
        Raises:
            ToolMisconfigured: it has no address, or its secret cannot be opened.
            DependencyError: it does not answer, refuses us, or answers something else.
        """
        if provider.api_base_url is None:
            raise ToolMisconfigured(f"the model provider {provider.name} has no api_base_url")
        key = key_of(self._sealing.opened(provider.config))
        client = make_client(
            DEPENDENCY,
            base_url=provider.api_base_url,
            timeout_seconds=self._timeout_seconds,
            connect_seconds=self._connect_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            answer_bytes=_ANSWER_BYTES,
        )
        async with client:
            try:
                response = await client.get("models")
                raise_for_answer(DEPENDENCY, response)
                return [model.id for model in msgspec.json.decode(response.content, type=_Models).data]
            except msgspec.DecodeError as exc:
                raise ExternalApiFailed(
                    DEPENDENCY, f"{DEPENDENCY}: no list of models at {provider.api_base_url}/models"
                ) from exc
            except CarelineError:
                raise
            except Exception as exc:  # whatever the transport raises, in our words
                raise translate(DEPENDENCY, exc) from exc


def key_of(config: dict[str, Any]) -> str | None:
    """The provider's key, of opened settings."""
    return next((str(config[name]) for name in _KEY_NAMES if config.get(name)), None)
