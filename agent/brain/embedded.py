"""
The brain that needs no key and no language model: it reads each wish, and sees to it that the right part
serves it.

What a wish looks like is known to `intents`; articles are answered from in `lookup`, whatever takes a tool is a flow
(`flows`), carried on in `dialogue`; what a message is to its question is judged in `open_question`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.dialogue import Dialogue
from agent.brain.draft import Draft
from agent.brain.flows.library import FlowLibrary, Request, built_in_flows
from agent.brain.intents import SMALL_TALK, Intent, Wish, after_orders, read
from agent.brain.lookup import Lookup
from agent.brain.open_question import OpenQuestion
from agent.brain.own_intents import IntentReader
from agent.brain.own_service import OwnService
from agent.brain.session import ABOUT_A_SIMILAR_TICKET, TICKET, Offer, Session
from agent.brain.similar import SimilarTicket
from core.explanation import note
from core.messages import BrainName

_KEEPS_THE_FLOW = frozenset({Offer.RETRY}) | ABOUT_A_SIMILAR_TICKET
_TAKEN_BY = {Offer.TICKET: TICKET, Offer.PERSON: "handoff", Offer.USUAL_CHANNEL: "notification"}
"""The flow that a yes begins."""
_MAY_ANSWER = frozenset({Intent.YES, Intent.NO, Intent.CANCEL, Intent.STATEMENT})

Serve = Callable[[Wish], Awaitable[None]]


class EmbeddedBrain:
    """
    `company` is how it names whom it works for; `contact` is told where something failed; `flows` None: the built-in ones;
    `intents` reads the company's own.
    """

    name: BrainName = "embedded"

    def __init__(
        self,
        *,
        company: str,
        contact: str | None = None,
        flows: FlowLibrary | None = None,
        intents: IntentReader | None = None,
    ) -> None:
        self._company = company
        self._contact = contact
        self._flows = flows if flows is not None else built_in_flows()
        self._intents = intents

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        session = Session(
            turn=turn,
            tools=tools,
            draft=Draft(out),
            phrases=self._flows.phrases(turn.locale),
            contact=self._contact,
            flow=turn.state.flow,
            waiting=turn.state.waiting,
            offer=turn.state.offer,
            topic=turn.state.topic,
            notes=dict(turn.state.notes),
        )
        conversation = _Conversation(
            session, Lookup(session), self._flows, self._intents, company=self._company
        )
        for message in turn.fresh:
            if not session.is_handed_over:
                await conversation.take(message.text)
        await conversation.close()
        return session.reply()


class _Conversation:
    def __init__(
        self,
        session: Session,
        lookup: Lookup,
        flows: FlowLibrary,
        intents: IntentReader | None,
        *,
        company: str,
    ) -> None:
        phrases = session.phrases
        self._session = session
        self._lookup = lookup
        self._flows = flows
        self._own = OwnService(intents, session, lookup, flows) if intents is not None else None
        self._dialogue = Dialogue(session, flows)
        self._similar = SimilarTicket(session, self._dialogue)
        self._question = OpenQuestion(flows, self._dialogue, lookup, serve=self._serve_wish)
        self._serve: Mapping[Intent, Serve] = {
            Intent.GREETING: self._saying(phrases.greeting),
            Intent.HOW_ARE_YOU: self._saying(phrases.how_are_you),
            Intent.THANKS: self._saying(phrases.thanks),
            Intent.BYE: self._saying(phrases.bye),
            Intent.IDENTITY: self._saying(f"{phrases.identity.format(company=company)} {phrases.abilities}"),
            Intent.ABILITIES: self._saying(phrases.abilities),
            Intent.CANCEL: self._cancel,
            Intent.YES: self._agree,
            Intent.NO: self._decline,
            Intent.QUESTION: lookup.answer,
            Intent.STATEMENT: lookup.answer,
        }

    async def take(self, text: str) -> None:
        requests, rest = self._flows.split(text)
        wishes = read(rest) if rest.strip() or not requests else ()
        note(
            "understood",
            wishes=[{"intent": wish.intent.value, "text": wish.text} for wish in wishes],
            requests=[{"flow": request.flow.name, "text": request.words} for request in requests],
            flow=self._session.flow.name if self._session.flow is not None else None,
            offer=self._session.offer,
        )
        if self._dialogue.is_asking:
            await self._question.take(text, wishes, requests)
            return
        only = wishes[0] if len(wishes) == 1 and not requests else None
        if self._session.offer in ABOUT_A_SIMILAR_TICKET and await self._similar.choose(text, only):
            self._session.offer = None
            return
        if not requests and await self._is_late_answer(text, wishes):
            return
        wishes = self._in_context(wishes)
        if self._session.offer == Offer.CHOICE and (title := self._lookup.chosen(text, only)) is not None:
            self._session.offer = None
            await self._lookup.answer_choice(title)
            return
        if self._own is not None:
            wishes, requests = await self._own.take(wishes, requests)
        await self._serve_all(text, wishes, requests)
        self._pass_over_offer()

    async def _serve_all(self, text: str, wishes: Sequence[Wish], requests: Sequence[Request]) -> None:
        """Questions first: what a flow asks comes last, so that the next message can answer it."""
        beside = " ".join(wish.text for wish in wishes if wish.intent is Intent.STATEMENT)
        begins_flow = bool(requests) or any(wish.intent is Intent.TICKET for wish in wishes)
        at_once = [wish for wish in wishes if wish.intent not in (Intent.TICKET, Intent.HANDOFF)]
        for wish in at_once:
            is_part_of_it = wish.intent is Intent.STATEMENT or (requests and wish.intent in SMALL_TALK)
            if not (begins_flow and is_part_of_it):
                await self._serve_wish(wish)
        for request in requests:
            await self._dialogue.start(request.flow, request.words, message=text, beside=beside)
        for wish in wishes:
            if wish not in at_once:
                await self._serve_wish(wish, beside=beside)

    async def _serve_wish(self, wish: Wish, *, beside: str = "") -> None:
        flow = self._flows.for_intent(wish.intent)
        if flow is not None:
            await self._dialogue.start(flow, wish.text, message=wish.text, beside=beside)
        else:
            # What no flow serves here may be told of in an article.
            await self._serve.get(wish.intent, self._lookup.answer)(wish)

    async def _begin(self, name: str, wish: Wish) -> None:
        flow = self._flows.find(name)
        if flow is not None:
            await self._dialogue.start(flow, wish.text)

    def _in_context(self, wishes: tuple[Wish, ...]) -> tuple[Wish, ...]:
        """Courtesies between leave the orders the topic, anything else ends it."""
        notes = self._session.notes
        if not notes.get("shows_orders"):
            return wishes
        if not all(wish.intent in SMALL_TALK for wish in wishes):
            del notes["shows_orders"]
        return tuple(after_orders(wish) for wish in wishes)

    async def close(self) -> None:
        """End with the question that is open, or with an offer."""
        session, phrases = self._session, self._session.phrases
        asks_already = session.draft.text.endswith("?")
        if session.has_failed and session.contact and not session.is_handed_over:
            await session.draft.say(phrases.offer_contact.format(address=session.contact))
        if session.is_handed_over:
            self._dialogue.drop()
            session.made_offer = None
        else:
            await self._dialogue.close()
        if session.made_offer is not None and not self._can_keep(session.made_offer):
            session.made_offer = None
        if session.made_offer is not None and not self._dialogue.is_asking:
            await self._offer(session.made_offer, asks_already=asks_already)
        if not session.draft.text:
            await session.draft.say(phrases.nothing_said)
            session.needs_customer = True

    def _can_keep(self, offer: Offer) -> bool:
        flow = _TAKEN_BY.get(offer)
        return flow is None or self._flows.find(flow) is not None

    async def _offer(self, offer: Offer, *, asks_already: bool) -> None:
        session, phrases = self._session, self._session.phrases
        if offer is Offer.TICKET:
            await session.draft.say("" if asks_already else phrases.offer)
            session.quick_replies = (phrases.say_ticket, phrases.say_person, phrases.say_no)
        elif offer is Offer.PERSON:
            await session.draft.say("" if asks_already else phrases.offer_person)
            session.quick_replies = (phrases.say_person, phrases.say_no)
        elif offer is Offer.SIMILAR_TICKET:
            session.quick_replies = (phrases.say_add, phrases.say_another, phrases.say_no)
        elif offer is Offer.ANOTHER_TICKET:
            session.quick_replies = (phrases.say_another, phrases.say_no)
        elif offer is Offer.RETRY:
            session.quick_replies = (phrases.say_retry, phrases.say_person, phrases.say_no)

    def _pass_over_offer(self) -> None:
        """An offer stands for one message, and what could not be done is kept as long."""
        self._session.offer = None
        if not self._dialogue.is_asking and self._session.made_offer not in _KEEPS_THE_FLOW:
            self._dialogue.drop()

    async def _is_late_answer(self, text: str, wishes: Sequence[Wish]) -> bool:
        """The dialogue that it answers is over: said once, and only where there is nothing better to say."""
        has_timed_out, self._dialogue.has_timed_out = self._dialogue.has_timed_out, False
        if not has_timed_out or not {wish.intent for wish in wishes} <= _MAY_ANSWER:
            return False
        if not await self._lookup.answer_if_sure(text):
            await self._session.draft.say(self._flows.text("out_of_time", self._session.turn.locale))
            self._session.needs_customer = True
        return True

    def _saying(self, phrase: str) -> Serve:
        async def say(_: Wish) -> None:
            await self._session.draft.say(phrase)

        return say

    async def _agree(self, wish: Wish) -> None:
        offer = self._session.offer
        if offer in (Offer.TICKET, Offer.PERSON):
            await self._begin(_TAKEN_BY[Offer(offer)], wish)
        elif offer == Offer.RETRY and self._session.flow is not None:
            await self._dialogue.retry()
        elif offer == Offer.USUAL_CHANNEL:
            await self._begin(_TAKEN_BY[Offer.USUAL_CHANNEL], wish)
        elif offer == Offer.CHOICE:
            await self._lookup.ask_which(self._session.notes.get("choices", ()))
        else:
            await self._session.draft.say(self._session.phrases.nothing_to_confirm)

    async def _decline(self, _: Wish) -> None:
        if self._session.offer == Offer.CHOICE:
            await self._lookup.admit_not_to_know(self._session.notes.get("question", ""))
        else:
            await self._session.draft.say(self._session.phrases.offer_declined)

    async def _cancel(self, _: Wish) -> None:
        phrases = self._session.phrases
        await self._session.draft.say(
            phrases.offer_declined if self._session.offer else phrases.nothing_to_cancel
        )
