"""One wish has one key, however its message was grouped with others, and in whatever order its turn gets to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.turn.effects import TurnTools, asked_by
from core.clock import SystemClock
from core.identity import Caller, CallerKind
from core.ids import derived_id
from core.messages import Message, MessageRole
from core.resilience.deadline import Deadline
from state.identifiers import turn_id_of
from tests.unit.turn.test_pipeline import FakeTools
from tools.protocol import ToolCall

KIM = Caller(kind=CallerKind.CUSTOMER, customer_id="kim")
BELL = {"subject": "Bell", "description": "It does not ring any more."}
CHAIN = {"subject": "Chain", "description": "It jumps when I pedal."}


def said(seq: int, text: str) -> Message:
    return Message(f"msg_{seq}", seq, MessageRole.CUSTOMER, text, datetime(2026, 11, 22, tzinfo=UTC))


ONE = said(1, "Hello there")
TWO = said(2, "My bell does not ring")
THREE = said(3, "And the chain jumps")


async def calls_of(turn_id: str, fresh: tuple[Message, ...], *wanted: Mapping[str, Any]) -> list[ToolCall]:
    runner = FakeTools()
    tools = TurnTools(
        runner,
        caller=KIM,
        conversation_id="conv_1",
        turn_id=turn_id,
        locale="en",
        fresh=fresh,
        context=(),
        deadline=Deadline(SystemClock(), 20.0),
        reload_state=_nothing_to_reload,
        out=Silent(),
        clock=SystemClock(),
    )
    for arguments in wanted:
        await tools.call("open_ticket", arguments)
    return runner.calls


async def test_a_wish_has_the_same_key_in_each_turn_that_answers_its_message() -> None:
    (alone,) = await calls_of("turn_a", (TWO,), BELL)
    (joined,) = await calls_of("turn_b", (ONE, TWO), BELL)
    together = await calls_of("turn_c", (TWO, THREE), CHAIN, BELL)
    (other,) = await calls_of("turn_d", (THREE,), CHAIN)

    assert joined.key == alone.key
    assert [call.key for call in together] == [other.key, alone.key]


async def test_a_turn_of_one_message_keeps_the_key_that_its_turn_has_always_given() -> None:
    turn_id = turn_id_of("default", "conv_1", TWO.message_id)

    first, second = await calls_of(turn_id, (TWO,), BELL, CHAIN)

    assert first.key == derived_id("effect", "default", turn_id, "open_ticket", "1")
    assert second.key == derived_id("effect", "default", turn_id, "open_ticket", "2")
    assert first.other_keys == second.other_keys == ()


async def test_an_earlier_run_of_a_turn_cannot_have_used_a_key_that_is_not_looked_up() -> None:
    """A model may word a call so that it seems to be another message's."""
    bell, chain = await calls_of("turn_c", (TWO, THREE), BELL, CHAIN)
    chain_again, bell_again = await calls_of("turn_c", (TWO, THREE), CHAIN, BELL)

    assert bell.key in chain_again.other_keys
    assert chain.key in bell_again.other_keys
    assert [bell.step, chain.step] == [chain_again.step, bell_again.step] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "asking"), [(BELL, TWO), (CHAIN, THREE), ({}, THREE), ({"subject": "Saddle"}, THREE)]
)
def test_the_message_that_asked_shares_the_most_words_and_is_else_the_newest(
    arguments: Mapping[str, Any], asking: Message
) -> None:
    assert asked_by((ONE, TWO, THREE), arguments) is asking


class Silent:
    async def status(self, phase: str, tool: str | None = None) -> None:
        pass

    async def text(self, piece: str) -> None:
        pass

    async def reset(self) -> None:
        pass


async def _nothing_to_reload() -> None:
    pass
