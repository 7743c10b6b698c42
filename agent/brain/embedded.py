"""
The brain that needs no key and no language model: it reads each wish, and sees to it that the right part
serves it.

What a wish looks like is known to `intents`; articles are answered from in `lookup`, tickets opened in
`ticketing`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.draft import Draft
from agent.brain.intents import SMALL_TALK, Intent, Wish, after_orders, asks, read
from agent.brain.lookup import Lookup
from agent.brain.phrases import phrases_for
from agent.brain.session import Offer, Session
from agent.brain.ticketing import Ticketing, is_chat
from agent.brain.wording import order_lines, profile_lines, ticket_lines
from core.messages import BrainName, MessageRole

_ORDERS_SHOWN = 3
_LONGEST_REASON = 500
_LONGEST_SUBJECT = 150
_LONGEST_BODY = 5000
_DIGRESSION_WORDS = 25
"""What is longer, is part of a description, even where it holds a question."""

_MARKER = re.compile(r" \[\d+\]")
_NUMBER = re.compile(r"[A-Za-z]{0,4}[-#]?\d[\w-]{2,}")
_NEWEST_ONLY = re.compile(r"\b(?:last|latest|newest|most\s+recent)\b", re.IGNORECASE)
_BY_SMS = re.compile(r"\b(?:sms|text|phone)\b", re.IGNORECASE)

_LOOKS_UP = frozenset({Intent.ORDERS, Intent.PROFILE, Intent.TICKET_STATUS})

Serve = Callable[[Wish], Awaitable[None]]


class EmbeddedBrain:
    """`company` is how it names whom it works for; `contact` is told where something failed."""

    name: BrainName = "embedded"

    def __init__(self, *, company: str, contact: str | None = None) -> None:
        self._company = company
        self._contact = contact

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        session = Session(
            turn=turn,
            tools=tools,
            draft=Draft(out),
            phrases=phrases_for(turn.locale),
            contact=self._contact,
            flow=turn.state.flow,
            offer=turn.state.offer,
            topic=turn.state.topic,
            notes=dict(turn.state.notes),
        )
        conversation = _Conversation(session, Lookup(session), company=self._company)
        for message in turn.fresh:
            if not session.is_handed_over:
                await conversation.take(message.text)
        await conversation.close()
        return session.reply()


class _Conversation:
    def __init__(self, session: Session, lookup: Lookup, *, company: str) -> None:
        phrases = session.phrases
        self._session = session
        self._lookup = lookup
        self._ticketing = Ticketing(session)
        self._says_nothing = {
            "",
            phrases.unknown,
            phrases.notify_nothing,
            phrases.offer,
            phrases.offer_person,
        }
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
            Intent.TICKET: self._ticketing.start,
            Intent.TICKET_STATUS: self._show_tickets,
            Intent.ORDERS: self._show_orders,
            Intent.PROFILE: self._show_profile,
            Intent.NOTIFY: self._notify,
            Intent.HANDOFF: self._hand_over,
            Intent.QUESTION: lookup.answer,
            Intent.STATEMENT: lookup.answer,
        }

    async def take(self, text: str) -> None:
        wishes = read(text)
        only = wishes[0] if len(wishes) == 1 else None
        if self._ticketing.is_asking:
            await self._take_for_ticket(text, wishes, only)
            return
        wishes = self._in_context(wishes)
        if self._session.offer == Offer.CHOICE and (title := self._lookup.chosen(text, only)) is not None:
            self._session.offer = None
            await self._lookup.answer_choice(title)
            return
        about = " ".join(wish.text for wish in wishes if wish.intent is Intent.STATEMENT)
        wants_ticket = any(wish.intent is Intent.TICKET for wish in wishes)
        # Questions first: what a ticket asks comes last, so that the next message can answer it.
        for wish in sorted(wishes, key=lambda wish: wish.intent in (Intent.TICKET, Intent.HANDOFF)):
            if wish.intent is Intent.TICKET:
                await self._ticketing.start(wish, about=about)
            elif wish.intent is not Intent.STATEMENT or not wants_ticket:
                await self._serve[wish.intent](wish)
        self._pass_over_offer()

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
        if session.has_failed and session.contact and not session.is_handed_over:
            await session.draft.say(phrases.offer_contact.format(address=session.contact))
        if session.is_handed_over:
            self._ticketing.drop()
            session.made_offer = None
        elif self._ticketing.is_asking:
            await self._ticketing.ask()
        elif session.made_offer is not None:
            await self._offer(session.made_offer)
        if not session.draft.text:
            await session.draft.say(phrases.nothing_said)
            session.needs_customer = True

    async def _offer(self, offer: Offer) -> None:
        session, phrases = self._session, self._session.phrases
        asks_already = session.draft.text.endswith("?")
        if offer is Offer.TICKET:
            await session.draft.say("" if asks_already else phrases.offer)
            session.quick_replies = (phrases.say_ticket, phrases.say_person, phrases.say_no)
        elif offer is Offer.PERSON:
            await session.draft.say("" if asks_already else phrases.offer_person)
            session.quick_replies = (phrases.say_person, phrases.say_no)
        elif offer is Offer.RETRY_TICKET:
            session.quick_replies = (phrases.say_retry, phrases.say_person, phrases.say_no)

    def _pass_over_offer(self) -> None:
        """An offer stands for one message, and a ticket that could not be opened is kept as long."""
        self._session.offer = None
        if not self._ticketing.is_asking and self._session.made_offer is not Offer.RETRY_TICKET:
            self._ticketing.drop()

    async def _take_for_ticket(self, text: str, wishes: tuple[Wish, ...], only: Wish | None) -> None:
        """The message ends the dialogue, digresses from it, or fills what was asked for."""
        flow = self._session.flow
        asked = flow.asked if flow is not None else None
        intent = only.intent if only is not None else None
        is_short = len(text.split()) <= _DIGRESSION_WORDS
        if intent is Intent.CANCEL or (intent is Intent.NO and asked != "description"):
            self._ticketing.drop()
            await self._session.draft.say(self._session.phrases.ticket_cancelled)
        elif intent is Intent.NO:
            await self._ticketing.has_nothing_to_add()
        elif intent is Intent.HANDOFF and is_short:
            await self._hand_over(Wish(Intent.HANDOFF, text))
        elif is_chat(wishes):
            await self._digress([wish for wish in wishes if wish.intent in SMALL_TALK])
        elif intent in _LOOKS_UP and is_short and asks(text):
            await self._digress(wishes)
        elif intent is Intent.QUESTION and is_short and await self._is_answered_aside(text, asked):
            self._ticketing.digressed()
        else:
            await self._ticketing.take(text)

    async def _digress(self, wishes: Sequence[Wish]) -> None:
        for wish in wishes:
            await self._serve[wish.intent](wish)
        self._ticketing.digressed()

    async def _is_answered_aside(self, text: str, asked: str | None) -> bool:
        """A question in place of an address is one; in place of a subject it may be the subject."""
        if asked == "contact" and "@" not in text:
            await self._lookup.answer(Wish(Intent.QUESTION, text))
            return True
        return await self._lookup.answer_if_sure(text)

    def _saying(self, phrase: str) -> Serve:
        async def say(_: Wish) -> None:
            await self._session.draft.say(phrase)

        return say

    async def _agree(self, wish: Wish) -> None:
        offer = self._session.offer
        if offer == Offer.TICKET:
            await self._ticketing.start(wish)
        elif offer == Offer.PERSON:
            await self._hand_over(wish)
        elif offer == Offer.RETRY_TICKET and self._session.flow is not None:
            await self._ticketing.advance()
        elif offer == Offer.TICKETS:
            await self._show_tickets(wish)
        elif offer == Offer.USUAL_CHANNEL:
            await self._notify(wish)
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

    async def _show_orders(self, wish: Wish) -> None:
        session = self._session
        outcome = await session.tools.call("customer_info", {"about": "orders"})
        if not outcome.is_ok:
            await session.failed(outcome, Offer.PERSON)
            return
        session.notes["shows_orders"] = True
        orders = outcome.value.get("orders", [])
        numbers = {_bare(number) for number in _NUMBER.findall(wish.text)}
        named = [order for order in orders if _bare(order["order_id"]) in numbers]
        newest = orders[: 1 if _NEWEST_ONLY.search(wish.text) else _ORDERS_SHOWN]
        if not orders:
            await session.draft.say(session.phrases.orders_none)
        elif numbers and not named:
            await session.draft.say(
                f"{session.phrases.order_unknown}\n{order_lines(newest, session.phrases)}"
            )
        else:
            await session.draft.say(order_lines(named or newest, session.phrases))

    async def _show_profile(self, _: Wish) -> None:
        session = self._session
        outcome = await session.tools.call("customer_info", {"about": "profile"})
        if outcome.is_ok:
            await session.draft.say(profile_lines(outcome.value.get("profile", {}), session.phrases))
        else:
            await session.failed(outcome, Offer.PERSON)

    async def _show_tickets(self, _: Wish) -> None:
        session = self._session
        outcome = await session.tools.call("find_tickets", {})
        if not outcome.is_ok:
            await session.failed(outcome, Offer.PERSON)
            return
        lines = ticket_lines(outcome.value.get("tickets", []), session.phrases)
        await session.draft.say(f"{outcome.summary}\n{lines}".strip())

    async def _notify(self, wish: Wish) -> None:
        """Send what was said last: in this reply, else in the one before."""
        session, phrases = self._session, self._session.phrases
        said = session.draft.text or next(
            (message.text for message in reversed(session.turn.history) if message.role is MessageRole.AGENT),
            "",
        )
        paragraphs = said.split("\n\n")
        worth_sending = [each for each in paragraphs if each not in self._says_nothing]
        if not worth_sending:
            is_unanswered = phrases.unknown in paragraphs or phrases.notify_nothing in paragraphs
            await self._have_nothing_to_send(is_unanswered=is_unanswered)
            return
        sources = [citation.url for citation in session.draft.citations if citation.url]
        body = "\n".join([_MARKER.sub("", "\n\n".join(worth_sending)), *sources])[:_LONGEST_BODY]
        subject = str(session.notes.get("question") or phrases.notify_subject)[:_LONGEST_SUBJECT]
        channel = {"channel": "sms"} if _BY_SMS.search(wish.text) else {}
        outcome = await session.tools.call("notify", {"subject": subject, "body": body, **channel})
        if outcome.is_ok:
            await session.draft.say(outcome.summary)
        else:
            is_other_way_open = outcome.action.reason == "unknown_channel"
            await session.failed(outcome, Offer.USUAL_CHANNEL if is_other_way_open else Offer.PERSON)

    async def _have_nothing_to_send(self, *, is_unanswered: bool) -> None:
        session, phrases = self._session, self._session.phrases
        if is_unanswered:
            await session.draft.say(phrases.notify_nothing)
            session.made_offer = Offer.TICKET
        else:
            await session.draft.say(phrases.notify_what)
            session.needs_customer = True

    async def _hand_over(self, wish: Wish) -> None:
        session = self._session
        problem = session.notes.get("unanswered") or session.notes.get("question")
        reason = f"{wish.text} ({problem})" if problem else wish.text or session.phrases.handoff_reason
        outcome = await session.tools.call("handoff", {"reason": reason[:_LONGEST_REASON]})
        session.is_handed_over = outcome.is_ok
        if outcome.is_ok:
            await session.draft.say(outcome.summary)
        else:
            await session.failed(outcome, Offer.TICKET)


def _bare(number: str) -> str:
    return re.sub(r"\W|_", "", number).casefold()
