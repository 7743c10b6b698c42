"""`careline intents` as a company meets it, with the example of docs/intents.md, and what a service does with the file."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.bootstrap.intents import open_intents
from agent.brain.flows.library import built_in_flows
from agent.brain.own_intents import ServedBy, Service
from agent.cli import app
from agent.intents.examples import ExampleSet, OwnIntent
from agent.intents.training import train
from core.errors import ToolMisconfigured
from core.settings import Settings
from tests.tool_world import ToolWorld
from tests.unit.intents.test_training import company
from tests.unit.intents.word_embedder import WordEmbedder

PAGE = Path(__file__).parents[3] / "docs/intents.md"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    block = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    file = tmp_path / "intents.yaml"
    file.write_text(block[1], encoding="utf-8")
    return file


def test_the_pages_example_is_trained_and_judged(tmp_path: Path, example: Path) -> None:
    out = tmp_path / "intents.careline"
    test = tmp_path / "test.csv"
    test.write_text(
        "text,intent\nare you open on Saturdays?,opening_hours\nhow old is the moon,out_of_scope\n"
    )

    trained = CliRunner().invoke(app, ["intents", "train", str(example), "--out", str(out), "--json"])
    judged = CliRunner().invoke(app, ["intents", "eval", str(out), str(test), "--json"])

    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["names"] == [
        "opening_hours",
        "return_parcel",
        "broken_on_arrival",
        "speak_to_sales",
    ]
    report = json.loads(judged.stdout)
    assert (report["in_scope"], report["out_of_scope_recall"]) == (1.0, 1.0)


def test_a_report_for_eyes_names_what_was_mistaken(tmp_path: Path, example: Path) -> None:
    out = tmp_path / "intents.careline"
    test = tmp_path / "test.csv"
    test.write_text("text,intent\nwhen are you open,return_parcel\n")

    assert (
        "Threshold" in CliRunner().invoke(app, ["intents", "train", str(example), "--out", str(out)]).stdout
    )
    judged = CliRunner().invoke(app, ["intents", "eval", str(out), str(test)])

    assert "1 × return_parcel read as opening_hours: “when are you open”" in judged.stdout


def test_a_slip_ends_the_command_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "intents.yaml"
    file.write_text("intents:\n  a: {answr: x}\n")

    result = CliRunner().invoke(app, ["intents", "train", str(file)])

    assert result.exit_code == 1
    assert "intents.a.answr: no such field" in result.stderr


async def served_by(tmp_path: Path, service: Service) -> Settings:
    intents = company(6).intents
    first = OwnIntent(intents[0].name, intents[0].label, service, intents[0].examples)
    others = tuple(OwnIntent(each.name, each.label, None, each.examples) for each in intents[1:])
    file = tmp_path / "intents.careline"
    (await train(ExampleSet((first, *others)), WordEmbedder())).save(file)
    return Settings(intents=file)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Service(ServedBy.FLOW, "dance"), "the flow dance, which there is not"),
        (Service(ServedBy.TOOL, "dance"), "the tool dance, which there is not"),
        (Service(ServedBy.TOOL, "handoff", {"reason": "x"}), "the tool handoff, which changes something"),
        (
            Service(ServedBy.TOOL, "customer_info", {"about": "cheese"}),
            r"arguments of customer_info: .*about",
        ),
    ],
)
async def test_a_service_does_not_start_with_what_it_cannot_serve(
    tmp_path: Path, service: Service, said: str
) -> None:
    settings = await served_by(tmp_path, service)

    with pytest.raises(ToolMisconfigured, match=f"CARELINE_INTENTS: .*{said}"):
        open_intents(settings, WordEmbedder(), flows=built_in_flows(), registry=ToolWorld().registry)


async def test_a_service_starts_with_what_it_can_serve(tmp_path: Path) -> None:
    settings = await served_by(tmp_path, Service(ServedBy.TOOL, "customer_info", {"about": "orders"}))

    reader = open_intents(settings, WordEmbedder(), flows=built_in_flows(), registry=ToolWorld().registry)

    assert reader is not None
    assert (await reader.read("my card is lost and gone"))[0].name == "card"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    settings = Settings(intents=tmp_path / "gone.careline")

    with pytest.raises(ToolMisconfigured, match=r"CARELINE_INTENTS: .*gone\.careline"):
        open_intents(settings, WordEmbedder(), flows=built_in_flows(), registry=ToolWorld().registry)
