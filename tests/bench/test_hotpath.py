"""Claims about the benchmark of the hot path: it runs, and every answer that it counts is the model's own."""

import json
import subprocess
import sys

from tests.timing import assert_within

_MOST_OF_NAIVE = 2.5
"""Measured 1.3; the goal is 1 / 2.4. Lower this with every cut, so that none is lost again."""


def test_a_turn_costs_no_more_than_a_small_multiple_of_the_naive_handler() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.hotpath", "--brief", "--turns", "96", "--rounds", "1"],
        capture_output=True,
        text=True,
        check=True,
    )

    figures = json.loads(done.stdout[done.stdout.index("{") :])

    assert figures["naive_cpu_ms"] > 0
    assert_within(figures["cpu_ms"], _MOST_OF_NAIVE * figures["naive_cpu_ms"])
