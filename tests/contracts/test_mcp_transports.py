"""
The same claims about an MCP server, whether it is a program that speaks over its standard streams or an address that is asked.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from core.messages import ActionStatus
from tests.mcp_world import ROOT, TOOLS, McpWorld, mcp_world, program, until
from tests.servers import free_port
from tests.tool_world import status_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SPEAKS_STREAMS_ONLY = {"noise", "malformed", "binary", "crash"}


@dataclass
class HttpServer:
    """The same company over streamable HTTP, a process that can be ended and started again on its port."""

    journal: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.outside_server", str(self.journal), str(self.port)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        ends_at = time.monotonic() + 60.0
        while time.monotonic() < ends_at:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/mcp")
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError("the outside server did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def settings(self, key: str = "open sesame") -> dict[str, Any]:
        tools = {name: rules for name, rules in TOOLS.items() if name not in _SPEAKS_STREAMS_ONLY}
        return {
            "url": f"http://127.0.0.1:{self.port}/mcp",
            "headers": {"X-Shop-Key": key},
            "tools": tools,
            "start_seconds": 60.0,
        }


@pytest.fixture(scope="module")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    server = HttpServer(tmp_path_factory.mktemp("http") / "calls.jsonl", free_port())
    server.start()
    yield server
    server.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["streams", "http"])
async def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[McpWorld]:
    folder = tmp_path_factory.mktemp("world")
    if request.param == "http":
        server: HttpServer = request.getfixturevalue("http_server")
        settings, journal = server.settings(), server.journal
    else:
        journal = folder / "calls.jsonl"
        settings = program(journal)
    async with mcp_world(folder / "data", settings, journal, minimum_calls=1000) as world:
        await world.until_connected()
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: McpWorld) -> McpWorld:
    await running.until_connected()
    running.journal.unlink(missing_ok=True)
    running.ledger.effects.clear()
    return running


async def test_it_reads(world: McpWorld) -> None:
    outcome = await world.call("look_up", {"order_id": "A-1"})

    assert outcome.value["structured"]["state"] == "shipped"


async def test_it_writes_with_the_calls_key_and_the_callers_customer(world: McpWorld) -> None:
    await world.call_after_yes("refund", {"order_id": "A-1", "cents": 5})

    (heard,) = world.calls()
    assert heard["arguments"]["customer"] == "cust_anna"
    assert heard["meta"] == {"shop/key": world.tool_call().key}


async def test_many_calls_at_once_get_each_its_own_answer(world: McpWorld) -> None:
    numbers = [f"A-{number}" for number in range(16)]

    outcomes = await asyncio.gather(
        *(world.call("look_up", {"order_id": number}, turn=number) for number in numbers)
    )

    assert [outcome.value["structured"]["order"] for outcome in outcomes if outcome.is_ok] == numbers


async def test_its_own_errors_are_those_of_the_tool(world: McpWorld) -> None:
    assert status_of(await world.call("fail"))[1:] == ("tool_execution_failed", "tool_error")


async def test_silence_ends_at_the_tools_time_limit(world: McpWorld) -> None:
    assert status_of(await world.call("hang"))[:2] == (ActionStatus.FAILED, "timeout_error")


async def test_a_change_that_it_tells_of_is_noticed_without_asking(world: McpWorld) -> None:
    try:
        await world.call("change")
        await until(lambda: "look_up" not in world.offered())

        assert status_of(await world.call("look_up", {"order_id": "A-1"}))[2] == "tool_changed"
    finally:
        world.journal.with_suffix(".form").unlink(missing_ok=True)
        await world.link.probe()


async def test_a_write_whose_fate_is_unknown_is_told_so_and_never_repeated(
    http_server: HttpServer, tmp_path: Path
) -> None:
    """The server is silent after it has heard of the refund: `hang` stands in for it, as a writing tool."""
    settings = http_server.settings()
    settings["tools"] = {"hang": {"risk": "write", "confirm": False, "seconds": 0.5}}
    http_server.journal.unlink(missing_ok=True)
    async with mcp_world(tmp_path, settings, http_server.journal) as world:
        await world.until_connected()
        outcome = await world.call("hang")
        again = await world.call("hang")

    assert status_of(outcome) == (ActionStatus.UNKNOWN, None, "fate_unknown")
    assert again.action == outcome.action
    assert outcome.degraded == (("outside_tools", "mcp_shop"),)
    assert len(world.calls()) == 1


async def test_a_key_that_is_refused_is_the_operators_affair(http_server: HttpServer, tmp_path: Path) -> None:
    async with mcp_world(tmp_path, http_server.settings("wrong"), http_server.journal) as world:
        outcome = await world.call("look_up", {"order_id": "A-1"})

        assert world.offered() == set()
        assert status_of(outcome)[1:] == ("authentication_failed", None)
        assert world.link.is_refused
        assert outcome.degraded == (("outside_tools", "mcp_shop"),)


async def test_a_server_that_was_ended_and_started_again_is_used_again(
    http_server: HttpServer, tmp_path: Path
) -> None:
    async with mcp_world(tmp_path, http_server.settings(), http_server.journal, minimum_calls=1000) as world:
        await world.until_connected()
        http_server.kill()
        while_down = await world.call("look_up", {"order_id": "A-1"})
        await asyncio.to_thread(http_server.start)
        await world.until_connected()
        after = await world.call("look_up", {"order_id": "A-1"}, turn="turn_2")

    assert while_down.action.status is ActionStatus.FAILED
    assert while_down.degraded == (("outside_tools", "mcp_shop"),)
    assert after.is_ok


async def test_one_guard_stops_asking_a_server_that_only_fails(
    http_server: HttpServer, tmp_path: Path
) -> None:
    settings = http_server.settings()
    settings["tools"] = {**settings["tools"], "hang": {"risk": "read", "seconds": 0.1}}
    async with mcp_world(tmp_path, settings, http_server.journal) as world:
        await world.until_connected()
        await asyncio.gather(*(world.call("hang", turn=f"turn_{number}") for number in range(5)))

        refused = await world.call("look_up", {"order_id": "A-1"})

    assert status_of(refused)[1:] == ("service_unavailable", "circuit_open")
