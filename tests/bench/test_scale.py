"""Claims about the benchmark of a large knowledge base: its short form runs, and its figures are what it says they are."""

import json
import subprocess
import sys

from tests.data import shared


def test_a_small_knowledge_base_is_built_searched_and_rolled_back() -> None:
    shared("arduino_help_center/articles.jsonl")

    done = subprocess.run(
        [sys.executable, "-m", "bench.scale", "--brief", "--chunks", "600", "--questions", "20"],
        capture_output=True,
        text=True,
        check=True,
    )

    figures = json.loads(done.stdout[done.stdout.index("{") :])

    assert 500 <= figures["build"]["chunks"] <= 700
    assert figures["build"]["index MB"] > 0.6 * 4 * 384 * figures["build"]["chunks"] / 1e6
    assert 0 < figures["search"]["search p50 ms"] <= figures["search"]["search p95 ms"]
    assert figures["rollback"]["roll back s"] < figures["rollback"]["rebuild s"]
