"""
A model that plays a script, for tests of whatever talks to models.
"""

from collections.abc import AsyncGenerator, Sequence

from agent.models.base import (
    ModelEvent,
    ModelFinished,
    ModelMessage,
    ModelToolCall,
    ReplyShape,
    TextDelta,
    ToolSpec,
)
from core.errors import CarelineError
from core.resilience.deadline import Deadline

Line = ModelEvent | CarelineError
"""What happens next in an answer; an error is raised."""


def says(text: str, *, piece: int = 7) -> tuple[Line, ...]:
    """
    A whole answer, in deltas of `piece` characters, so that words and markers are cut as real streams cut
    them.
    """
    deltas = tuple(TextDelta(text[start : start + piece]) for start in range(0, len(text), piece))
    return (*deltas, ModelFinished("stop"))


def calls(*wanted: tuple[str, str]) -> tuple[Line, ...]:
    """An answer that asks for tools: pairs of name and raw arguments."""
    tool_calls = tuple(
        ModelToolCall(f"call_{n}", name, arguments) for n, (name, arguments) in enumerate(wanted)
    )
    return (ModelFinished("tool_calls", tool_calls),)


class ScriptedModel:
    """Plays one answer per request, the last one for ever; what it was asked is kept beside it."""

    def __init__(self, *answers: Sequence[Line], name: str = "scripted") -> None:
        self.name = name
        self._answers = answers
        self.seen: list[tuple[ModelMessage, ...]] = []
        self.offered: list[tuple[str, ...]] = []
        self.most_tokens: list[int | None] = []
        self.shapes: list[ReplyShape | None] = []

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        answer = self._answers[min(len(self.seen), len(self._answers) - 1)]
        self.seen.append(tuple(messages))
        self.most_tokens.append(most_tokens)
        self.shapes.append(shape)
        self.offered.append(tuple(tool.name for tool in tools))
        for line in answer:
            if isinstance(line, CarelineError):
                raise line
            yield line
