"""
One embedded turn over HTTP with SQLite: latency at one connection, CPU of the server process, and where it goes.

    python -m bench.turn

The service is a process of its own with the Arduino help centre; it is asked what stands in bench/arduino_questions.jsonl.
Goals: p50 ≤ 15 ms; ≤ 380 MB, and ≤ 120 MB without the semantic extra. The profile afterwards runs the same turns in this process
and divides their CPU time by thread.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import httpx

from agent.bootstrap import open_careline
from agent.turn.inputs import ChatRequest
from bench.questions import all_texts
from core.identity import Caller, CallerKind
from core.settings import Settings
from core.telemetry.logging import configure_logging
from tests.careline_process import CarelineProcess, run_careline
from tests.data import shared

_WARM_UP = 20
_NATIVE = "embedding the question: the model, in native threads"
_THREADS = {
    "MainThread": "event loop: HTTP, turn, brain, logs",
    "asyncio": "embedding the question: tokens",
    "knowledge": "searching the index",
    "sqlite-writer": "SQL writes",
    "Thread": "SQL reads",
}


def over_http(folder: Path, settings: dict[str, str], *, module: str = "agent") -> dict[str, float]:
    """Milliseconds: what the client waited, CPU of the server per turn, and the server's own division of a turn."""
    warm_up, questions = _questions()
    with (
        CarelineProcess(folder, settings, module=module) as service,
        httpx.Client(base_url=service.url, timeout=30) as client,
    ):
        for question in warm_up:
            _ask(client, question)
        waited = []
        parts: dict[str, list[float]] = {}
        cpu_before = service.cpu_seconds()
        for question in questions:
            started = time.perf_counter()
            timings = _ask(client, question)
            waited.append((time.perf_counter() - started) * 1000)
            for name, value in timings.items():
                parts.setdefault(name, []).append(value)
        cpu = (service.cpu_seconds() - cpu_before) * 1000 / len(questions)
        resident = service.resident_bytes() / 1e6
    return {
        "p50_ms": statistics.median(waited),
        "p95_ms": sorted(waited)[int(len(waited) * 0.95)],
        "cpu_ms_per_turn": cpu,
        "resident_mb": resident,
        **{f"server_{name}_ms": statistics.median(values) for name, values in parts.items()},
    }


async def profile(settings: Settings) -> dict[str, float]:
    """CPU milliseconds per turn, by what the thread does."""
    warm_up, questions = _questions()
    async with open_careline(settings) as careline:

        async def ask(question: str) -> None:
            request = ChatRequest(caller=Caller(kind=CallerKind.LOCAL), message=question)
            submission = await careline.turns.submit(request)
            await careline.turns.wait("default", submission.turn_id, seconds=30)

        for question in warm_up:
            await ask(question)
        whole, before = time.process_time(), _cpu_by_thread()
        for question in questions:
            await ask(question)
        whole, after = time.process_time() - whole, _cpu_by_thread()
    turns = len(questions)
    spent: defaultdict[str, float] = defaultdict(float)
    for (name, _), seconds in after.items():
        spent[name] += seconds * 1000 / turns
    for (name, _), seconds in before.items():
        spent[name] -= seconds * 1000 / turns
    spent[_NATIVE] = whole * 1000 / turns - sum(spent.values())
    return dict(sorted(spent.items(), key=lambda each: -each[1]))


def _cpu_by_thread() -> dict[tuple[str, int], float]:
    clocks = {}
    for thread in threading.enumerate():
        label = next(
            (text for prefix, text in _THREADS.items() if thread.name.startswith(prefix)), thread.name
        )
        if thread.ident is not None:
            clocks[label, thread.ident] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return clocks


def _questions() -> tuple[list[str], list[str]]:
    """For warming up and for measuring. No text comes twice: the embedder remembers texts, customers do not repeat each other."""
    texts = all_texts()
    return texts[:_WARM_UP], texts[_WARM_UP:]


def _ask(client: httpx.Client, question: str) -> dict[str, float]:
    response = client.post("/v1/chat", json={"message": question})
    response.raise_for_status()
    timings: dict[str, float] = response.json()["timings_ms"]
    return timings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    settings = {"rate_limit_per_customer": "0", "log_level": "warning"}
    with tempfile.TemporaryDirectory(prefix="careline-bench-") as temporary:
        folder = Path(temporary)
        run_careline(
            "ingest", str(shared("arduino_help_center/articles.jsonl")), folder=folder, settings=settings
        )
        figures = over_http(folder, settings)
        without = over_http(folder, settings, module="bench.without_semantic")
        configure_logging("error")
        os.chdir(folder)
        divided = asyncio.run(profile(Settings(log_level="warning")))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))
    print("without the semantic extra:")
    print(json.dumps({name: round(value, 2) for name, value in without.items()}, indent=2))
    print("CPU ms per turn, in process:")
    for name, milliseconds in divided.items():
        print(f"  {milliseconds:6.2f}  {name}")


if __name__ == "__main__":
    main()
