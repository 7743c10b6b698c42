"""The control plane's OpenAPI document is true: what is made up from it gets an answer that it announces, never a 5xx."""

import sqlite3
from pathlib import Path

from tests.careline_process import CarelineProcess
from tests.made_up_requests import tried


def test_made_up_requests_find_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    with CarelineProcess(tmp_path, {"log_level": "error"}) as service:
        ended = tried(
            f"{service.url}/api/v1/openapi.json", folder=tmp_path, phases="coverage,fuzzing", examples=3
        )

    with sqlite3.connect(tmp_path / "careline.db") as database:
        (changes,) = database.execute("SELECT count(*) FROM control_changes").fetchone()
    assert ended.returncode == 0, ended.stdout
    assert changes > 10, ended.stdout
