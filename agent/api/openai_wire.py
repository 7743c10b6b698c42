"""
The bodies of OpenAI's chat completions, as far as they are read and written here.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from agent.api.bodies import storable_object
from agent.api.wire import Id, MessageText
from core.messages import Usage

MODEL = "careline"


class TextPart(BaseModel):
    model_config = {"extra": "ignore", "strict": True, "frozen": True}

    type: Literal["text"] = Field(description="Nothing but text is read.")
    text: str


class SpokenMessage(BaseModel):
    model_config = {"extra": "ignore", "strict": True, "frozen": True}

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None


class StreamOptions(BaseModel):
    model_config = {"extra": "ignore", "strict": True, "frozen": True}

    include_usage: bool | None = False


def _one_choice(number: int | None) -> int | None:
    if number not in (None, 1):
        raise PydanticCustomError("one_choice", "There is one answer to each message")
    return number


class CompletionBody(BaseModel):
    """What else such clients send (`temperature`, `tools`, …) is passed over: how an answer is made is not theirs to say."""

    model_config = {"extra": "ignore", "strict": True, "frozen": True}

    model: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        MODEL, description="Any name; it comes back with the answer."
    )
    messages: list[SpokenMessage] = Field(
        min_length=1,
        max_length=2000,
        description="The last one is the customer's message; its role must be `user`.",
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = Field(
        None, description="`include_usage`: the last chunk of a stream says what the answer took."
    )
    user: Id | None = Field(
        None, description="The customer: only for trusted servers and in local mode, as `customer_id` is."
    )
    metadata: Annotated[dict[str, Any], AfterValidator(storable_object)] | None = Field(
        None, description="`conversation_id` continues a conversation; the rest is stored with the message."
    )
    n: Annotated[int, AfterValidator(_one_choice)] | None = None


def written_usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class News(BaseModel):
    """The part of a request that becomes a message of ours."""

    model_config = {"strict": True, "frozen": True}

    message: MessageText
    conversation_id: Id | None = None


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
SCHEMAS: dict[str, Any] = {
    "ChatCompletion": {
        "type": "object",
        "description": "`metadata` names the conversation, to be continued with it, and the turn.",
        "properties": {
            "id": _TEXT,
            "object": {"const": "chat.completion"},
            "created": _NUMBER,
            "model": _TEXT,
            "metadata": {
                "type": "object",
                "properties": {"conversation_id": _TEXT, "turn_id": _TEXT},
                "required": ["conversation_id", "turn_id"],
            },
            "choices": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "usage": {
                "type": "object",
                "description": "Tokens that language models read and wrote for the answer, as their servers counted them: 0 "
                "where none was asked. Left out where it is not known.",
                "properties": {
                    "prompt_tokens": _NUMBER,
                    "completion_tokens": _NUMBER,
                    "total_tokens": _NUMBER,
                },
                "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
            },
        },
        "required": ["id", "object", "created", "model", "metadata", "choices"],
    },
    "ModelList": {
        "type": "object",
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": {"type": "object"}}},
        "required": ["object", "data"],
    },
    "OpenAiError": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": _TEXT,
                    "type": _TEXT,
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
}
"""Of what is sent. Such clients know the rest from OpenAI's own description."""
