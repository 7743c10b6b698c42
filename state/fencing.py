"""
The tokens of leases: each is greater than all that its conversation had before, and tells which run of a turn it is.

SQL counts from 1. The journal, which may not know how far, goes on from Redis's clock in microseconds, and so does SQL after
it: a tenth of a second at a time, so that the number of a run stays small enough for a client's events.
"""

_COUNTED = 1 << 32
"""No conversation is leased so often; every clock shows more."""
_TENTH = 100_000
_FIRST_TENTH = 1_735_689_600 * 10  # 2025
RUNS = 1 << 34
"""`run_of` stays below it until 2065."""


def next_token(last: int, *, now: int = 0) -> int:
    """`now` in microseconds, where it is the journal that goes on."""
    return max(now, last + (1 if last < _COUNTED else _TENTH))


def run_of(token: int) -> int:
    """Greater for every later token of `next_token`."""
    return token if token < _COUNTED else _COUNTED + max(token // _TENTH - _FIRST_TENTH, 0)
