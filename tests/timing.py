"""
Bounds on wall-clock time. A shared machine may stall for a second at any line, so a test that was only too slow is run again
(pytest's `--only-rerun TooSlow` in pyproject.toml); one that is wrong is not. Such a test is marked `alone`, so that
`python -m tests` runs no other beside it.
"""

import os


class TooSlow(AssertionError):
    """It took longer than it may."""


def assert_within(seconds: float, limit: float) -> None:
    """
    Raises:
        TooSlow: `seconds` is more than `limit`.
        RuntimeError: the test runs beside others, whose load it would measure.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise RuntimeError("a test that measures time is marked with @pytest.mark.alone")
    if seconds > limit:
        raise TooSlow(f"took {seconds:.3f} s, and may take {limit:g} s")
