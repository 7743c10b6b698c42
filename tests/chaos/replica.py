"""
The real service with one thing changed, named by the environment: its clock, or a part of the protocol that is left out.

    CHAOS_WITHOUT=NAME         one of `tests.chaos.ablations.ABLATIONS`
    CHAOS_CLOCK_FILE=FILE      holds how many seconds the wall clock is ahead; read at every look at the clock
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from agent.cli import main
from core.clock import SystemClock
from tests.chaos.ablations import ABLATIONS

WITHOUT = "CHAOS_WITHOUT"
CLOCK_FILE = "CHAOS_CLOCK_FILE"


def _skew(file: Path) -> None:
    def now(_: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text() or 0))

    patch.object(SystemClock, "now", now).start()


if __name__ == "__main__":
    if without := os.environ.get(WITHOUT):
        ABLATIONS[without]()
    if clock := os.environ.get(CLOCK_FILE):
        _skew(Path(clock))
    main()
