"""
Lists of the control plane with many definitions: how long a page takes, and that paging shows each once while others are made.

    python -m bench.control_lists [--definitions 10000] [--pages 60] [--postgres]

The definitions are made in the database, a hundred in each change; then the service is a process of its own over it. Pages are
timed at the client, one after the other: the newest, by `offset` down to the oldest, and by `before`.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from cryptography.fernet import Fernet

from agent.control.plane import Answer, Changing, ControlPlane
from agent.control.sealing import Sealing
from core.clock import SystemClock
from core.control_records import AgentClass, AgentDefinition, ExecutionMode
from core.identity import DEFAULT_TENANT
from state.sql.control import SqlControlStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer

GOALS = {
    f"{name} {figure} ms": 50.0
    for name in ("newest page", "page by offset", "page by before")
    for figure in ("p50", "CPU")
}
"""CPU time is the steadier figure on a shared machine."""
_PAGE = 100
_A_CHANGE = 100
_FIELDS = {"execution_mode": ExecutionMode.EPHEMERAL, "config": {"locale": "en"}, "tool_ids": ()}
_LONGEST_PAGE = 1000
_TIMEOUT_SECONDS = 30.0


async def create(url: str, count: int) -> str:
    """The class of the definitions."""
    upgrade(url)
    database = Database(url, timeout_seconds=60.0)
    plane = ControlPlane(
        SqlControlStore(database), sealing=Sealing(Fernet.generate_key().decode()), clock=SystemClock()
    )
    kinds: list[UUID] = []

    async def begin(changing: Changing) -> Answer:
        kinds.append((await changing.create(AgentClass, {"name": "bench"})).id)
        return Answer(201, b"")

    await plane.change(DEFAULT_TENANT, "bench", None, begin)
    for first in range(0, count, _A_CHANGE):

        async def some(changing: Changing, first: int = first) -> Answer:
            for number in range(first, min(first + _A_CHANGE, count)):
                await changing.create(
                    AgentDefinition, {**_FIELDS, "agent_class_id": kinds[0], "name": f"Agent {number}"}
                )
            return Answer(201, b"")

        await plane.change(DEFAULT_TENANT, "bench", None, some)
    await database.close()
    return str(kinds[0])


def pages(
    name: str, client: httpx.Client, service: CarelineProcess, queries: Sequence[str]
) -> dict[str, float]:
    began = service.cpu_seconds()
    took = sorted(timed(client, queries))
    spent = service.cpu_seconds() - began
    return {
        f"{name} p50 ms": round(statistics.median(took), 1),
        f"{name} p95 ms": round(took[int(0.95 * (len(took) - 1))], 1),
        f"{name} CPU ms": round(1000 * spent / len(took), 1),
    }


def timed(client: httpx.Client, queries: Sequence[str]) -> list[float]:
    """Milliseconds of each."""
    took = []
    for query in queries:
        began = time.perf_counter()
        client.get(f"/agent-definitions?{query}").raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    return took


def walked(client: httpx.Client, kind: str, url: str) -> tuple[int, int, int]:
    """Definitions seen by `before` while another client creates some: how many, how many twice, how many were made meanwhile."""
    stop, made = threading.Event(), [0]

    def keep_creating() -> None:
        with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS) as other:
            while not stop.is_set():
                _define(other, kind, f"Meanwhile {made[0]}")
                made[0] += 1

    creating = threading.Thread(target=keep_creating)
    creating.start()
    seen: list[str] = []
    before = ""
    try:
        while page := client.get(f"/agent-definitions?limit={_PAGE}{before}").raise_for_status().json():
            seen += [each["id"] for each in page]
            before = f"&before={page[-1]['id']}"
    finally:
        stop.set()
        creating.join()
    return len(seen), len(seen) - len(set(seen)), made[0]


def measure(definitions: int, count: int, *, is_postgres: bool) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="careline-bench-")))
        database = f"sqlite+aiosqlite:///{folder / 'careline.db'}"
        if is_postgres:
            database = stack.enter_context(PostgresServer()).url()
        kind = asyncio.run(create(database, definitions))
        settings = {"log_level": "warning", "database_url": database}
        service = stack.enter_context(CarelineProcess(folder, settings))
        url = f"{service.url}/api/v1"
        client = stack.enter_context(httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS))
        offsets = range(0, definitions - _PAGE, max(1, (definitions - _PAGE) // count))
        deep = [f"limit={_PAGE}&offset={offset}" for offset in offsets]
        middle = client.get(f"/agent-definitions?limit=1&offset={definitions // 2}").json()[0]["id"]
        timed(client, deep[:3])
        found: dict[str, Any] = {
            "definitions": definitions,
            **pages("newest page", client, service, [f"limit={_PAGE}"] * count),
            **pages("page by offset", client, service, deep),
            **pages("page by before", client, service, [f"limit={_PAGE}&before={middle}"] * count),
            **pages("page of 1,000", client, service, [f"limit={_LONGEST_PAGE}"] * max(3, count // 3)),
        }
        seen, twice, meanwhile = walked(client, kind, url)
    return {**found, "walked": seen, "seen twice": twice, "made while walking": meanwhile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--brief", action="store_true", help="measure, and hold nothing against the goals")
    arguments = parser.parse_args()
    found = measure(arguments.definitions, arguments.pages, is_postgres=arguments.postgres)
    print(json.dumps(found, indent=1))
    if found["seen twice"] or found["walked"] < arguments.definitions:
        raise SystemExit("paging lost or repeated something")
    if not arguments.brief:
        missed = {name: goal for name, goal in GOALS.items() if found[name] > goal}
        if missed:
            raise SystemExit(f"missed: {missed}")


def _define(client: httpx.Client, kind: str, name: str) -> None:
    client.post("/agent-definitions", json={"name": name, "agent_class_id": kind}).raise_for_status()


if __name__ == "__main__":
    main()
