"""
What conversations cost outside the database, and what a long one costs.

    python -m bench.memory [--conversations 10000] [--messages 1000]

Goals: at most 5 KB of the server's memory for each conversation it has had; the 1,000th message of one conversation at most
1.2 × the 10th, by the CPU time of the server (the medians of blocks of turns around both).
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import httpx

from tests.careline_process import CarelineProcess, run_careline
from tests.data import shared

_AT_ONCE = 8
_WARM_UP = 500
_QUESTION = "How long do I have to send something back?"
_BLOCK = 40
"""Turns in a block: CPU time is counted in hundredths of a second, so single turns cannot be told apart."""


async def memory_per_conversation(service: CarelineProcess, conversations: int) -> float:
    """Bytes of resident memory gained per conversation of one turn, after a warm-up of as many kinds of turns."""
    limits = httpx.Limits(max_connections=_AT_ONCE)
    async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=limits) as client:

        async def converse(count: int) -> None:
            waiting = iter(range(count))

            async def work() -> None:
                for _ in waiting:
                    (await client.post("/v1/chat", json={"message": _QUESTION})).raise_for_status()

            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(work())

        await converse(_WARM_UP)
        before = service.resident_bytes()
        await converse(conversations)
        return (service.resident_bytes() - before) / conversations


def cpu_late_over_early(service: CarelineProcess, messages: int) -> tuple[float, float]:
    """CPU seconds per turn around the 10th and around the last of `messages` messages (two a turn) of one conversation."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        body = {"message": _QUESTION}
        body["conversation_id"] = client.post("/v1/chat", json=body).json()["conversation_id"]
        early = _block(service, client, body)
        for _ in range(messages // 2 - 2 * _BLOCK - 1):
            client.post("/v1/chat", json=body).raise_for_status()
        return early, _block(service, client, body)


def _block(service: CarelineProcess, client: httpx.Client, body: dict[str, str]) -> float:
    before = service.cpu_seconds()
    for _ in range(_BLOCK):
        client.post("/v1/chat", json=body).raise_for_status()
    return (service.cpu_seconds() - before) / _BLOCK


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=1_000)
    arguments = parser.parse_args()
    settings = {"rate_limit_per_customer": "0", "log_level": "warning"}
    with tempfile.TemporaryDirectory(prefix="careline-bench-") as temporary:
        folder = Path(temporary)
        run_careline(
            "ingest", str(shared("arduino_help_center/articles.jsonl")), folder=folder, settings=settings
        )
        with CarelineProcess(folder, settings) as service:
            early, late = cpu_late_over_early(service, arguments.messages)
            growth = asyncio.run(memory_per_conversation(service, arguments.conversations))
    print(
        json.dumps(
            {
                "bytes_per_conversation": round(growth),
                "cpu_ms_early": round(early * 1000, 2),
                "cpu_ms_late": round(late * 1000, 2),
                "late_over_early": round(late / early, 3),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
