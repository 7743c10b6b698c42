"""Short forms of the chaos rows on real processes, and proof that the rows notice a protocol with a part left out."""

import asyncio

import pytest

from tests.chaos.ablations import ABLATIONS
from tests.chaos.report import Run
from tests.chaos.rows import ROWS
from tests.chaos.traffic import shown
from tests.servers import ProgramMissing
from tests.timing import TooSlow

_NOTICED_BY = {
    "message-keys": ("replica-killed", "stands there 2 times"),
    "effect-keys": ("replica-killed", "opened and promised to nobody"),
    "version-check": ("replica-stopped", "has the replies"),
}

_TRIES = 3


def _short(row: str, *, without: str | None = None) -> Run:
    run = Run(row, seed=1, is_short=True, without=without)
    try:
        asyncio.run(ROWS[row].scenario(run))
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    return run


@pytest.mark.alone
@pytest.mark.parametrize("row", ROWS)
def test_nothing_is_lost_or_done_twice_and_customers_wait_no_longer_than_promised(row: str) -> None:
    run = _short(row)

    assert shown(run.violations) == [], f"python -m tests.chaos {row} --short"
    broken = [bound for bound in run.bounds if not bound.holds]
    assert [str(bound) for bound in broken if not bound.is_time] == []
    if any(bound.is_far_off for bound in broken):
        raise TooSlow(", ".join(map(str, broken)))


def test_each_part_that_can_be_left_out_has_a_row_that_notices() -> None:
    assert _NOTICED_BY.keys() == ABLATIONS.keys()


@pytest.mark.parametrize("part", _NOTICED_BY)
def test_a_protocol_with_a_part_left_out_is_found_out(part: str) -> None:
    row, sign = _NOTICED_BY[part]

    # What is broken shows only where a fault meets it: not in every short run.
    seen: list[str] = []
    for _ in range(_TRIES):
        seen += _short(row, without=part).violations
        if any(sign in violation for violation in seen):
            return
    raise AssertionError(shown(seen))
