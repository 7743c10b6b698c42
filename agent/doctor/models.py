"""
The language models that the settings name: whether each server is there and lets us in. No model is asked anything.
"""

import random
from collections.abc import Mapping
from functools import partial

from pydantic import SecretStr

from agent.doctor.findings import Check, Finding, broken, in_thread, ok, warn
from agent.models.library import LibraryModel
from agent.models.openai import OpenAiModel
from core.clock import SystemClock
from core.errors import CarelineError, DependencyRefusedUs
from core.http import make_model_client
from core.resilience.guard import Guard, GuardPolicy
from core.settings import Settings

_REACH_SECONDS = 1.5


def model_checks(settings: Settings) -> Mapping[str, Check]:
    """The first model, and those that are asked when it fails, by the names of their guards."""
    checks: dict[str, Check] = {"model": _without}
    if settings.model_library == "pydantic-ai":
        checks["model"] = partial(_check_library, "model", settings.model or "")
    elif settings.model_url is not None:
        checks["model"] = partial(
            _check_server, "model", settings.model_url, settings.model_key, setting="CARELINE_MODEL_{}"
        )
    for name, further in zip(settings.further_model_names, settings.further_models, strict=True):
        if further.library == "pydantic-ai":
            checks[name] = partial(_check_library, name, further.model)
        elif further.url is not None or further.key is not None:  # else it is the first one's server
            checks[name] = partial(
                _check_server,
                name,
                further.url or settings.model_url or "",
                further.key,
                setting=f"the {{}} of {further.model} in CARELINE_FURTHER_MODELS",
            )
    return checks


async def _without() -> Finding:
    return ok("model", "not set up: the built-in brain answers")


async def _check_server(name: str, url: str, key: SecretStr | None, *, setting: str) -> Finding:
    """`setting` has a place for `URL` or `KEY`."""
    clock = SystemClock()
    try:
        async with make_model_client(
            name,
            base_url=url,
            timeout_seconds=_REACH_SECONDS,
            connect_seconds=_REACH_SECONDS,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else None,
        ) as client:
            model = OpenAiModel(
                client,
                model="default",
                guard=Guard(name, GuardPolicy(), clock=clock, rng=random.Random()),
                clock=clock,
                silence_seconds=_REACH_SECONDS,
                first_token_seconds=_REACH_SECONDS,
            )
            lists_models = await model.lists_models()
    except DependencyRefusedUs as exc:
        return broken(name, str(exc), f"Check {setting.format('KEY')}: the server is there and refuses it.")
    except CarelineError as exc:
        return broken(
            name,
            str(exc),
            f"Start the model server, or correct {setting.format('URL')} (with /v1 where it has that). Until then the next "
            "model or the built-in brain answers.",
        )
    if not lists_models:
        return warn(
            name,
            f"something answers at {url}, without a list of models",
            f"Where the server has /v1 in its addresses, {setting.format('URL')} must end with it, once. A server that has no "
            "such list may be well: ask a question to see.",
        )
    return ok(name, "reached")


async def _check_library(name: str, model: str) -> Finding:
    """Providers have no question that costs nothing."""
    clock = SystemClock()
    try:
        await in_thread(
            lambda: LibraryModel(
                model,
                guard=Guard(name, GuardPolicy(), clock=clock, rng=random.Random()),
                clock=clock,
                silence_seconds=_REACH_SECONDS,
                first_token_seconds=_REACH_SECONDS,
            )
        )
    except CarelineError as exc:
        return broken(name, str(exc), "Install the extra `pydantic-ai`, or correct the name of the model.")
    return ok(name, f"{model} over pydantic-ai, which is not asked here")
