"""The OpenAPI document is true: what is made up from it gets an answer that it announces, never a 5xx."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.careline_process import CarelineProcess


def test_made_up_requests_find_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    with CarelineProcess(tmp_path, {"rate_limit_per_customer": "0", "log_level": "error"}) as service:
        tried = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
                # A header and a body that are both valid may contradict each other: no schema can say so.
                "--exclude-checks=positive_data_acceptance",
                "--phases=examples,coverage,fuzzing",
                "--mode=all",
                "--max-examples=25",
                "--seed=1",
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    with sqlite3.connect(tmp_path / "careline.db") as database:
        (conversations,) = database.execute("SELECT count(*) FROM conversations").fetchone()
    assert tried.returncode == 0, tried.stdout
    assert conversations > 10, tried.stdout
