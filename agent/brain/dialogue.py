"""
Flows at work: begin what a customer asks for, say what `agent.brain.flows.engine` asks, call the tool, and say what came of it.

Which message is for the open question and which is something else decides `agent.brain.embedded`.
"""

from collections.abc import Mapping

import msgspec

from agent.brain.flow_words import FlowWords
from agent.brain.flows import engine
from agent.brain.flows.declared import CONFIRM, Flow, OfferName, Slot
from agent.brain.flows.engine import Ending, Moment, Step, ToolWish
from agent.brain.flows.heard import Heard
from agent.brain.flows.library import FlowLibrary
from agent.brain.session import Offer, Session
from agent.brain.showing import SHOWN
from agent.brain.spoken_of import context_of
from core.explanation import note
from core.identity import CallerKind
from core.messages import ActionStatus
from state.models import OpenFlow
from tools.protocol import CONFIRMATION_NEEDED, ToolOutcome

_MOST_WAITING = 5
_OFFERS: Mapping[OfferName, Offer] = {
    "person": Offer.PERSON,
    "ticket": Offer.TICKET,
    "retry": Offer.RETRY,
    "usual_channel": Offer.USUAL_CHANNEL,
}


class Dialogue:
    def __init__(self, session: Session, library: FlowLibrary) -> None:
        self._session = session
        self._library = library
        self._moment = Moment(
            now=session.turn.now,
            locale=session.turn.locale,
            is_visitor=session.turn.caller.kind is CallerKind.VISITOR,
        )
        self._words = FlowWords(library, session.turn.locale)
        self._is_new = False
        self._has_digressed = False
        self._asked_by_tool = False
        self._complaint = ""
        self.has_timed_out = self._forget_what_is_over()
        """Whether this turn found a dialogue that nobody went on with for too long."""

    @property
    def flow(self) -> Flow | None:
        state = self._session.flow
        return self._library.find(state.name) if state is not None else None

    @property
    def is_asking(self) -> bool:
        return self._session.flow is not None and self._session.flow.asked is not None

    @property
    def asked(self) -> Slot | None:
        """The slot that is asked for; None while nothing is, or only the yes."""
        state, flow = self._session.flow, self.flow
        return flow.slot(state.asked) if state is not None and flow is not None else None

    def understands(self, heard: Heard) -> bool:
        """Whether the message certainly answers, corrects or ends what is asked."""
        state, flow = self._session.flow, self.flow
        return state is not None and flow is not None and engine.understands(flow, state, heard, self._moment)

    async def start(self, flow: Flow, words: str, *, message: str = "", beside: str = "") -> None:
        """
        `words` ask for it; `beside` is what else was said that asks for nothing.

        While another flow asks, one that has questions of its own waits for it to end.
        """
        session = self._session
        context = context_of(flow, session, words, beside=beside)
        if flow.needs is not None and not context.get(flow.needs):
            await self._lacks(flow)
        elif flow.may_ask and flow.call is not None and self._is_refused(flow):
            # Before all the questions, not after: the tool says why.
            outcome = await session.tools.call(flow.call.tool, {})
            await self._failed(flow, outcome)
        else:
            step = engine.begin(flow, context, self._moment, words=words, more=message)
            if self.is_asking and flow.may_ask:
                await self._put_behind(flow, step)
            elif step.call is not None and not flow.may_ask and session.flow is not None:
                await self._call(flow, None, step.call, words)
            else:
                session.flow = step.state
                if flow.may_ask:
                    session.made_offer = None
                self._is_new = True
                await self._go_on(flow, step, words)

    async def take(self, heard: Heard) -> None:
        """What a message does to the open question."""
        state, flow = self._session.flow, self.flow
        if state is None or flow is None:
            return
        step = engine.take(flow, state, heard, self._moment)
        self._complaint = self._words.complaint_of(flow, step) or self._words.corrected(flow, step)
        self._session.flow = step.state
        await self._go_on(flow, step, heard.text)

    async def retry(self) -> None:
        """Once more what failed, as it was."""
        state, flow = self._session.flow, self.flow
        if state is not None and flow is not None:
            await self._go_on(flow, engine.advance(flow, state, self._moment, is_confirmed=True), "")

    async def call_with(self, choice: Mapping[str, object]) -> None:
        """The call that was held back, with what the customer has chosen."""
        state, flow = self._session.flow, self.flow
        if state is not None and flow is not None and flow.call is not None:
            wish = ToolWish(tool=flow.call.tool, arguments={**engine.arguments(flow, state), **choice})
            await self._call(flow, state, wish, "")

    def digressed(self) -> None:
        self._has_digressed = True

    def drop(self) -> None:
        self._session.flow = None

    async def close(self) -> None:
        """Take up what waits, and say the open question, last in the reply."""
        session = self._session
        while session.flow is None and session.waiting:
            state, *others = session.waiting
            session.waiting = tuple(others)
            flow = self._library.find(state.name)
            if flow is not None:
                await session.draft.say(self._words.standard("next", flow))
                step = engine.advance(flow, state, self._moment)
                session.flow, self._is_new, self._complaint = step.state, True, ""
                self._has_digressed = False
                await self._go_on(flow, step, "")
        if self.is_asking:
            await self._ask()

    async def _go_on(self, flow: Flow, step: Step, words: str) -> None:
        session = self._session
        note(
            "flow_went_on",
            flow=flow.name,
            known=list(step.state.slots) if step.state is not None else [],
            asks=step.state.asked if step.state is not None else None,
            no_answer=step.misfit,
            corrected=step.corrected,
            ended=step.ending.value if step.ending is not None else None,
            calls=step.call.tool if step.call is not None else None,
        )
        if step.ending is not None:
            own = flow.cancelled if step.ending is Ending.CANCELLED else None
            await session.draft.say(
                self._words.say(own, flow, None)
                if own is not None
                else self._words.standard(step.ending.value, flow)
            )
            if step.ending is Ending.GIVEN_UP:
                session.made_offer = Offer.PERSON
        elif step.call is not None:
            await self._call(flow, step.state, step.call, words)
        elif step.state is not None and step.state.asked is None:
            session.flow = None
            await session.draft.say(self._words.say(flow.done, flow, step.state))

    async def _call(self, flow: Flow, state: OpenFlow | None, wish: ToolWish, words: str) -> None:
        """`state` None: something small beside the open flow, which stays as it is."""
        session = self._session
        if state is not None:
            session.flow = state
        outcome = await session.tools.call(wish.tool, wish.arguments)
        session.notes.pop("similar", None)
        action = outcome.action
        offers = flow.call.offers if flow.call is not None else {}
        if outcome.is_ok or (action.status is ActionStatus.UNKNOWN and action.reason not in offers):
            if state is not None:
                session.flow = None
            await self._succeeded(flow, state, outcome, words)
        elif state is None:
            await self._failed(flow, outcome)
        elif action.reason == CONFIRMATION_NEEDED:
            session.flow = msgspec.structs.replace(state, asked=CONFIRM)
            self._asked_by_tool = True
            session.needs_customer = True
            await session.draft.say(outcome.summary)
        elif action.reason in ("duplicate", "similar"):
            # Nothing has failed: the words are kept until the customer has chosen.
            session.notes["similar"] = action.reference
            session.made_offer = Offer.SIMILAR_TICKET if action.reason == "similar" else Offer.ANOTHER_TICKET
            session.needs_customer = True
            await session.draft.say(outcome.summary)
        elif (again := self._refused(flow, state, outcome)) is not None:
            session.flow = again
            self._complaint = outcome.summary
        else:
            await self._failed(flow, outcome)

    def _refused(self, flow: Flow, state: OpenFlow, outcome: ToolOutcome) -> OpenFlow | None:
        for field in outcome.value.get("fields", ()):
            step = engine.refused(flow, state, field["field"], self._moment)
            if step is not None:
                return step.state
        return None

    async def _failed(self, flow: Flow, outcome: ToolOutcome) -> None:
        session = self._session
        offers = flow.call.offers if flow.call is not None else {}
        offer = _OFFERS[offers.get(outcome.action.reason or "") or offers.get("", "person")]
        is_this = session.flow is not None and session.flow.name == flow.name
        if is_this and offer is not Offer.RETRY:
            session.flow = None
        await session.failed(outcome, offer)

    async def _succeeded(self, flow: Flow, state: OpenFlow | None, outcome: ToolOutcome, words: str) -> None:
        session = self._session
        if outcome.hands_over:
            session.is_handed_over = True
        if outcome.action.tool == "open_ticket":
            session.notes.pop("unanswered", None)
        show = flow.call.show if flow.call is not None else None
        await session.draft.say(SHOWN[show](session, outcome, words) if show else outcome.summary)
        if flow.done is not None:
            told = {"receipt": outcome.action.receipt or "", "reference": outcome.action.reference or ""}
            await session.draft.say(self._words.say(flow.done, flow, state, **told))

    async def _ask(self) -> None:
        session, state, flow = self._session, self._session.flow, self.flow
        if state is None or flow is None or self._asked_by_tool:
            return
        slot = flow.slot(state.asked)
        if slot is None and flow.confirm is None:
            # The tool asks for the yes itself, in its own words.
            await self._go_on(flow, engine.advance(flow, state, self._moment, is_confirmed=True), "")
            return
        before = self._complaint
        if not before and self._is_new and flow.opening is not None:
            before = self._words.say(flow.opening, flow, state)
        if not before and self._has_digressed:
            before = (
                self._words.say(flow.back, flow, state)
                if flow.back is not None
                else self._words.standard("back", flow)
            )
        question = self._words.say(slot.ask if slot is not None else flow.confirm, flow, state)
        # The tools' own sentences may ask already.
        await session.draft.say(before if before.endswith("?") else f"{before} {question}".strip())
        session.made_offer = None
        session.quick_replies = self._words.quick_replies(slot)
        session.needs_customer = True

    async def _lacks(self, flow: Flow) -> None:
        session = self._session
        is_unanswered = session.is_unanswered
        missing = next(each for each in flow.missing if is_unanswered or not each.only_unanswered)
        await session.draft.say(self._words.say(missing.say, flow, None))
        if missing.offer is not None:
            session.made_offer = _OFFERS[missing.offer]
        else:
            session.needs_customer = True

    async def _put_behind(self, flow: Flow, step: Step) -> None:
        session = self._session
        names = {each.name for each in (session.flow, *session.waiting) if each is not None}
        if step.state is None or flow.name in names or len(session.waiting) >= _MOST_WAITING:
            return
        session.waiting = (*session.waiting, msgspec.structs.replace(step.state, asked=None))
        await session.draft.say(self._words.standard("later", flow))

    def _is_refused(self, flow: Flow) -> bool:
        return flow.call is not None and flow.call.needs_account and not self._session.turn.caller.has_account

    def _forget_what_is_over(self) -> bool:
        """What timed out, and what no declaration knows any more as it is stored."""
        session = self._session
        state, flow = session.flow, self.flow
        has_timed_out = (
            state is not None and flow is not None and engine.has_expired(flow, state, self._moment.now)
        )
        if state is not None and self._is_over(state):
            note("flow_forgotten", flow=state.name, why="too late" if has_timed_out else "declared otherwise")
            session.flow = None
        if has_timed_out:
            session.offer = None
        if session.waiting:
            session.waiting = tuple(each for each in session.waiting if not self._is_over(each))
        return has_timed_out

    def _is_over(self, state: OpenFlow) -> bool:
        flow = self._library.find(state.name)
        return (
            flow is None or not engine.is_of(flow, state) or engine.has_expired(flow, state, self._moment.now)
        )
