"""
Ask a model for a value in place of a text: the schema goes with the request, and what comes back is checked against the type.

A model that cannot be held to a schema by its server is told it in words; either way only a value of the type leaves here.
"""

from collections.abc import Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, TypeVar

import msgspec

from agent.models.base import (
    AnswerRestarted,
    ChatModel,
    ModelFinished,
    ModelMessage,
    ReplyShape,
    TextDelta,
)
from core.errors import ExternalApiFailed
from core.resilience.deadline import Deadline

T = TypeVar("T", bound=msgspec.Struct)

_IN_WORDS = "Answer with one JSON object of this schema and nothing else, no words before or after it:\n"
_NOT_IN_SHAPE = "That is not the JSON object that was asked for ({}). Answer with nothing but that object:\n"


@cache
def shape_of(kind: type[msgspec.Struct]) -> ReplyShape:
    """
    `kind` in the part of JSON Schema that servers enforce strictly: every field required, and none besides. So a field that may
    be empty has an empty value, not a default.

    Raises:
        TypeError: a field has a default, which no server would let the model leave out.
    """
    (_,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    parts = {name: _strict(name, part) for name, part in components.items()}
    root = parts.pop(kind.__name__)
    return ReplyShape(kind.__name__.strip("_"), {**root, "$defs": parts} if parts else root)


def _strict(name: str, part: dict[str, Any]) -> dict[str, Any]:
    fields = part.get("properties")
    if fields is None:
        return part
    if set(fields) != set(part.get("required", ())):
        raise TypeError(f"{name}: a reply's fields have no defaults")
    return {**part, "additionalProperties": False}


def told_in_words(messages: Sequence[ModelMessage], shape: ReplyShape) -> list[ModelMessage]:
    """The same request for who takes no schema: the rules, which come first, end with it."""
    words = _IN_WORDS + _written(shape)
    first, rest = (messages[0], messages[1:]) if messages else (ModelMessage(role="system"), ())
    if first.role != "system":
        return [ModelMessage(role="system", content=words), *messages]
    return [ModelMessage(role="system", content=f"{first.content}\n\n{words}".strip()), *rest]


async def structured_reply(
    model: ChatModel,
    messages: Sequence[ModelMessage],
    kind: type[T],
    *,
    deadline: Deadline,
    most_tokens: int | None = None,
) -> T:
    """
    What the model fills in. An answer in another shape is shown to it once, with what is wrong.

    Raises:
        RateLimited, DependencyError: the model failed; with `reason="not_in_shape"`, it wrote something else twice, refused, or
            was cut off.
    """
    shape = shape_of(kind)
    text, finished = await _whole(model, messages, shape, deadline, most_tokens)
    try:
        return msgspec.json.decode(_bare(text), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        if finished.reason != "stop" or not text:
            raise _not_in_shape() from exc
        told = _NOT_IN_SHAPE.format(exc) + _written(shape)
    again = [
        *messages,
        ModelMessage(role="assistant", content=text),
        ModelMessage(role="user", content=told),
    ]
    text, _ = await _whole(model, again, shape, deadline, most_tokens)
    try:
        return msgspec.json.decode(_bare(text), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise _not_in_shape() from exc


async def _whole(
    model: ChatModel,
    messages: Sequence[ModelMessage],
    shape: ReplyShape,
    deadline: Deadline,
    most_tokens: int | None,
) -> tuple[str, ModelFinished]:
    pieces: list[str] = []
    stream = model.stream(messages, (), deadline=deadline, most_tokens=most_tokens, shape=shape)
    async with aclosing(stream) as events:
        async for event in events:
            match event:
                case TextDelta(text):
                    pieces.append(text)
                case AnswerRestarted():
                    pieces.clear()
                case ModelFinished():
                    return "".join(pieces), event
    raise ExternalApiFailed("model", "model: the answer has no end", reason="cut_off")


def _bare(text: str) -> str:
    """Models that are told in words like to put JSON between fences."""
    text = text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```").removeprefix("json").removesuffix("```")
    return text


def _written(shape: ReplyShape) -> str:
    return msgspec.json.encode(shape.schema).decode()


def _not_in_shape() -> ExternalApiFailed:
    return ExternalApiFailed("model", "model: the answer is not in its shape", reason="not_in_shape")
