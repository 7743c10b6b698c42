"""
Tool: hand the conversation to a person.

Only says so; the turn's commit moves the conversation.
"""

from typing import Annotated

import msgspec

from tools.protocol import ToolCall, ToolResult
from tools.questions import question
from tools.sentences import result_sentence


class HandoffArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[
        str,
        msgspec.Meta(
            min_length=1, max_length=500, description="Why a person is needed, for the person who takes over."
        ),
    ]


class HandoffIntent(msgspec.Struct, frozen=True):
    reason: str


class Handoff:
    name = "handoff"
    description = "Hand this conversation to a person of the support team. The agent is silent afterwards."
    arguments = HandoffArguments
    intent = HandoffIntent
    feature = "conversation"
    dependency: str | None = None
    needs_account = False
    has_effect = True
    asks_first = False
    is_repeatable = True

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        return question("handoff", locale)

    async def plan(self, arguments: HandoffArguments, call: ToolCall) -> HandoffIntent:
        return HandoffIntent(reason=arguments.reason)

    async def carry_out(self, intent: HandoffIntent, call: ToolCall) -> ToolResult:
        return self.unsure(intent, call)

    def put_off(self, intent: HandoffIntent, call: ToolCall) -> ToolResult | None:
        return None

    def unsure(self, intent: HandoffIntent, call: ToolCall) -> ToolResult:
        return ToolResult(
            value={"handed_over": True},
            summary=result_sentence("handed_over", call.locale),
            hands_over=True,
        )
