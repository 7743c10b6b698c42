"""The protocol keeps its promises in every world that a seed can make, and the simulation notices when it does not."""

from collections import Counter

import pytest

from tests.simulation.mutants import MUTANTS, first_kill
from tests.simulation.world import run_seed, silence

_SEEDS = range(150)
_HAPPENED = (
    "fenced commits",
    "journaled messages",
    "journaled turns",
    "repeated commits",
    "sql: reply lost",
    "sent twice at once",
    "fault: dual partition",
)


def test_no_seed_breaks_a_promise_and_something_happens_in_them() -> None:
    counts: Counter[str] = Counter()

    with silence():
        for seed in _SEEDS:
            report = run_seed(seed)
            assert report.violations == [], f"python -m tests.simulation --seed {seed} --trace"
            counts += report.counts

    assert [name for name in _HAPPENED if not counts[name]] == []


def test_the_same_seed_is_the_same_world() -> None:
    with silence():
        first = [run_seed(seed).digest for seed in range(10)]
        again = [run_seed(seed).digest for seed in reversed(range(10))]

    assert first == again[::-1]
    assert len(set(first)) == 10


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_protocol_is_found_out_and_the_whole_one_is_not(name: str) -> None:
    assert first_kill(name, seeds=range(250)) is not None
