"""
Translate between the values of the model port and the JSON of OpenAI-compatible servers.

Reads what such servers really send: tool calls in pieces, content in parts, fields that are null, missing or
unknown. Knows nothing about HTTP.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from agent.models.base import ModelFinished, ModelMessage, ModelToolCall, ReplyShape, ToolSpec

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]

_REASONS: dict[str, FinishReason] = {
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}
"""Whatever else a server calls the end of an answer (`stop`, `eos`, `end_turn`…) is a plain stop."""

_MAX_ANSWER_CHARACTERS = 32_000
"""Text and tool arguments together; an answer beyond this is a model that does not stop."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCallPiece(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(msgspec.Struct):
    text: str | None = None


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCallPiece] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    """
    One event of a stream, or a whole answer that was not streamed. `error` set: the server failed in mid-
    answer.
    """

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: str | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(Chunk)
_LIST_DECODER = msgspec.json.Decoder(list[Chunk])


def read_chunk(data: str | bytes) -> Chunk | None:
    """
    None for what is not a chunk: servers and proxies put other lines into streams, too. Half a character becomes
    a mark, as a model that writes bytes may stop in the middle of one.
    """
    try:
        return _DECODER.decode(data)
    except UnicodeDecodeError:
        return read_chunk(data.decode(errors="replace")) if isinstance(data, bytes) else None
    except (msgspec.DecodeError, RecursionError):
        return None


def read_chunks(events: Sequence[bytes]) -> list[Chunk]:
    """What came together, decoded together, at half the cost; where that fails, those that are chunks one by one."""
    try:
        return _LIST_DECODER.decode(b"[%s]" % b",".join(events))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [chunk for said in events if (chunk := read_chunk(said)) is not None]


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _CalledFunction
    type: str = "function"


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | None
    tool_calls: list[_Call] = []
    tool_call_id: str | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    tools: msgspec.Raw | msgspec.UnsetType
    max_tokens: int | msgspec.UnsetType
    stream_options: Mapping[str, bool] | msgspec.UnsetType
    response_format: Mapping[str, Any] | msgspec.UnsetType
    stream: bool = True


_COUNTED: Mapping[str, bool] = {"include_usage": True}


class RequestWriter:
    """Writes requests for one model. Tools are mostly the same, so they are written once."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._encoder = msgspec.json.Encoder()
        self._tools: Sequence[ToolSpec] = ()
        self._written_tools = msgspec.Raw()

    def write(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
        counts_tokens: bool = True,
    ) -> bytes:
        if tools and tools is not self._tools:
            self._written_tools = msgspec.Raw(self._encoder.encode([_tool(tool) for tool in tools]))
            # Only what cannot change is known by its identity.
            self._tools = tools if isinstance(tools, tuple) else ()
        return self._encoder.encode(
            _Request(
                self._model,
                [_message(message) for message in messages],
                self._written_tools if tools else msgspec.UNSET,
                most_tokens if most_tokens is not None else msgspec.UNSET,
                _COUNTED if counts_tokens else msgspec.UNSET,
                _response_format(shape) if shape is not None else msgspec.UNSET,
            )
        )


def _response_format(shape: ReplyShape) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": shape.name, "strict": True, "schema": shape.schema},
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: ModelMessage) -> _Message:
    if not message.tool_calls:
        return _Message(message.role, message.content, tool_call_id=message.tool_call_id)
    calls = [_Call(call.id, _CalledFunction(call.name, call.arguments)) for call in message.tool_calls]
    return _Message(message.role, message.content or None, calls, message.tool_call_id)


class AnswerAssembler:
    """Puts one answer together from its chunks."""

    def __init__(self) -> None:
        self._calls: dict[int, _GrowingCall] = {}
        self._reason: str | None = None
        self._usage = _Usage()
        self._characters = 0
        self._is_refused = False

    def take(self, chunk: Chunk) -> str:
        """The text that this chunk adds, often empty."""
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        delta = choice.delta or choice.message or _Delta()
        for piece in delta.tool_calls or ():
            self._add(piece)
        self._reason = choice.finish_reason or self._reason
        self._is_refused = self._is_refused or bool(delta.refusal)
        text = _text(delta)
        self._characters += len(text)
        return text

    def take_all(self, chunks: Sequence[Chunk]) -> tuple[str, bool]:
        """The text of chunks that came together, and whether no error cuts it off."""
        texts: list[str] = []
        for chunk in chunks:
            if chunk.error is not None:
                return "".join(texts), False
            texts.append(self.take(chunk))
            if self.is_too_long:
                break
        return "".join(texts), True

    @property
    def has_ended(self) -> bool:
        return self._reason is not None or self.is_too_long

    def finished(self, model: str) -> ModelFinished:
        """
        The answer's last event. Tool calls win over the reason: servers say `stop` after calls, too. They also say it when the
        model refuses to answer, in a field besides the text.

        A call whose arguments were cut by a limit stays: its text is no JSON, and whoever runs tools says so
        to the model.
        """
        calls = tuple(call.whole(place) for place, call in sorted(self._calls.items()) if call.name)
        reason: FinishReason = "tool_calls" if calls else _REASONS.get(self._reason or "stop", "stop")
        if not calls and (reason == "tool_calls" or self.is_too_long):
            reason = "length" if self.is_too_long else "stop"
        if reason == "stop" and self._is_refused:
            reason = "content_filter"
        return ModelFinished(
            reason,
            calls,
            prompt_tokens=self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens,
            model=model,
        )

    @property
    def is_too_long(self) -> bool:
        """Longer than any answer should be: stop reading."""
        return self._characters > _MAX_ANSWER_CHARACTERS

    def _add(self, piece: _ToolCallPiece) -> None:
        call = self._calls.setdefault(self._place_of(piece), _GrowingCall())
        call.id = call.id or piece.id
        if piece.function is not None:
            self._characters += call.grow(piece.function)

    def _place_of(self, piece: _ToolCallPiece) -> int:
        """By index; servers that leave it out begin a call with its id and go on without."""
        if piece.index is not None:
            return piece.index
        for place, call in self._calls.items():
            if piece.id is not None and call.id == piece.id:
                return place
        latest = max(self._calls, default=-1)
        return latest + 1 if piece.id is not None or latest < 0 else latest


class _GrowingCall:
    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self._arguments: list[str] = []

    def grow(self, piece: _Function) -> int:
        """Returns by how many characters. A name that is sent again as a whole is no second piece."""
        if piece.name and piece.name != self.name:
            self.name += piece.name
        arguments = piece.arguments
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if arguments:
            self._arguments.append(arguments)
        return len(arguments or "")

    def whole(self, place: int) -> ModelToolCall:
        return ModelToolCall(self.id or f"call_{place}", self.name, "".join(self._arguments))


def _text(delta: _Delta) -> str:
    if isinstance(delta.content, list):
        return "".join(part.text or "" for part in delta.content)
    return delta.content or ""
