"""
Several models as one: the next is asked when one fails.

Each model keeps its own guard, so one whose breaker is open costs nothing; what happens after the last one is
the brain's affair.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from agent.models.base import (
    AnswerRestarted,
    ChatModel,
    ModelEvent,
    ModelMessage,
    ReplyShape,
    TextDelta,
    ToolSpec,
)
from core.clock import Clock
from core.errors import DependencyError, RateLimited
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger

log = get_logger(__name__)


class ChainedModels:
    """
    At least one model; each gets an equal share of the time that those before it left. One that asks for patience (429 with
    Retry-After) is passed over for so long, unless all of them do.
    """

    def __init__(self, models: Sequence[ChatModel], *, clock: Clock) -> None:
        if not models:
            raise ValueError("a chain needs at least one model")
        self._models = tuple(models)
        self._clock = clock
        self._rests_until: dict[int, float] = {}
        self.name = self._models[0].name

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        now = self._clock.monotonic()
        asked = [place for place in range(len(self._models)) if self._rests_until.get(place, now) <= now]
        asked = asked or list(range(len(self._models)))
        for turn, place in enumerate(asked):
            model = self._models[place]
            models_left = len(asked) - turn
            share = Deadline(self._clock, deadline.remaining() / models_left)
            has_spoken = False
            try:
                async with aclosing(
                    model.stream(messages, tools, deadline=share, most_tokens=most_tokens, shape=shape)
                ) as events:
                    async for event in events:
                        has_spoken = has_spoken or isinstance(event, TextDelta)
                        yield event
                return
            except (DependencyError, RateLimited) as exc:
                if isinstance(exc, RateLimited) and exc.retry_after is not None:
                    self._rests_until[place] = self._clock.monotonic() + exc.retry_after
                if models_left == 1:
                    raise
                log.warning("model.next_in_chain", model=model.name, error_type=exc.error_type)
            if has_spoken:
                yield AnswerRestarted()
