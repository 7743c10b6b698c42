"""Several workers behind one port, as `careline serve --workers` runs them."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.careline_process import CarelineProcess, environment
from tests.servers import _children, free_port
from tests.timing import assert_within

DRAIN_SECONDS = 2.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CarelineProcess]:
    settings = {"workers": "2", "rate_limit_per_customer": "0", "drain_seconds": str(DRAIN_SECONDS)}
    with CarelineProcess(tmp_path, settings) as process:
        wait_for_workers(process)
        yield process


def wait_for_workers(process: CarelineProcess, *, besides: int = 0, seconds: float = 30.0) -> tuple[int, ...]:
    """The pids of two living workers, none of them `besides`."""
    ends_at = time.monotonic() + seconds
    while True:
        pids = _children(process.pid)
        if len(pids) == 2 and besides not in pids:
            return pids
        assert time.monotonic() < ends_at, process.log.read_text()[-2000:]
        time.sleep(0.05)


async def talk(client: httpx.AsyncClient, number: int, turns: int) -> tuple[str, list[str]]:
    """A conversation, and the texts that were sent in it."""
    said: list[str] = []
    conversation: str | None = None
    for turn in range(turns):
        said.append(f"Hello for the {turn}th time")
        body = {"message": said[-1], "customer_id": f"c{number}", "client_message_id": f"m{number}-{turn}"}
        if conversation is not None:
            body["conversation_id"] = conversation
        answered = await client.post("/v1/chat", json=body, headers={"Connection": "close"})
        assert answered.status_code == 200, answered.text
        conversation = answered.json()["conversation_id"]
    assert conversation is not None
    return conversation, said


async def test_conversations_over_all_workers_keep_their_order_and_get_one_reply_each(
    service: CarelineProcess,
) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        talks = await asyncio.gather(*(talk(client, number, 5) for number in range(6)))
        pages = [
            (await client.get(f"/v1/conversations/{conversation}/messages")).json()["messages"]
            for conversation, _ in talks
        ]
        metrics = (await client.get("/metrics")).text

    for (_, said), page in zip(talks, pages, strict=True):
        assert [each["text"] for each in page if each["role"] == "customer"] == said
        assert [each["role"] for each in page] == ["customer", "agent"] * 5
    counted = re.findall(r"^careline_turns_total\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert sum(map(float, counted)) == 30


async def test_a_worker_that_dies_is_replaced(service: CarelineProcess) -> None:
    victim = wait_for_workers(service)[0]

    os.kill(victim, signal.SIGKILL)
    wait_for_workers(service, besides=victim)

    async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        await talk(client, 1, 2)


@pytest.mark.alone
def test_sigterm_ends_all_workers_in_good_order(service: CarelineProcess) -> None:
    workers = wait_for_workers(service)

    began = time.monotonic()
    code = service.terminate()
    took_seconds = time.monotonic() - began

    assert code == 0
    assert "Fatal Python error" not in service.log.read_text()
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert_within(took_seconds, DRAIN_SECONDS + 1)


def test_one_process_ends_in_good_order_too(tmp_path: Path) -> None:
    with CarelineProcess(tmp_path) as process:
        assert process.terminate() == 0


def test_that_it_listens_is_said_when_it_is_true(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "serve", "--workers", "2"],
        cwd=tmp_path,
        env=environment({"port": str(port)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "listens on" in line)
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            pass
    finally:
        process.terminate()
        process.communicate(timeout=20)

    assert f"http://127.0.0.1:{port}" in said
