"""Claims about the tokens of leases: they grow whoever gives them, and number the runs that clients hear of."""

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from state.fencing import RUNS, next_token, run_of

_FIRST_DAY, _LAST_DAY = (
    int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1_000_000) for year in (2026, 2065)
)
_clocks = st.lists(st.none() | st.integers(_FIRST_DAY, _LAST_DAY), min_size=2, max_size=40)
"""For each lease Redis's clock in microseconds, which may jump; None where SQL gives it."""


@given(_clocks, st.integers(0, 1 << 31))
def test_each_token_and_each_run_is_greater_than_the_one_before(clocks: list[int | None], first: int) -> None:
    tokens = [first]
    for now in clocks:
        tokens.append(next_token(tokens[-1], now=now or 0))

    assert all(earlier < later for earlier, later in pairwise(tokens))
    assert all(earlier < later for earlier, later in pairwise(map(run_of, tokens)))
    assert run_of(tokens[-1]) < RUNS


def test_sql_counts_until_the_journal_has_gone_on_from_the_clock() -> None:
    counted = next_token(next_token(0))
    journaled = next_token(counted, now=_FIRST_DAY)

    assert (counted, journaled) == (2, _FIRST_DAY)
    assert next_token(journaled) > journaled
    assert run_of(counted) == 2
