"""
The OpenAPI document is true: what is made up from it gets an answer that it announces, never a 5xx.

`CARELINE_MADE_UP_EXAMPLES=25 python -m pytest tests/service/test_schemathesis.py` is the long form.
"""

import os
import sqlite3
from pathlib import Path

from tests.careline_process import CarelineProcess
from tests.made_up_requests import tried

EXAMPLES = int(os.environ.get("CARELINE_MADE_UP_EXAMPLES", "5"))


def test_made_up_requests_find_no_server_error_and_no_undocumented_answer(tmp_path: Path) -> None:
    with CarelineProcess(tmp_path, {"rate_limit_per_customer": "0", "log_level": "error"}) as service:
        ended = tried(
            f"{service.url}/openapi.json",
            folder=tmp_path,
            phases="examples,coverage,fuzzing",
            examples=EXAMPLES,
        )

    with sqlite3.connect(tmp_path / "careline.db") as database:
        (conversations,) = database.execute("SELECT count(*) FROM conversations").fetchone()
    assert ended.returncode == 0, ended.stdout
    assert conversations > 10, ended.stdout
