"""The program of the second reference document, as it stands there, against a service of its own: twice."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess

_DOCUMENTS = Path(__file__).resolve().parents[3] / "shared" / "reference"
_SHIM = Path(__file__).parent / "shim"
_CLIENT = Path(__file__).resolve().parents[2] / "client"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for document in sorted(_DOCUMENTS.glob("*.txt")):
        found = re.search(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
        if found and "atlas_sdk" in found[1]:
            place = tmp_path / "program.py"
            place.write_text(found[1], encoding="utf-8")
            return place
    pytest.skip("../shared/reference has no program of a control plane's client")


def test_the_documents_program_runs_fresh_and_again(program: Path, tmp_path: Path) -> None:
    with CarelineProcess(tmp_path) as service:
        runs = [
            subprocess.run(
                [sys.executable, str(program)],
                env=os.environ | {"CARELINE_URL": service.url, "PYTHONPATH": f"{_SHIM}:{_CLIENT}"},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            for _ in range(2)
        ]

    fresh, again = runs
    first, second = (re.search(r"Agent class ID: (\S+)", run.stdout) for run in runs)
    assert first is not None
    assert second is not None
    assert first[1] == second[1]
    assert "Created new agent class: ErrorHandlingDemo" in fresh.stderr
    assert "Agent class 'ErrorHandlingDemo' already exists, fetching..." in again.stderr
    for run in runs:
        assert "Resource 00000000-0000-0000-0000-000000000000 not found" in run.stdout
        assert re.search(r"Health check result: \{.*'status': 'healthy'", run.stdout)
        assert "ERROR" not in run.stderr
