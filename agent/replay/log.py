"""
A recorded conversation, as Careline's own JSONL holds it (docs/api.md, "Log lines for replay").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

_ANSWERING = frozenset({"agent", "operator"})


class RecordedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    `at` is ISO 8601. A `tool` message is a call: `args`, `result` (with the retrieved articles, where it was a search), `status`
    and `error_type` as the turn's action had them. A `model` message is one call of a language model: `prompt` are the messages
    that it was sent, `completion` is what it gave (`text`, `tool_calls`).
    """

    role: Literal["customer", "agent", "operator", "system", "tool", "model"]
    text: str = ""
    at: str | None = None
    tool: str | None = None
    args: dict[str, Any] | None = None
    result: Any = None
    status: str | None = None
    error_type: str | None = None
    citations: tuple[str, ...] = ()
    model: str | None = None
    prompt: tuple[dict[str, Any], ...] = ()
    completion: dict[str, Any] | None = None


class RecordedConversation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`versions` names what answered: `careline`, and where there was one `definition`, `model`, `index`."""

    id: str
    messages: tuple[RecordedMessage, ...]
    customer: str | None = None
    locale: str | None = None
    channel: str | None = None
    versions: dict[str, str] = {}

    def turns(self) -> Iterator["RecordedTurn"]:
        """Each customer message with what the recording answered before the customer spoke again."""
        for position, message in enumerate(self.messages):
            if message.role != "customer":
                continue
            answers = []
            tools = []
            for later in self.messages[position + 1 :]:
                if later.role == "customer":
                    break
                if later.role == "tool" and later.tool:
                    tools.append(later.tool)
                elif later.text and later.role in _ANSWERING:
                    answers.append(later.text)
            yield RecordedTurn(text=message.text, reply="\n".join(answers), tools=tuple(tools))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTurn:
    """`reply` is empty where the recording has no answer to this message."""

    text: str
    reply: str
    tools: tuple[str, ...]
