"""
What becomes of the service when more is asked than it can answer: `python -m bench.overload [SECONDS]`.

First the peak, by as many askers as fit; then 2.5 times that rate, open loop: each message is sent at its time, whatever became
of those before it; then a tenth of the peak, to see how soon all is well again.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.careline_process import CarelineProcess

_ASKERS = 12
_OVERLOAD = 2.5
_USEFUL_SECONDS = 5.0
"""An answer that comes later is taken for none."""

_SETTINGS = {"rate_limit_per_customer": "0", "log_level": "error"}
_numbers = itertools.count()


@dataclass
class Outcome:
    """Seconds that answers and refusals took, and what was neither."""

    answers: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


async def peak(url: str, seconds: float) -> float:
    """Answers a second."""
    outcome = Outcome()
    began = time.perf_counter()
    async with _session() as session:

        async def work() -> None:
            while time.perf_counter() < began + seconds:
                await _ask(session, url, outcome)

        await asyncio.gather(*(work() for _ in range(_ASKERS)))
    return len(outcome.answers) / (time.perf_counter() - began)


async def offered(url: str, *, rate: float, seconds: float) -> Outcome:
    """`rate` messages a second, each at its time."""
    outcome = Outcome()
    began = time.perf_counter()
    async with _session() as session, asyncio.TaskGroup() as group:
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
            group.create_task(_ask(session, url, outcome))
    return outcome


async def measure(url: str, *, seconds: float) -> dict[str, float]:
    await peak(url, 2.0)  # warm
    most = await peak(url, seconds)
    over = await offered(url, rate=_OVERLOAD * most, seconds=seconds)
    after = await offered(url, rate=most / 10, seconds=3.0)
    useful = sum(took <= _USEFUL_SECONDS for took in over.answers) / seconds
    return {
        "peak_per_second": most,
        "useful_per_second": useful,
        "useful_share": useful / most,
        "refusal_p50_ms": 1000 * _quantile(over.refusals, 50),
        "refusal_p99_ms": 1000 * _quantile(over.refusals, 99),
        "neither": len(over.others),
        "refused_after": len(after.refusals) + len(after.others),
        "answer_after_p99_ms": 1000 * _quantile(after.answers, 99),
    }


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _ask(session: aiohttp.ClientSession, url: str, outcome: Outcome) -> None:
    number = next(_numbers)
    body = {
        "message": "Hello, what can you do?",
        "customer_id": f"c{number}",
        "client_message_id": f"m{number}",
    }
    began = time.perf_counter()
    try:
        async with session.post(f"{url}/v1/chat", json=body) as response:
            await response.read()
    except aiohttp.ClientError as exc:
        outcome.others.append(type(exc).__name__)
        return
    took = time.perf_counter() - began
    if response.status == 200:
        outcome.answers.append(took)
    elif response.status == 503:
        outcome.refusals.append(took)
    else:
        outcome.others.append(str(response.status))


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder, CarelineProcess(Path(folder), _SETTINGS) as service:
        for name, value in asyncio.run(measure(service.url, seconds=seconds)).items():
            print(f"{name:20} {value:9.2f}")


if __name__ == "__main__":
    main()
