"""What makes the vectors: the packaged model, one in a folder, or a server that is asked for them."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from core.errors import CarelineError
from core.http import make_client
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.settings import Settings
from core.telemetry.logging import get_logger
from tools.knowledge.embed import OpenableEmbedder
from tools.knowledge.embed_endpoint import EndpointEmbedder
from tools.knowledge.embed_folder import local_embedder

log = get_logger(__name__)

_ANSWER_BYTES = 16 * 1024 * 1024
"""64 vectors of 8,192 numbers as text."""
_OF_A_BATCH = 10


async def make_embedder(
    settings: Settings, guards: Mapping[str, Guard], stack: AsyncExitStack, *, threads: int = 1
) -> OpenableEmbedder | None:
    """
    None where nothing can make vectors: the semantic extra is not installed.

    Raises:
        ToolMisconfigured, DependencyUnavailable: as `tools.knowledge.embed_folder.local_embedder`.
    """
    if settings.embedder_url is not None:
        key = settings.embedder_key.get_secret_value() if settings.embedder_key else None
        client = make_client(
            "vectors",
            base_url=settings.embedder_url,
            timeout_seconds=_OF_A_BATCH * settings.embedder_timeout_seconds,  # the guards are stricter
            connect_seconds=settings.connect_timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            answer_bytes=_ANSWER_BYTES,
        )
        return EndpointEmbedder(
            await stack.enter_async_context(client),
            guards["vectors"],
            guards["vectors.articles"],
            model=settings.embedder_model or "",
            dimension=settings.embedder_dimensions or 0,
            asks_for_dimension=settings.embedder_shortens,
        )
    return await asyncio.to_thread(local_embedder, settings.embedder_folder, threads=threads)


async def open_embedder(
    settings: Settings,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    stack: AsyncExitStack,
) -> OpenableEmbedder | None:
    """As `make_embedder`; there but broken is an outage that may end."""
    embedder = await make_embedder(settings, guards, stack)
    if embedder is not None and not await _open_or_warn(embedder):
        degradation.mark_down("vectors", "the embedding model could not be opened")
    return embedder


async def open_embedder_or_warn(
    settings: Settings, guards: Mapping[str, Guard], stack: AsyncExitStack, *, threads: int = 1
) -> OpenableEmbedder | None:
    """For commands, as `make_embedder`; one that is broken is told of, and what needs it goes by words."""
    embedder = await make_embedder(settings, guards, stack, threads=threads)
    if embedder is not None:
        await _open_or_warn(embedder)
    return embedder


async def _open_or_warn(embedder: OpenableEmbedder) -> bool:
    try:
        await embedder.open()
    except CarelineError as exc:
        log.warning("vectors.not_opened", error=str(exc))
        return False
    return True
