"""
Carry out a company's own intents: what they begin, answer, look up, or hand over.
"""

from agent.brain.flows.declared import Flow
from agent.brain.flows.library import FlowLibrary, Request, sentences_of
from agent.brain.intents import ANSWERED_FROM_ARTICLES, Intent, Wish, asks
from agent.brain.lookup import Lookup
from agent.brain.own_intents import IntentReader, ScoredIntent, ServedBy
from agent.brain.session import Offer, Session
from core.errors import DependencyError
from core.explanation import note
from core.telemetry.logging import get_logger

_log = get_logger(__name__)


class OwnService:
    def __init__(self, reader: IntentReader, session: Session, lookup: Lookup, flows: FlowLibrary) -> None:
        self._reader = reader
        self._session = session
        self._lookup = lookup
        self._flows = flows

    async def take(
        self, wishes: tuple[Wish, ...], requests: list[Request]
    ) -> tuple[tuple[Wish, ...], list[Request]]:
        """
        What is left to do: wishes that are no intent of the company's, and flows to begin.

        Answers are said here and now, since what a flow asks has to come last.
        """
        left, found = [], list(requests)
        for wish in wishes:
            is_open = wish.intent in ANSWERED_FROM_ARTICLES
            read, rest = await self._read(wish) if is_open else ([], wish)
            left += [rest] if rest is not None else []
            for best, text in read:
                flow = self._flow_of(best)
                if flow is not None and all(flow.name != request.flow.name for request in found):
                    found.append(Request(flow, text))
                elif flow is None and not await self._is_served(best, text):
                    left.append(Wish(wish.intent, text))
        return tuple(left), found

    async def _read(self, wish: Wish) -> tuple[list[tuple[ScoredIntent, str]], Wish | None]:
        """
        Each intent of the wish with the words that say it, and what is left of the wish.

        Sentence by sentence, since each may want something else. A statement beside what was read belongs to it.
        """
        sentences = sentences_of(wish.text)
        read = [(best, text) for text in sentences if (best := await self._best(text)) is not None]
        if not read and len(sentences) > 1 and (whole := await self._best(wish.text)) is not None:
            return [(whole, wish.text)], None
        if not read:
            return [], wish
        unread = [text for text in sentences if asks(text) and all(text != known for _, known in read)]
        by_name = {best.name: (best, text) for best, text in reversed(read)}
        return list(reversed(by_name.values())), Wish(wish.intent, " ".join(unread)) if unread else None

    async def _best(self, text: str) -> ScoredIntent | None:
        """None too where nothing can be read now: the built-in wordings and the articles still serve."""
        try:
            best = next(iter(await self._reader.read(text)), None)
        except DependencyError as exc:
            _log.warning("intents.not_read", error=str(exc))
            return None
        if best is not None:
            note("own_intent", text=text, intent=best.name, score=round(best.score, 3))
        return best

    def _flow_of(self, best: ScoredIntent) -> Flow | None:
        if best.service is None:
            return self._flows.for_intent(best.name)
        if best.service.by is ServedBy.FLOW:
            return self._flows.find(best.service.target)
        return self._flows.for_intent(Intent.HANDOFF) if best.service.by is ServedBy.HANDOFF else None

    async def _is_served(self, best: ScoredIntent, text: str) -> bool:
        """False where it has to be served as if nothing had been read."""
        session, service = self._session, best.service
        if service is None:
            return False
        if service.by is ServedBy.ANSWER:
            await session.draft.say(service.target)
            session.notes["question"] = text
            session.notes.pop("unanswered", None)
            return True
        if service.by is ServedBy.ARTICLE:
            return await self._lookup.answer_from(service.target, text)
        if service.by is not ServedBy.TOOL:
            return False
        outcome = await session.tools.call(service.target, service.arguments)
        if outcome.is_ok:
            await session.draft.say(outcome.summary)
        else:
            await session.failed(outcome, Offer.PERSON)
        return True
