"""
A conversation with the embedded brain over the real tools and handler, whose outside world is in memory and can fail.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from agent.brain.base import Brain, BrainReply, TurnInput
from agent.brain.embedded import EmbeddedBrain
from agent.turn import confirmation
from agent.turn.effects import TurnTools
from core.identity import Caller
from core.messages import Action, Message, MessageRole
from core.records import Passage, SearchResult
from core.resilience.deadline import Deadline
from state.models import ConversationState, CustomerState
from tests.tool_world import ToolWorld

RETURNS = Passage(
    article_id="returns",
    title="Returning an item",
    url="https://shop.example/help/returns",
    heading="Deadlines",
    text=(
        "Unused items can be returned within 30 days of delivery. The refund is paid within 5 working days.\n\n"
        "Opened cosmetics cannot be returned."
    ),
    score=1.0,
    cosine=0.75,
    lexical=0.9,
)
RESET = Passage(
    article_id="reset",
    title="Reset your password",
    url=None,
    heading="",
    text=(
        "Follow these steps:\n\n1. Open the **sign-in page**.\n\n2. Choose [Forgot password](https://shop.example/forgot).\n\n"
        "3. Open the link in our e-mail.\n"
    ),
    score=1.0,
    cosine=0.75,
    lexical=0.9,
)


class Recorder:
    def __init__(self) -> None:
        self.pieces: list[str] = []

    async def status(self, phase: str, tool: str | None = None) -> None: ...

    async def text(self, piece: str) -> None:
        self.pieces.append(piece)

    async def reset(self) -> None:
        self.pieces.clear()


class Chat:
    """`say` is one turn; state and history are carried on as the pipeline does. `actions` are those of the last turn."""

    def __init__(
        self,
        world: ToolWorld | None = None,
        *,
        caller: Caller | None = None,
        contact: str | None = None,
        brain: Brain | None = None,
    ) -> None:
        self.world = world or ToolWorld()
        self.knows()
        self.caller = caller or self.world.caller()
        self.locale = "en"
        self.state = ConversationState()
        self.actions: tuple[Action, ...] = ()
        self._brain = brain or EmbeddedBrain(company="Lamps & Co", contact=contact)
        self._history: list[Message] = []
        self._turns = 0
        self._said = 0

    def knows(self, *passages: Passage) -> None:
        """What every search finds from now on."""
        self.world.knowledge.result = SearchResult(passages=passages)

    async def say(self, *messages: str) -> BrainReply:
        self._turns += 1
        turn_id = f"turn_{self._turns}"
        fresh = tuple(self._message(MessageRole.CUSTOMER, text) for text in messages)
        deadline = Deadline(self.world.clock, 20.0)
        out = Recorder()
        turn = TurnInput(
            caller=self.caller,
            conversation_id="conv_1",
            turn_id=turn_id,
            locale=self.locale,
            history=tuple(self._history),
            fresh=fresh,
            state=self.state,
            customer_state=CustomerState(),
            now=self.world.clock.now(),
            deadline=deadline,
        )
        tools = TurnTools(
            self.world.handler,
            caller=self.caller,
            conversation_id="conv_1",
            turn_id=turn_id,
            locale=self.locale,
            fresh=fresh,
            context=(),
            deadline=deadline,
            reload_state=_nothing_to_reload,
            out=out,
            clock=self.world.clock,
            confirmed=confirmation.confirmed_in(turn),
        )
        reply = await confirmation.respond(self._brain, turn, tools, out)
        assert "".join(out.pieces) == reply.text
        assert reply.text.strip()
        pending = confirmation.pending_after(turn, tools, reply.text)
        self.state = msgspec.structs.replace(reply.state, pending=pending)
        self.actions = tools.actions
        self._history += [*fresh, self._message(MessageRole.AGENT, reply.text, turn_id)]
        return reply

    @property
    def tools_used(self) -> Sequence[str]:
        return [action.tool for action in self.actions]

    def _message(self, role: MessageRole, text: str, turn_id: str | None = None) -> Message:
        self._said += 1
        at = self.world.clock.now() + timedelta(seconds=self._said)
        return Message(f"msg_{self._said}", self._said, role, text, at, turn_id)


async def _nothing_to_reload() -> None: ...
