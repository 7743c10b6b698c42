"""Claims about lists of the control plane: the benchmark's short form keeps its pages short and shows each definition once."""

import json
import subprocess
import sys

import pytest

from bench.control_lists import GOALS
from tests.timing import assert_within


@pytest.mark.alone
def test_pages_are_short_and_show_each_definition_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.control_lists", "--brief", "--definitions", "600", "--pages", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout[done.stdout.index("{") :])

    assert (figures["walked"] >= 600, figures["seen twice"]) == (True, 0)
    assert figures["made while walking"] > 0
    for name, most in GOALS.items():
        assert_within(figures[name] / 1000, most / 1000)
