"""Claims about addresses that are known not to work: the customer's record says so, and both brains ask for another."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from agent.brain.llm import LlmBrain
from agent.models.scripted import ScriptedModel, calls, says
from core.errors import DependencyUnavailable
from core.messages import ActionStatus
from tests.tool_world import ANNA, status_of
from tests.unit.brain.chat import Chat
from tests.unit.brain.llm_fakes import TOOLS
from tests.unit.tools.test_sending import Opening, RulesWorld, opened  # noqa: F401 - a fixture

LAMP = {"subject": "Lamp stays dark", "description": "The lamp does not turn on."}
NEW = "anna@home.example"
COMES_BACK = "Messages to the e-mail address that I have for you come back."


async def with_a_bounce(opened: Opening, *, channel: str = "email") -> RulesWorld:  # noqa: F811
    world: RulesWorld = opened()
    address = {"email": "Anna@Alvarez.example", "sms": "+34600111222", "chat": "anna_42"}[channel]
    await world.rules.refuse("default", channel, address, reason="5.1.1")
    return world


@pytest.mark.parametrize(("channel", "named"), [("email", "email"), ("sms", "phone"), ("chat", "chat")])
async def test_the_record_names_what_messages_come_back_from(
    opened: Opening,  # noqa: F811
    channel: str,
    named: str,
) -> None:
    world = await with_a_bounce(opened, channel=channel)

    found = await world.call("customer_info", {"about": "profile"})

    assert found.value["profile"]["undeliverable"] == [named]


async def test_a_record_whose_addresses_work_names_none(opened: Opening) -> None:  # noqa: F811
    world = opened()
    await world.rules.refuse("other", "email", "anna@alvarez.example", reason="5.1.1")

    found = await world.call("customer_info", {"about": "profile"})

    assert found.value["profile"]["undeliverable"] == []


async def test_a_ticket_does_not_name_an_address_that_does_not_work(opened: Opening) -> None:  # noqa: F811
    world = await with_a_bounce(opened)

    without = await world.call("open_ticket", LAMP)
    same = await world.call("open_ticket", {**LAMP, "contact": " anna@alvarez.example"})
    another = await world.call("open_ticket", {**LAMP, "contact": NEW})

    for refused in (without, same):
        assert status_of(refused) == (ActionStatus.FAILED, "validation_error", "contact_undeliverable")
        assert refused.summary.startswith(COMES_BACK)
    assert another.action.status is ActionStatus.SUCCEEDED
    assert world.desk.contacts == [NEW]


@pytest.mark.parametrize(
    ("token_says", "contact"),
    [("anna@alvarez.example", ANNA.email), ("anna@work.example", "anna@work.example")],
)
async def test_of_the_addresses_on_file_one_that_works_is_taken(
    opened: Opening,  # noqa: F811
    token_says: str,
    contact: str,
) -> None:
    world: RulesWorld = opened()
    await world.rules.refuse("default", "email", "gone@alvarez.example", reason="5.1.1")
    caller = dataclasses.replace(
        world.caller(), email="gone@alvarez.example" if token_says == ANNA.email else token_says
    )

    await world.call("open_ticket", {**LAMP, "contact": "evil@evil.example"}, world.tool_call(caller))

    assert world.desk.contacts == [contact]


async def test_what_nobody_can_tell_of_an_address_holds_no_ticket_up(
    opened: Opening,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world: RulesWorld = opened()

    async def away(*_: Any) -> frozenset[str]:
        raise DependencyUnavailable("sql")

    async def silent(*_: Any) -> frozenset[str]:
        await asyncio.sleep(60)
        return frozenset()

    for step, answer in enumerate((away, silent), start=1):
        monkeypatch.setattr(world.log, "refused_among", answer)
        async with asyncio.timeout(5):
            outcome = await world.call(
                "open_ticket", {**LAMP, "is_another": True}, world.tool_call(step=step)
            )
        assert outcome.action.status is ActionStatus.SUCCEEDED
    assert world.desk.contacts == [ANNA.email, ANNA.email]


async def test_the_built_in_brain_asks_for_another_address_and_goes_on(opened: Opening) -> None:  # noqa: F811
    chat = Chat(await with_a_bounce(opened))

    await chat.say("Please open a ticket")
    await chat.say("The lamp in the hall stays dark")
    asked = await chat.say("It worked yesterday, and today it does not turn on.")
    again = await chat.say("anna@alvarez.example")
    opened_ = await chat.say(f"Then take {NEW}")

    assert asked.text.startswith(COMES_BACK)
    assert again.text.startswith(COMES_BACK)
    assert "T-1" in opened_.text
    assert chat.world.desk.contacts == [NEW]


async def test_the_built_in_brain_shows_which_address_does_not_work(opened: Opening) -> None:  # noqa: F811
    chat = Chat(await with_a_bounce(opened))

    reply = await chat.say("Show me my account details")

    assert "- E-mail: anna@alvarez.example (messages to it come back)" in reply.text
    assert "- Phone: +34 600 111 222\n" in reply.text


async def test_a_model_is_told_to_ask_for_another_address_and_hands_it_on(opened: Opening) -> None:  # noqa: F811
    model = ScriptedModel(
        calls(("open_ticket", json.dumps(LAMP))),
        says("Which other e-mail address may our team answer to?"),
        calls(("open_ticket", json.dumps({**LAMP, "contact": NEW}))),
        says("Done."),
    )
    chat = Chat(
        await with_a_bounce(opened),
        brain=LlmBrain(model, tools=TOOLS, company_name="Lumen Shop", contact_address=None),
    )

    asked = await chat.say("Please open a ticket: the lamp does not turn on")
    opened_ = await chat.say(f"Use {NEW}")

    told = json.loads(model.seen[1][-1].content)
    assert (told["reason"], told["summary"].startswith(COMES_BACK)) == ("contact_undeliverable", True)
    assert "Which other e-mail address" in asked.text
    assert "T-1" in opened_.text
    assert chat.world.desk.contacts == [NEW]
