"""
A brain between guardrails: what comes in is checked before it is read, what goes out before it is shown.

The stored messages stay as they were written; what a guardrail takes out, the brain, its model and its tools do not see.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from agent.brain.base import Brain, BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.guardrails.base import Fails, Guardrail, GuardrailMetrics, Mask, Passed, Refused
from agent.brain.guardrails.wording import sentence
from agent.brain.phrases import phrases_for
from core.explanation import note
from core.messages import BrainName, Citation, Message
from core.telemetry.logging import get_logger

log = get_logger(__name__)


class GuardedBrain:
    """
    `masks` look at every message that the brain reads, earlier ones too; `before` at what the customer says now, whole; `after`
    at each piece of the reply. `reply_characters` is the longest reply.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        masks: Sequence[Mask] = (),
        before: Sequence[Guardrail] = (),
        after: Sequence[Mask] = (),
        reply_characters: int,
        metrics: GuardrailMetrics,
    ) -> None:
        self.name: BrainName = brain.name
        self._brain = brain
        self._masks = masks
        self._before = before
        self._after = after
        self._reply_characters = reply_characters
        self._metrics = metrics

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        for guardrail in self._before:
            found = await self._checked(guardrail, turn.text, turn.locale)
            if isinstance(found, Refused):
                return await self._refuse(found, turn, out)
        history = await self._masked(turn.history, turn.locale)
        fresh = await self._masked(turn.fresh, turn.locale)
        if isinstance(history, Refused) or isinstance(fresh, Refused):
            return await self._refuse(Refused("unchecked"), turn, out)
        if history is not turn.history or fresh is not turn.fresh:
            turn = replace(turn, history=history, fresh=fresh)
        guarded = _GuardedEmitter(out, self, turn.locale)
        reply = await self._brain.respond(turn, tools, guarded)
        if guarded.shown == reply.text:
            return reply
        if not guarded.shown:
            refused = await self._refuse(Refused("unchecked"), turn, out)
            return replace(refused, state=reply.state, model=reply.model, degraded=reply.degraded)
        return replace(
            reply, text=guarded.shown, citations=await self._citations(reply, guarded.shown, turn.locale)
        )

    async def piece(self, text: str, locale: str) -> str:
        """What may be shown of a piece of the reply."""
        for guardrail in self._after:
            if not guardrail.may_concern(text):
                continue
            found = await self._checked(guardrail, text, locale)
            if isinstance(found, Refused):
                return ""
            text = found.text
        return text

    @property
    def reply_characters(self) -> int:
        return self._reply_characters

    async def _checked(self, guardrail: Guardrail, text: str, locale: str) -> Passed | Refused:
        try:
            found = await guardrail.check(text, locale)
        except Exception as exc:  # its own failure does what it declares, whatever it is
            self._metrics.guardrail_acted(guardrail.name, action=f"failed_{guardrail.fails.value}")
            note("guardrail", guardrail=guardrail.name, action=f"failed_{guardrail.fails.value}")
            log.error(
                "guardrail.failed", guardrail=guardrail.name, fails=guardrail.fails, error=type(exc).__name__
            )
            return Passed(text) if guardrail.fails is Fails.OPEN else Refused("unchecked")
        if isinstance(found, Refused):
            self._metrics.guardrail_acted(guardrail.name, action="refused")
            note("guardrail", guardrail=guardrail.name, action="refused")
            log.info("guardrail.refused", guardrail=guardrail.name)
        elif found.text != text:
            self._metrics.guardrail_acted(guardrail.name, action="changed")
            note("guardrail", guardrail=guardrail.name, action="changed")
        return found

    async def _masked(self, messages: tuple[Message, ...], locale: str) -> tuple[Message, ...] | Refused:
        """The same tuple where nothing had to be taken out."""
        changed: dict[int, Message] = {}
        for place, message in enumerate(messages):
            text = message.text
            for guardrail in self._masks:
                if not guardrail.may_concern(text):
                    continue
                found = await self._checked(guardrail, text, locale)
                if isinstance(found, Refused):
                    return found
                text = found.text
            if text != message.text:
                changed[place] = msgspec.structs.replace(message, text=text)
        if not changed:
            return messages
        return tuple(changed.get(place, message) for place, message in enumerate(messages))

    async def _citations(self, reply: BrainReply, text: str, locale: str) -> tuple[Citation, ...]:
        """Those whose mark still stands in the text, with what their quotes may show."""
        standing = [citation for citation in reply.citations if f"[{citation.n}]" in text]
        quotes = [await self.piece(citation.quote, locale) for citation in standing]
        return tuple(
            msgspec.structs.replace(citation, quote=quote)
            for citation, quote in zip(standing, quotes, strict=True)
        )

    async def _refuse(self, found: Refused, turn: TurnInput, out: Emitter) -> BrainReply:
        text = found.said or sentence(found.sentence, turn.locale, **dict(found.facts))
        await out.text(text)
        return BrainReply(
            text=text,
            state=turn.state,
            quick_replies=(phrases_for(turn.locale).say_person,),
            brain=self._brain.name,
        )


class _GuardedEmitter:
    """`shown` is the text since the last reset."""

    def __init__(self, out: Emitter, brain: GuardedBrain, locale: str) -> None:
        self._out = out
        self._brain = brain
        self._locale = locale
        self.shown = ""

    async def status(self, phase: str, tool: str | None = None) -> None:
        await self._out.status(phase, tool)

    async def text(self, piece: str) -> None:
        """A piece that would make the reply too long is not shown, nor is any after it."""
        allowed = await self._brain.piece(piece, self._locale)
        if allowed and len(self.shown) + len(allowed) <= self._brain.reply_characters:
            self.shown += allowed
            await self._out.text(allowed)

    async def reset(self) -> None:
        self.shown = ""
        await self._out.reset()
