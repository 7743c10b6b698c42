"""
Answer with a language model that calls tools; what it writes leaves only as far as it is grounded.

Which model, over which wire, is `agent.models`' affair; what happens when it fails is
`agent.brain.fallback`'s.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.grounded_reply import GroundedReply
from agent.brain.grounding import Grounds
from agent.brain.phrases import phrases_for
from agent.brain.prompts import conversation, system_prompt, tool_not_called, tool_result
from agent.brain.session import Offer
from agent.models.base import (
    AnswerRestarted,
    ChatModel,
    ModelFinished,
    ModelMessage,
    ModelToolCall,
    TextDelta,
    ToolSpec,
)
from core.errors import ErrorType, ExternalApiFailed
from core.messages import ActionStatus, BrainName, MessageRole, TurnStatus
from core.telemetry.logging import get_logger
from state.models import ConversationState
from tools.protocol import ToolOutcome

_MOST_ANSWERS = 6
"""Answers of the model in one turn; to the last it is offered no tools, so it has to use what it has."""
_MOST_CALLS = 8
_SEARCH = "search_knowledge"
_SEARCHED = 5
_LONGEST_QUERY = 500

log = get_logger(__name__)


class LlmBrain:
    """
    `tools` is what the model may call; `contact_address` is named where it does not know.

    Raises what its model raises: nobody else knows what to do instead.
    """

    name: BrainName = "llm"

    def __init__(
        self,
        model: ChatModel,
        *,
        tools: Sequence[ToolSpec],
        company_name: str,
        contact_address: str | None = None,
    ) -> None:
        self._model = model
        self._tools = tuple(tools)
        self._company_name = company_name
        self._contact_address = contact_address

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        """
        Raises:
            RateLimited, DependencyError: the model failed; something may have been emitted, and tools may
            have acted.
        """
        grounds = self._grounds(turn)
        calls = _Calls(tools, grounds, known=frozenset(spec.name for spec in self._tools))
        reply = GroundedReply(grounds, out)

        messages = [
            system_prompt(turn, company_name=self._company_name),
            *conversation(turn.history, turn.text),
        ]
        messages += await calls.look_up(turn.text)
        finished = await self._converse(turn, messages, calls, reply)

        has_answered = await self._close(turn, reply, calls)
        return BrainReply(
            text=reply.text,
            state=self._state(turn, reply, calls, has_answered=has_answered),
            citations=reply.citations,
            quick_replies=() if has_answered else self._offers(turn),
            status=self._status(reply),
            brain=self.name,
            model=finished.model or self._model.name,
        )

    def _grounds(self, turn: TurnInput) -> Grounds:
        said = [message.text for message in turn.history if message.role is MessageRole.CUSTOMER]
        return Grounds(
            customer_text="\n".join([*said, turn.text]),
            company_name=self._company_name,
            contact_address=self._contact_address,
            # German writes every noun like a name.
            checks_names=not turn.locale.lower().startswith("de"),
        )

    async def _converse(
        self, turn: TurnInput, messages: list[ModelMessage], calls: "_Calls", reply: GroundedReply
    ) -> ModelFinished:
        for answers_left in reversed(range(_MOST_ANSWERS)):
            may_call = answers_left > 0 and not calls.are_used_up
            finished = await self._ask(turn, messages, self._tools if may_call else (), reply)
            if not finished.tool_calls or not may_call:
                break
            reply.forget_courtesies()
            messages.append(ModelMessage(role="assistant", tool_calls=_readable(finished.tool_calls)))
            for call in finished.tool_calls:
                messages.append(await calls.carry_out(call))
            if calls.has_handed_over:
                break
        return finished

    async def _ask(
        self,
        turn: TurnInput,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        reply: GroundedReply,
    ) -> ModelFinished:
        async with aclosing(self._model.stream(messages, tools, deadline=turn.deadline)) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        await reply.write(text)
                    case AnswerRestarted():
                        await reply.restart_answer()
                    case ModelFinished(reason):
                        await reply.end_answer(is_cut_short=reason in ("length", "content_filter"))
                        return event
        raise ExternalApiFailed("model", "model: the answer has no end", reason="cut_off")

    async def _close(self, turn: TurnInput, reply: GroundedReply, calls: "_Calls") -> bool:
        """Make the reply whole; False where it is an "I do not know"."""
        if not reply.has_facts and not reply.dropped:
            await reply.let_courtesies_out()
        for outcome in calls.effects:
            if _is_untold(outcome, reply):
                await reply.say(outcome.summary)
        if reply.text:
            return True
        if not reply.dropped:
            # It wrote nothing at all, or wanted nothing but tools to the end: as good as down.
            raise ExternalApiFailed("model", "model: no answer in its answers", reason="no_answer")
        log.info("brain.nothing_grounded", dropped_sentences=reply.dropped)
        phrases = phrases_for(turn.locale)
        await reply.say(phrases.unknown)
        await reply.say(phrases.offer)
        if self._contact_address is not None:
            await reply.say(phrases.offer_contact.format(address=self._contact_address))
        return False

    @staticmethod
    def _offers(turn: TurnInput) -> tuple[str, ...]:
        phrases = phrases_for(turn.locale)
        return (phrases.say_ticket, phrases.say_person)

    @staticmethod
    def _state(
        turn: TurnInput, reply: GroundedReply, calls: "_Calls", *, has_answered: bool
    ) -> ConversationState:
        cited = tuple(dict.fromkeys(citation.article_id for citation in reply.citations))
        return msgspec.structs.replace(
            turn.state,
            flow=None if calls.effects else turn.state.flow,
            offer=None if has_answered else Offer.TICKET.value,
            topic=cited or turn.state.topic,
        )

    @staticmethod
    def _status(reply: GroundedReply) -> TurnStatus:
        asks_back = not reply.has_facts and reply.text.rstrip().endswith(("?", "？"))
        return TurnStatus.NEEDS_CUSTOMER if asks_back else TurnStatus.ANSWERED


class _Calls:
    """
    The tool calls of one turn.

    The same call is made once, however often the model asks for it: a second ticket cannot be taken back.
    """

    def __init__(self, tools: ToolCaller, grounds: Grounds, *, known: frozenset[str]) -> None:
        self._tools = tools
        self._grounds = grounds
        self._known = known
        self._made: set[tuple[str, bytes]] = set()
        self._asked_for = 0
        self.effects: list[ToolOutcome] = []

    @property
    def are_used_up(self) -> bool:
        return self._asked_for >= _MOST_CALLS

    @property
    def has_handed_over(self) -> bool:
        return any(outcome.hands_over for outcome in self.effects)

    async def look_up(self, text: str) -> list[ModelMessage]:
        """
        Search before the model is asked, told as if the model had called: it can cite in its first answer.
        """
        arguments: dict[str, Any] = {"query": text.strip()[:_LONGEST_QUERY], "limit": _SEARCHED}
        call = ModelToolCall("call_first", _SEARCH, msgspec.json.encode(arguments).decode())
        return [ModelMessage(role="assistant", tool_calls=(call,)), await self._make(call, arguments)]

    async def carry_out(self, call: ModelToolCall) -> ModelMessage:
        self._asked_for += 1
        if self._asked_for > _MOST_CALLS:
            return _not_called(
                call, ErrorType.RATE_LIMIT_EXCEEDED, "No more calls in this turn: answer with what you have."
            )
        if call.name not in self._known:
            return _not_called(
                call,
                ErrorType.TOOL_NOT_FOUND,
                f"There is no such tool. Tools: {', '.join(sorted(self._known))}.",
            )
        arguments = _read_arguments(call.arguments)
        if arguments is None:
            return _not_called(call, ErrorType.VALIDATION_ERROR, "The arguments are not a JSON object.")
        return await self._make(call, arguments)

    async def _make(self, call: ModelToolCall, arguments: Mapping[str, Any]) -> ModelMessage:
        identity = (call.name, msgspec.json.encode(arguments, order="sorted"))
        if identity in self._made:
            return _not_called(
                call, ErrorType.INVALID_INPUT, "The same call was made before: use its result."
            )
        self._made.add(identity)
        outcome = await self._tools.call(call.name, arguments)
        numbers = self._grounds.add_passages(outcome.passages)
        self._grounds.add_outcome(outcome)
        if is_effect(outcome):
            self.effects.append(outcome)
        return ModelMessage(role="tool", tool_call_id=call.id, content=tool_result(outcome, numbers))


def is_effect(outcome: ToolOutcome) -> bool:
    """Whether something happened, or may have happened, that the customer must hear of."""
    action = outcome.action
    return (
        outcome.hands_over
        or action.status in (ActionStatus.QUEUED, ActionStatus.UNKNOWN)
        or (outcome.is_ok and action.receipt is not None)
    )


def _is_untold(outcome: ToolOutcome, reply: GroundedReply) -> bool:
    receipt = outcome.action.receipt
    if receipt is not None and receipt in outcome.summary:
        return receipt not in reply.text
    return not reply.has_facts


def _readable(calls: Sequence[ModelToolCall]) -> tuple[ModelToolCall, ...]:
    """Servers that parse the arguments of earlier calls answer 400 or 500 to those that are no JSON."""
    return tuple(
        call if _read_arguments(call.arguments) is not None else ModelToolCall(call.id, call.name, "{}")
        for call in calls
    )


def _read_arguments(raw: str) -> dict[str, Any] | None:
    try:
        arguments = msgspec.json.decode(raw or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _not_called(call: ModelToolCall, error: ErrorType, why: str) -> ModelMessage:
    return ModelMessage(role="tool", tool_call_id=call.id, content=tool_not_called(error.value, why))
