"""More asked than can be answered, of the real process; `python -m bench.overload` has the rates and times."""

from pathlib import Path

from bench.overload import measure
from tests.careline_process import CarelineProcess
from tests.timing import assert_within


async def test_an_overload_is_refused_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = {"rate_limit_per_customer": "0", "log_level": "error"}
    with CarelineProcess(tmp_path, settings) as service:
        seen = await measure(service.url, seconds=3.0)

    assert seen["neither"] == 0
    assert seen["refusal_p50_ms"] > 0
    assert seen["useful_per_second"] > 0
    assert seen["recovered_seconds"] < 1.0
    assert_within(seen["refusal_p50_ms"] / 1000, 0.05)
