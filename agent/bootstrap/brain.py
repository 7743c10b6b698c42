"""The brains of an installation: the one that the settings ask for, with its model, and what deployed agents are made of."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from agent.bootstrap.intents import open_intents
from agent.brain.base import Brain
from agent.brain.budget import BudgetPolicy, Price
from agent.brain.embedded import EmbeddedBrain
from agent.brain.fallback import FallbackBrain, Outages
from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.toolfacts import facts_of
from agent.brain.llm import LlmBrain
from agent.brain.meaning import Meaning
from agent.brain.remembering import Remembering, WindowPolicy
from agent.models.base import ChatModel, ToolSpec
from agent.models.chain import ChainedModels
from agent.models.library import LibraryModel
from agent.models.openai import OpenAiModel
from agent.models.recorded import RecordingModel
from core.clock import Clock
from core.errors import CarelineError
from core.http import make_model_client
from core.model_settings import ChosenModel
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.settings import Settings
from tools.knowledge.embed import Embedder
from tools.registry import ToolRegistry


class _ToldTools:
    """What models are told of the tools, anew each time: outside servers change theirs."""

    def __init__(self, registry: ToolRegistry) -> None:
        self._registry = registry

    def __iter__(self) -> Iterator[ToolSpec]:
        for each in self._registry.schemas():
            yield ToolSpec(each.name, each.description, each.parameters, each.has_effect)


class Brains:
    """
    Makes brains that share one installation's dialogues, intents and embedder.

    Raises:
        FlowsUnusable: the folder that CARELINE_FLOWS names cannot be used.
        ToolMisconfigured: the file that CARELINE_INTENTS names cannot be served.
    """

    def __init__(
        self, settings: Settings, registry: ToolRegistry, *, embedder: Embedder | None, clock: Clock
    ) -> None:
        self._settings = settings
        self._embedder = embedder
        self._clock = clock
        self._flows = FlowLibrary.load(
            settings.flows, tools=facts_of(registry), has_own_intents=settings.intents is not None
        )
        self._intents = open_intents(settings, embedder, flows=self._flows, registry=registry)

    def embedded(self, tools: Collection[str] | None = None) -> EmbeddedBrain:
        """`tools` are the names of those that it may use; None: all."""
        return EmbeddedBrain(
            company=self._settings.company_name,
            contact=self._settings.contact_address,
            flows=self._flows if tools is None else self._flows.only_with(tools),
            intents=self._intents,
        )

    def with_model(
        self,
        model: ChatModel,
        *,
        behind: EmbeddedBrain,
        registry: ToolRegistry,
        settings: Settings,
        outages: Outages,
        instructions: str | None = None,
    ) -> Brain:
        """`behind` answers when the model fails; `settings` say what a turn may spend, and whether answers are recorded."""
        if settings.recorded_days:
            model = RecordingModel(model)
        llm = LlmBrain(
            model,
            tools=_ToldTools(registry) if registry.has_changing_tools else tuple(_ToldTools(registry)),
            company_name=settings.company_name,
            contact_address=settings.contact_address,
            budget=_budget(settings),
            meaning=Meaning(self._embedder) if self._embedder is not None else None,
            memory=Remembering(model, _window(settings), clock=self._clock),
            instructions=instructions,
        )
        return FallbackBrain(llm, behind, outages=outages, clock=self._clock)


async def open_brain(
    settings: Settings,
    brains: Brains,
    registry: ToolRegistry,
    *,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    clock: Clock,
    stack: AsyncExitStack,
    replacement: Callable[[Guard, Clock], ChatModel] | None = None,
) -> Brain:
    """The settings' own. `replacement` makes what answers in place of the configured models."""
    embedded = brains.embedded()
    if not settings.has_model and replacement is None:
        return embedded
    model = (
        replacement(guards["model"], clock)
        if replacement is not None
        else await _open_models(settings, guards=guards, degradation=degradation, clock=clock, stack=stack)
    )
    return brains.with_model(
        model, behind=embedded, registry=registry, settings=settings, outages=degradation
    )


async def _open_models(
    settings: Settings,
    *,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    clock: Clock,
    stack: AsyncExitStack,
) -> ChatModel:
    """The one model, or the chain of them, each behind its own guard."""

    models = [
        await _open_model(settings, each, guards[each.guard], clock, stack) for each in settings.chosen_models
    ]
    if len(models) == 1:
        degradation.watch(guards["model"])
        degradation.add_probe("model", models[0].probe)
        return models[0]
    # No single breaker says that the model is down: the chain's failure does, and that none of them can be reached.
    degradation.add_probe("model", lambda: _any_answers(models))
    return ChainedModels(models, clock=clock)


async def _open_model(
    settings: Settings, chosen: ChosenModel, guard: Guard, clock: Clock, stack: AsyncExitStack
) -> OpenAiModel | LibraryModel:
    if chosen.url is None:
        return LibraryModel(
            chosen.model,
            guard=guard,
            clock=clock,
            silence_seconds=settings.model_timeout_seconds,
            first_token_seconds=settings.first_token_seconds,
        )
    key = chosen.key.get_secret_value() if chosen.key is not None else None
    return await open_compatible_model(
        settings, chosen.model, url=chosen.url, key=key, guard=guard, clock=clock, stack=stack
    )


async def open_compatible_model(
    settings: Settings,
    name: str,
    *,
    url: str,
    key: str | None,
    guard: Guard,
    clock: Clock,
    stack: AsyncExitStack,
) -> OpenAiModel:
    """The model of that name on a server that speaks OpenAI's API, with a client of its own."""
    client = await stack.enter_async_context(
        make_model_client(
            guard.name,
            base_url=url,
            timeout_seconds=max(settings.model_timeout_seconds, settings.first_token_seconds),
            connect_seconds=settings.connect_timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            answer_bytes=settings.model_answer_bytes,
        )
    )
    return OpenAiModel(
        client,
        model=name,
        guard=guard,
        clock=clock,
        silence_seconds=settings.model_timeout_seconds,
        first_token_seconds=settings.first_token_seconds,
    )


async def _any_answers(models: Sequence[OpenAiModel | LibraryModel]) -> None:
    """
    Raises:
        CarelineError: none of them is there; the last one's reason.
    """
    for model in models[:-1]:
        with suppress(CarelineError):
            return await model.probe()
    return await models[-1].probe()


def _window(settings: Settings) -> WindowPolicy:
    """Some messages less than are read from the record, so that none is gone before it is summed up."""
    return WindowPolicy(
        messages=max(2, settings.history_messages * 7 // 10), tokens=settings.model_window_tokens
    )


def _budget(settings: Settings) -> BudgetPolicy:
    first = Price(settings.model_input_price, settings.model_output_price)
    further = {each.model: Price(each.input_price, each.output_price) for each in settings.further_models}
    return BudgetPolicy(
        answers=settings.turn_model_answers,
        calls=settings.turn_tool_calls,
        tokens=settings.turn_tokens,
        cost=settings.turn_cost,
        prices={**further, settings.model or "default": first},
    )
