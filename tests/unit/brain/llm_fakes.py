"""
What the tests of the LLM brain stand it on: a turn, tools that answer from a list, an emitter that remembers.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.models.base import ToolSpec
from core.clock import SystemClock
from core.identity import Caller, CallerKind
from core.messages import Action, ActionStatus, BrainName, Citation, Message, MessageRole
from core.records import Passage
from core.resilience.deadline import Deadline
from state.models import ConversationState, CustomerState, OpenFlow, Summary
from tools.protocol import ToolOutcome

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

RETURNS = Passage(
    article_id="returns",
    title="Returning an item",
    url="https://shop.example/help/returns",
    heading="",
    text="You can return unused items within 30 days of delivery. Opened cosmetics cannot be returned.",
    score=1.0,
)

TOOLS = tuple(
    ToolSpec(name, f"{name}.", {"type": "object"}, has_effect=name in ("open_ticket", "handoff"))
    for name in ("search_knowledge", "open_ticket", "customer_info", "handoff")
)

SEARCHED = ToolOutcome(
    action=Action(
        call_id="c0", tool="search_knowledge", status=ActionStatus.SUCCEEDED, summary="I found something."
    ),
    passages=(RETURNS,),
)
OPENED = ToolOutcome(
    action=Action(
        call_id="c1",
        tool="open_ticket",
        status=ActionStatus.SUCCEEDED,
        receipt="R-7QK2M4XWZC",
        summary="I have opened ticket T-1 for you. Your receipt number is R-7QK2M4XWZC.",
    ),
    value={"receipt": "R-7QK2M4XWZC"},
)
HANDED_OVER = ToolOutcome(
    action=Action(
        call_id="c2",
        tool="handoff",
        status=ActionStatus.SUCCEEDED,
        summary="I am passing this conversation to a member of our team, who will answer you here.",
    ),
    hands_over=True,
)
PROFILE = ToolOutcome(
    action=Action(
        call_id="c3", tool="customer_info", status=ActionStatus.SUCCEEDED, summary="This is on file."
    ),
    value={"orders": [{"order_id": "A-1001", "status": "shipped"}]},
)
ASKED = ToolOutcome(
    action=Action(
        call_id="c4",
        tool="open_ticket",
        status=ActionStatus.REFUSED,
        reason="confirmation_needed",
        summary="Shall I open this ticket for you?",
    )
)
OUTCOMES = {
    "search_knowledge": SEARCHED,
    "open_ticket": OPENED,
    "handoff": HANDED_OVER,
    "customer_info": PROFILE,
}


class FakeTools:
    """`calls` are those that were carried out, in order; `asked` those that wait for a yes."""

    def __init__(self, outcomes: Mapping[str, ToolOutcome] = OUTCOMES) -> None:
        self._outcomes = outcomes
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.asked: list[str] = []

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        if asks_first:
            self.asked.append(tool)
            return ASKED
        self.calls.append((tool, arguments))
        return self._outcomes[tool]

    @property
    def called(self) -> list[str]:
        return [tool for tool, _ in self.calls]


class Screen:
    """An emitter that shows what a customer would see; `history` keeps what was taken back."""

    def __init__(self) -> None:
        self.shown = ""
        self.history: list[str] = []

    async def status(self, phase: str, tool: str | None = None) -> None:
        return

    async def text(self, piece: str) -> None:
        self.shown += piece

    async def reset(self) -> None:
        self.history.append(self.shown)
        self.shown = ""


class FakeEmbeddedBrain:
    """Cites the first passage that it finds, and says into which flow it was called."""

    name: BrainName = "embedded"

    def __init__(self) -> None:
        self.turns: list[TurnInput] = []

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        self.turns.append(turn)
        outcome = await tools.call("search_knowledge", {"query": turn.text, "limit": 5})
        passage = outcome.passages[0]
        quote = passage.text.split(". ")[0] + "."
        text = f"{quote} [1]"
        await out.text(text)
        citation = Citation(
            n=1, article_id=passage.article_id, title=passage.title, url=passage.url, quote=quote
        )
        return BrainReply(text=text, state=turn.state, citations=(citation,))


def turn(
    text: str = "How long can I return an item?",
    *,
    seconds: float = 20.0,
    locale: str = "en",
    flow: OpenFlow | None = None,
    history: tuple[Message, ...] = (),
    summary: Summary | None = None,
) -> TurnInput:
    message = Message(message_id="m1", seq=1, role=MessageRole.CUSTOMER, text=text, at=NOON)
    return TurnInput(
        caller=Caller(kind=CallerKind.CUSTOMER, customer_id="c-1"),
        conversation_id="conv_1",
        turn_id="turn_1",
        locale=locale,
        history=history,
        fresh=(message,),
        state=ConversationState(flow=flow, offer="ticket", summary=summary),
        customer_state=CustomerState(),
        now=NOON,
        deadline=Deadline(SystemClock(), seconds),
    )
