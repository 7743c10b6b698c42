"""
The row in which more is asked than can be answered.
"""

import asyncio
import tempfile
from pathlib import Path

from bench.overload import measure
from tests.careline_process import CarelineProcess
from tests.chaos.report import Run

_SETTINGS = {"rate_limit_per_customer": "0", "log_level": "error"}


async def overloaded(run: Run) -> None:
    """One process with the built-in brain and SQLite: what limits it is the processor, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="careline-load-") as folder:
        service = CarelineProcess(Path(folder), _SETTINGS)
        await asyncio.to_thread(service.start)
        try:
            seen = await measure(service.url, seconds=run.times(20, 3))
        finally:
            service.kill()
    run.figures["peak a second"] = round(seen["peak_per_second"])
    run.at_most("neither answered nor refused", seen["neither"], 0)
    run.at_least("useful answers", seen["useful_share"], 0.9, " of peak")
    run.at_most("refused, p99", seen["refusal_p99_ms"], 50, " ms")
    run.at_most("recovered", seen["recovered_seconds"], 10, " s")
