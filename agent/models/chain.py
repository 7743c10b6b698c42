"""
Several models as one: the next is asked when one fails.

Each model keeps its own guard, so one whose breaker is open costs nothing; what happens after the last one is
the brain's affair.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from agent.models.base import AnswerRestarted, ChatModel, ModelEvent, ModelMessage, TextDelta, ToolSpec
from core.clock import Clock
from core.errors import DependencyError, RateLimited
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger

log = get_logger(__name__)


class ChainedModels:
    """At least one model; each gets an equal share of the time that those before it left."""

    def __init__(self, models: Sequence[ChatModel], *, clock: Clock) -> None:
        if not models:
            raise ValueError("a chain needs at least one model")
        self._models = tuple(models)
        self._clock = clock
        self.name = self._models[0].name

    async def stream(
        self, messages: Sequence[ModelMessage], tools: Sequence[ToolSpec], *, deadline: Deadline
    ) -> AsyncGenerator[ModelEvent, None]:
        for place, model in enumerate(self._models):
            models_left = len(self._models) - place
            share = Deadline(self._clock, deadline.remaining() / models_left)
            has_spoken = False
            try:
                async with aclosing(model.stream(messages, tools, deadline=share)) as events:
                    async for event in events:
                        has_spoken = has_spoken or isinstance(event, TextDelta)
                        yield event
                return
            except (DependencyError, RateLimited) as exc:
                if models_left == 1:
                    raise
                log.warning("model.next_in_chain", model=model.name, error_type=exc.error_type)
            if has_spoken:
                yield AnswerRestarted()
