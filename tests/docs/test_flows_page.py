"""The flows of docs/flows.md can be used, talk as the page says, and no field is left out of it."""

import re
from pathlib import Path

import pytest

from agent.brain.embedded import EmbeddedBrain
from agent.brain.flows.declared import CONTEXT, SlotKind
from agent.brain.flows.library import BUILT_IN, FlowLibrary
from agent.brain.flows.reading import FIELDS
from agent.brain.flows.slot_reading import EVERY_FIELD, OFFERS
from agent.brain.flows.toolfacts import standard_facts
from tests.unit.brain.chat import RETURNS, Chat

PAGE = (Path(__file__).parents[2] / "docs" / "flows.md").read_text(encoding="utf-8")


@pytest.fixture
def flows(tmp_path: Path) -> FlowLibrary:
    for n, text in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)):
        (tmp_path / f"{n}.yaml").write_text(text, encoding="utf-8")
    return FlowLibrary.load(tmp_path, tools=standard_facts())


async def test_the_example_talks_as_the_page_says(flows: FlowLibrary) -> None:
    chat = Chat(brain=EmbeddedBrain(company="Lamps & Co", flows=flows))
    chat.knows(RETURNS)
    talk = re.findall(r"^you> (.+)\nagent> (.+)$", PAGE, re.MULTILINE)

    for said, expected in talk:
        reply = " ".join((await chat.say(said)).text.split())
        assert re.fullmatch(".*".join(re.escape(part.strip()) for part in expected.split("…")), reply), reply

    assert len(talk) == 5
    assert chat.world.desk.tickets[0][1].subject == "Return of ORD-1002: It is broken"
    assert (await Chat(brain=EmbeddedBrain(company="x", flows=flows)).say("hi")).text.startswith("Ahoy!")


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            *FIELDS,
            *EVERY_FIELD,
            *OFFERS,
            *CONTEXT,
            *SlotKind,
            *(file.stem for file in BUILT_IN.glob("[!t]*.yaml")),
        }
    ),
)
def test_every_field_and_value_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
