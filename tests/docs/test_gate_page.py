"""The how-to for a gate in CI works as a newcomer types it, and its tables name all that there is."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

# It ships no types, and its stubs are a package of their own for this one module.
import yaml

from agent.replay.changes import NEUTRAL, ChangeKind
from agent.replay.measures import MEASURES, PERCENTILES
from agent.replay.thresholds import read_thresholds
from tests.careline_process import environment

PAGE = (Path(__file__).parents[2] / "docs" / "how-to-gate-a-release.md").read_text(encoding="utf-8")
_SHELL = 'set -eu\ncareline() { "$PYTHON" -m agent "$@"; }\n'


def typed(commands: str, folder: Path, expected: int) -> str:
    """Standard output and error of one block; where a line says an exit code, that of the last command."""
    done = subprocess.run(
        ["bash", "-c", _SHELL + commands],
        cwd=folder,
        env={**environment({}), "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == expected, done.stdout
    return done.stdout


def test_what_the_page_says_can_be_typed_and_says_what_it_shows(tmp_path: Path) -> None:
    blocks = re.findall(r"```(sh)?\n(.*?)```", PAGE.split("## 4.")[0], re.DOTALL)
    said = ""
    lines_shown = 0

    for language, block in blocks:
        if language == "sh":
            code = re.search(r"# exit code (\d)", block)
            said = typed(block, tmp_path, int(code[1]) if code else 0)
        else:
            for line in block.strip().splitlines():
                assert line in said
                lines_shown += 1

    assert lines_shown == 7
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().get("failures") == "2"  # noqa: S314 -- our own file
    assert "<title>Replay report</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_workflow_can_be_read_and_its_thresholds_too() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    workflow = yaml.safe_load(block)

    commands = "\n".join(step.get("run", "") for step in workflow["jobs"]["gate"]["steps"])
    thresholds = [quoted or bare for quoted, bare in re.findall(r'--fail-on (?:"([^"]+)"|(\S+))', commands)]
    assert len(read_thresholds(thresholds, has_base=True)) == 7


@pytest.mark.parametrize(
    "name",
    [
        *(measure.name for measure in MEASURES),
        *PERCENTILES,
        *(kind.value for kind in ChangeKind if kind not in NEUTRAL),
        *("turns", "conversations", "total_tokens"),
    ],
)
def test_every_threshold_is_on_the_page(name: str) -> None:
    assert re.search(rf"`{name}\b", PAGE)


@pytest.mark.parametrize(
    "text", re.findall(r"`([a-z_0-9]+ ?[<>+-][\d.]+%?|worse:[a-z]+|worse:KIND(?:>\d%?)?)`", PAGE)
)
def test_every_threshold_on_the_page_can_be_read(text: str) -> None:
    assert read_thresholds([text.replace("KIND", "citation")], has_base=True)


def test_the_page_shows_the_rows_of_a_log_that_can_be_read() -> None:
    rows = [json.loads(line) for line in re.findall(r'^\{"id".*$', PAGE, re.MULTILINE)]

    assert [row["id"] for row in rows] == ["kettle", "delivery", "person"]
