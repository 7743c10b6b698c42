"""The file of docs/deploy.md can be deployed as it stands, and the page names every field, option and exit code."""

import asyncio
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.deploy.declared import SECTIONS
from agent.deploy.outcome import ExitCode, Result
from tests.careline_process import CarelineProcess, run_careline
from tests.service.scripted_model import ScriptedModelServer, says

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")


async def test_the_example_is_deployed_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    (tmp_path / "plane").mkdir()
    service = CarelineProcess(tmp_path / "plane", variables={"SHOP_MODEL_KEY": "sk-shop"})
    async with ScriptedModelServer(says("Hello, how can I help you?"), lists=["small"]) as model:
        text = example.group(1).replace("http://127.0.0.1:8080/v1", model.url)
        assert text != example.group(1)
        (tmp_path / "shop.yaml").write_text(text, encoding="utf-8")
        await asyncio.to_thread(service.start)
        try:
            said = [
                await asyncio.to_thread(
                    run_careline, "deploy", "shop.yaml", "--to", service.url, *options, folder=tmp_path
                )
                for options in (("--dry-run",), (), ())
            ]
        finally:
            service.kill()

    assert "Planned: 7 to create." in said[0]
    assert "Applied: 7 created" in said[1]
    assert "Nothing to do: 7 as declared." in said[2]
    assert "sk-shop" in model.keys[-1]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_on_the_page_in_its_section(section: str) -> None:
    row = re.search(rf"^\| `{section}` \|.*$", PAGE, re.MULTILINE)
    assert row is not None

    fields = {*SECTIONS[section].plain_fields, *SECTIONS[section].references}

    assert [name for name in sorted(fields) if f"`{name}`" not in row.group()] == []


def test_every_exit_code_and_result_is_on_the_page() -> None:
    codes = {str(code) for name, code in vars(ExitCode).items() if name.isupper()}

    assert set(re.findall(r"^\| `(\d)` \|", PAGE, re.MULTILINE)) == codes
    assert [result for result in Result if f"`{result.value}`" not in PAGE] == []


def test_every_option_is_on_the_page() -> None:
    told = CliRunner().invoke(app, ["deploy", "--help"], env={"COLUMNS": "200"}).stdout

    options = set(re.findall(r"--[a-z-]+", told)) - {"--help", "--wait"}

    assert {"--dry-run", "--prune", "--json"} <= options
    assert [option for option in sorted(options) if option not in PAGE] == []
