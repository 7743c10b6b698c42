"""What `careline doctor` says of a company's own flows and intents: what the service would not start with, and what to do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.brain.own_intents import ServedBy, Service
from agent.doctor.findings import Finding, Status
from agent.intents.examples import ExampleSet, OwnIntent
from agent.intents.training import train
from tests.careline_process import environment
from tests.service.test_doctor import findings
from tests.unit.flows.declare import RETURN
from tests.unit.intents.test_training import company
from tests.unit.intents.word_embedder import WordEmbedder


def flows_in(folder: Path, *declared: str) -> Path:
    flows = folder / "flows"
    flows.mkdir()
    for number, text in enumerate(declared):
        (flows / f"{number}.yaml").write_text(text, encoding="utf-8")
    return flows


async def intents_in(folder: Path, service: Service | None, *, by_meaning: bool = False) -> Path:
    first, *others = company(6).intents
    served = [OwnIntent(first.name, first.label, service, first.examples)]
    served += [OwnIntent(each.name, each.label, None, each.examples) for each in others]
    file = folder / "intents.careline"
    (await train(ExampleSet(tuple(served)), WordEmbedder() if by_meaning else None)).save(file)
    return file


async def told(folder: Path, name: str, **settings: Any) -> Finding:
    return (await findings(folder, **settings))[name]


async def test_flows_that_the_service_would_serve_are_counted(tmp_path: Path) -> None:
    found = await told(tmp_path, "flows", flows=flows_in(tmp_path, RETURN))

    assert found.status is Status.OK
    assert "1 flows" in found.found


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("flow: [", "0.yaml"),
        (RETURN.replace("type: date", "type: dtae"), "slots[4].type"),
        (RETURN.replace("subject:", "topic:"), "call.arguments.topic"),
    ],
)
async def test_flows_that_it_would_not_start_with_are_named(tmp_path: Path, declared: str, said: str) -> None:
    found = await told(tmp_path, "flows", flows=flows_in(tmp_path, declared))

    assert found.status is Status.BROKEN
    assert said in found.found
    assert "careline flows check" in (found.next_step or "")


async def test_of_many_slips_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    found = await told(tmp_path, "flows", flows=flows_in(tmp_path, *["flow: x\nwrong: 1\nworse: 2\n"] * 3))

    assert "; and " in found.found
    assert found.found.endswith("more")


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = await told(tmp_path, "flows", flows=tmp_path / "nowhere")

    assert found.status is Status.BROKEN
    assert "nowhere" in found.found


async def test_intents_that_the_service_would_serve_are_counted(tmp_path: Path) -> None:
    flows = flows_in(tmp_path, RETURN)
    file = await intents_in(tmp_path, Service(ServedBy.FLOW, "return_item"))

    found = await told(tmp_path, "intents", intents=file, flows=flows)

    assert found.status is Status.OK
    assert f"{len(company(6).intents)} intents" in found.found


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Service(ServedBy.FLOW, "return_item"), "the flow return_item, which there is not"),
        (Service(ServedBy.TOOL, "shop__refund"), "the tool shop__refund, which changes something"),
        (Service(ServedBy.TOOL, "customer_info", {"about": "cheese"}), "arguments of customer_info"),
    ],
)
async def test_intents_that_nothing_can_serve_are_named(tmp_path: Path, service: Service, said: str) -> None:
    file = await intents_in(tmp_path, service)
    shop = {"command": "nothing-of-the-kind", "tools": {"refund": {"risk": "write"}}}

    found = await told(tmp_path, "intents", intents=file, mcp_servers={"shop": shop})

    assert found.status is Status.BROKEN
    assert said in found.found
    assert "careline intents train" in (found.next_step or "")


async def test_intents_of_another_embedder_are_to_be_trained_anew(tmp_path: Path) -> None:
    file = await intents_in(tmp_path, None, by_meaning=True)

    found = await told(tmp_path, "intents", intents=file)

    assert found.status is Status.BROKEN
    assert "train it anew" in found.found


async def test_what_the_flows_hide_is_not_blamed_on_the_intents(tmp_path: Path) -> None:
    file = await intents_in(tmp_path, Service(ServedBy.FLOW, "return_item"))

    found = await findings(tmp_path, intents=file, flows=flows_in(tmp_path, "flow: ["))

    assert found["flows"].status is Status.BROKEN
    assert found["intents"].status is Status.OK


def test_a_script_hears_of_a_file_that_is_none_by_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "intents.careline").write_bytes(b"not trained")

    done = subprocess.run(
        [sys.executable, "-m", "agent", "doctor", "--json"],
        cwd=tmp_path,
        env=environment({"intents": "intents.careline"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 2
    (found,) = (each for each in json.loads(done.stdout) if each["name"] == "intents")
    assert (found["status"], "intents.careline" in found["found"]) == ("broken", True)
