"""
Answer with a language model that calls tools; what it writes leaves only as far as it is grounded.

Which model, over which wire, is `agent.models`' affair; what happens when it fails is
`agent.brain.fallback`'s.
"""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import asdict

import msgspec

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.budget import BudgetPolicy, TurnBudget, stopped_short
from agent.brain.grounded_reply import GroundedReply
from agent.brain.grounding import Grounds
from agent.brain.mandate import Mandate
from agent.brain.meaning import Meaning
from agent.brain.mirrored import flow_after
from agent.brain.model_calls import ModelCalls, readable
from agent.brain.phrases import phrases_for
from agent.brain.prompts import conversation, prompt_hash, system_prompt
from agent.brain.remembering import Remembering
from agent.brain.session import ABOUT_A_SIMILAR_TICKET, TICKET, Offer
from agent.models.base import (
    AnswerRestarted,
    ChatModel,
    ModelFinished,
    ModelMessage,
    TextDelta,
    ToolSpec,
)
from core.errors import ExternalApiFailed
from core.explanation import is_explained, note
from core.messages import BrainName, MessageRole, TurnStatus
from core.telemetry.logging import get_logger
from state.models import ConversationState, OpenFlow
from tools.protocol import ToolOutcome

log = get_logger(__name__)


class LlmBrain:
    """
    `tools` is what the model may call, looked at anew in every turn; `contact_address` is named where it does not know;
    `instructions` go with the rules that every model has.

    Raises what its model raises: nobody else knows what to do instead.
    """

    name: BrainName = "llm"

    def __init__(
        self,
        model: ChatModel,
        *,
        tools: Iterable[ToolSpec],
        company_name: str,
        contact_address: str | None = None,
        budget: BudgetPolicy | None = None,
        memory: Remembering | None = None,
        meaning: Meaning | None = None,
        instructions: str | None = None,
    ) -> None:
        self._model = model
        self._instructions = instructions
        self._tools = tools
        self._company_name = company_name
        self._contact_address = contact_address
        self._budget = budget or BudgetPolicy()
        self._memory = memory
        self._meaning = meaning

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        """
        Raises:
            RateLimited, DependencyError: the model failed; something may have been emitted, and tools may
            have acted.
        """
        grounds = self._grounds(turn)
        specs = tuple(self._tools)
        calls = ModelCalls(
            tools,
            grounds,
            Mandate(turn, grounds),
            known={spec.name: spec for spec in specs},
            has_asked=turn.state.offer in ABOUT_A_SIMILAR_TICKET,
            most_calls=self._budget.calls,
        )
        reply = GroundedReply(grounds, out, self._meaning)

        messages = [
            system_prompt(turn, company_name=self._company_name, instructions=self._instructions),
            *conversation(self._memory.window(turn) if self._memory else turn.history, turn.text),
        ]
        if calls.may_look_up:
            messages += await calls.look_up(turn.text)
        budget = TurnBudget(self._budget, self._model.name)
        summing_up = self._memory.begin(turn) if self._memory else None
        try:
            finished = await self._converse(turn, messages, specs, calls, reply, budget=budget)
            has_answered = await self._close(turn, reply, calls, budget)
        except BaseException:
            if summing_up is not None:
                summing_up.cancel()
            raise
        state = self._state(turn, reply, calls, has_answered=has_answered)
        if self._memory is not None and summing_up is not None:
            summary = await self._memory.finish(summing_up, turn.state.summary)
            state = msgspec.structs.replace(state, summary=summary)
        note("spent", **asdict(budget.spent))
        return BrainReply(
            text=reply.text,
            state=state,
            citations=reply.citations,
            quick_replies=() if has_answered else self._offers(turn),
            status=self._status(reply),
            brain=self.name,
            model=(finished.model if finished is not None else None) or self._model.name,
            spent=budget.spent,
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
        self,
        turn: TurnInput,
        messages: list[ModelMessage],
        specs: Sequence[ToolSpec],
        calls: ModelCalls,
        reply: GroundedReply,
        *,
        budget: TurnBudget,
    ) -> ModelFinished | None:
        """The last answer's end; None where the budget does not reach for one."""
        finished: ModelFinished | None = None
        for answers_left in reversed(range(self._budget.answers)):
            most_tokens = budget.most_tokens(messages)
            if most_tokens == 0:
                break
            may_call = answers_left > 0 and not calls.are_used_up
            finished = await self._ask(
                turn, messages, specs if may_call else (), reply, budget=budget, most_tokens=most_tokens
            )
            if not finished.tool_calls or not may_call:
                break
            reply.forget_courtesies()
            messages.append(ModelMessage(role="assistant", tool_calls=readable(finished.tool_calls)))
            messages += await calls.carry_out(finished.tool_calls)
            if calls.has_handed_over or calls.has_asked:
                break
        return finished

    async def _ask(
        self,
        turn: TurnInput,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        reply: GroundedReply,
        *,
        budget: TurnBudget,
        most_tokens: int | None,
    ) -> ModelFinished:
        characters = 0
        stream = self._model.stream(messages, tools, deadline=turn.deadline, most_tokens=most_tokens)
        async with aclosing(stream) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        characters += len(text)
                        await reply.write(text)
                    case AnswerRestarted():
                        await reply.restart_answer()
                    case ModelFinished(reason):
                        budget.note(event, messages, characters)
                        self._explain(event, messages, tools)
                        await reply.end_answer(is_cut_short=reason in ("length", "content_filter"))
                        return event
        raise ExternalApiFailed("model", "model: the answer has no end", reason="cut_off")

    def _explain(
        self, finished: ModelFinished, messages: Sequence[ModelMessage], tools: Sequence[ToolSpec]
    ) -> None:
        if is_explained():
            note(
                "model_answered",
                model=finished.model or self._model.name,
                prompt=prompt_hash(self._company_name, self._instructions),
                messages=len(messages),
                tools_offered=len(tools),
                prompt_tokens=finished.prompt_tokens,
                completion_tokens=finished.completion_tokens,
                ended=finished.reason,
                wants=[call.name for call in finished.tool_calls],
            )

    async def _close(
        self, turn: TurnInput, reply: GroundedReply, calls: ModelCalls, budget: TurnBudget
    ) -> bool:
        """Make the reply whole; False where it is an "I do not know", or had to stop before it was done."""
        if not reply.has_facts and not reply.dropped:
            await reply.let_courtesies_out()
        for outcome in calls.effects:
            if _is_untold(outcome, reply):
                await reply.say(outcome.summary)
        similar = calls.similar
        if similar is not None and not calls.effects and (similar.action.reference or "") not in reply.text:
            await reply.say(similar.summary)
        if budget.is_reached:
            log.warning("brain.budget_reached", **asdict(budget.spent))
            await reply.say(f"{stopped_short(turn.locale)} {phrases_for(turn.locale).offer}")
            return False
        if reply.text:
            return True
        if not reply.dropped:
            # It wrote nothing at all, or wanted nothing but tools to the end: as good as down.
            raise ExternalApiFailed("model", "model: no answer in its answers", reason="no_answer")
        log.info("brain.nothing_grounded", dropped_sentences=reply.dropped)
        phrases = phrases_for(turn.locale)
        # What a tool said of its failure is true, whatever the model made of it.
        for summary in calls.failures or (phrases.unknown, phrases.offer):
            await reply.say(summary)
        if self._contact_address is not None:
            await reply.say(phrases.offer_contact.format(address=self._contact_address))
        return False

    @staticmethod
    def _offers(turn: TurnInput) -> tuple[str, ...]:
        phrases = phrases_for(turn.locale)
        return (phrases.say_ticket, phrases.say_person)

    @staticmethod
    def _state(
        turn: TurnInput, reply: GroundedReply, calls: ModelCalls, *, has_answered: bool
    ) -> ConversationState:
        cited = tuple(dict.fromkeys(citation.article_id for citation in reply.citations))
        if calls.similar is not None and not calls.effects:
            # What the embedded brain would keep, too: whichever answers next, goes on from here.
            can_add = calls.similar.action.reason == "similar"
            return msgspec.structs.replace(
                turn.state,
                flow=OpenFlow(name=TICKET, slots=calls.similar_slots, started_at=turn.now),
                offer=(Offer.SIMILAR_TICKET if can_add else Offer.ANOTHER_TICKET).value,
                topic=cited or turn.state.topic,
                notes={**turn.state.notes, "similar": calls.similar.action.reference},
            )
        return msgspec.structs.replace(
            turn.state,
            flow=None if calls.effects else flow_after(turn, asks_back=_asks_back(reply)),
            waiting=() if calls.effects else turn.state.waiting,
            offer=None if has_answered else Offer.TICKET.value,
            topic=cited or turn.state.topic,
        )

    @staticmethod
    def _status(reply: GroundedReply) -> TurnStatus:
        return TurnStatus.NEEDS_CUSTOMER if _asks_back(reply) else TurnStatus.ANSWERED


def _asks_back(reply: GroundedReply) -> bool:
    return not reply.has_facts and reply.text.rstrip().endswith(("?", "？"))


def _is_untold(outcome: ToolOutcome, reply: GroundedReply) -> bool:
    receipt = outcome.action.receipt
    if receipt is not None and receipt in outcome.summary:
        return receipt not in reply.text
    return not reply.has_facts
