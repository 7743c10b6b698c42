"""
A recorded conversation, as Careline's own JSONL holds it (docs/api.md, "Log lines for replay").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec


class RecordedMessage(msgspec.Struct, frozen=True):
    role: Literal["customer", "agent", "operator", "tool"]
    text: str = ""
    at: str | None = None
    tool: str | None = None
    args: dict[str, Any] | None = None
    result: Any = None


class RecordedConversation(msgspec.Struct, frozen=True):
    id: str
    messages: tuple[RecordedMessage, ...]
    customer: str | None = None

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
                elif later.text:
                    answers.append(later.text)
            yield RecordedTurn(text=message.text, reply="\n".join(answers), tools=tuple(tools))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTurn:
    """`reply` is empty where the recording has no answer to this message."""

    text: str
    reply: str
    tools: tuple[str, ...]
