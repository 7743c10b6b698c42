"""
A real MCP server process behind Careline's real handler, for tests of the tools of outside servers.
"""

import asyncio
import contextlib
import dataclasses
import io
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from core.clock import SystemClock
from core.identity import Caller, CallerKind
from core.ids import derived_id
from core.mcp_settings import McpServerSettings
from core.resilience.breaker import BreakerPolicy
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, configure_logging, get_logger
from tests.tool_world import MemoryLedger
from tools.handler import ToolErrorHandler
from tools.mcp.link import McpLink
from tools.mcp.opening import open_mcp_servers
from tools.protocol import ToolCall, ToolOutcome, fingerprint
from tools.registry import ToolRegistry

ROOT = Path(__file__).parents[1]

READS = ("crash", "hang", "fail", "huge", "injected", "noise", "malformed", "binary", "change")
TOOLS: Mapping[str, Any] = {
    "look_up": {"risk": "read", "seconds": 5.0},
    "refund": {
        "risk": "write",
        "seconds": 5.0,
        "fill": {"customer": "customer_id", "request_key": "key"},
        "meta": {"shop/key": "key"},
    },
    **{name: {"risk": "read", "seconds": 1.0} for name in READS},
}


def program(journal: Path, *, tools: Mapping[str, Any] = TOOLS) -> dict[str, Any]:
    """The settings of a server that is started as a program."""
    return {
        "command": sys.executable,
        "args": ["-m", "tests.outside_server", str(journal)],
        "env": {"PYTHONPATH": str(ROOT)},
        "tools": dict(tools),
        "start_seconds": 60.0,
    }


@dataclass(frozen=True, slots=True)
class McpWorld:
    handler: ToolErrorHandler
    registry: ToolRegistry
    ledger: MemoryLedger
    link: McpLink
    guard: Guard
    journal: Path
    clock: SystemClock

    def calls(self) -> list[dict[str, Any]]:
        """What reached the server, in order."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text("utf-8").splitlines()]

    def tool_call(self, turn: str = "turn_1", *, customer: str | None = "cust_anna") -> ToolCall:
        return ToolCall(
            call_id=derived_id("call", turn),
            key=derived_id("effect", turn),
            step=1,
            caller=Caller(
                kind=CallerKind.CUSTOMER if customer else CallerKind.VISITOR, customer_id=customer or "anon_v"
            ),
            conversation_id="conv_1",
            turn_id=turn,
            locale="en",
            deadline=Deadline(self.clock, 20.0),
        )

    async def call(
        self, tool: str, arguments: Mapping[str, Any] | None = None, **changes: Any
    ) -> ToolOutcome:
        call = dataclasses.replace(self.tool_call(changes.pop("turn", "turn_1")), **changes)
        return await self.handler.call(f"shop__{tool}", arguments or {}, call)

    async def call_after_yes(self, tool: str, arguments: Mapping[str, Any], **changes: Any) -> ToolOutcome:
        return await self.call(tool, arguments, confirmed=fingerprint(f"shop__{tool}", arguments), **changes)

    async def until_connected(self) -> None:
        await until(lambda: self.link.is_connected)

    def offered(self) -> set[str]:
        return {schema.name.removeprefix("shop__") for schema in self.registry.schemas()}


@contextlib.asynccontextmanager
async def mcp_world(
    folder: Path, settings: Mapping[str, Any], journal: Path, *, minimum_calls: int = 5
) -> AsyncIterator[McpWorld]:
    clock = SystemClock()
    with quiet_log():
        async with _opened(folder, settings, journal, minimum_calls, clock) as world:
            yield world


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Left to itself, structlog draws each traceback with all its values, which takes seconds."""
    handlers = logging.getLogger().handlers
    configure_logging("error", stream=io.StringIO())
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers


@contextlib.asynccontextmanager
async def _opened(
    folder: Path, settings: Mapping[str, Any], journal: Path, minimum_calls: int, clock: SystemClock
) -> AsyncIterator[McpWorld]:
    server = McpServerSettings.model_validate(settings)
    policy = GuardPolicy(
        attempt_seconds=server.longest_call_seconds + 1.0,
        total_seconds=2 * server.longest_call_seconds + 1.0,
        retry=RetryPolicy(attempts=2),
        breaker=BreakerPolicy(minimum_calls=minimum_calls),
        concurrency=server.concurrency,
    )
    guard = Guard("mcp_shop", policy, clock=clock, rng=random.Random(1))
    async with open_mcp_servers(
        {"shop": server}, guards={"mcp_shop": guard}, folder=folder, connect_seconds=1.0, clock=clock
    ) as servers:
        registry = ToolRegistry(servers.tools)
        ledger = MemoryLedger()
        handler = ToolErrorHandler(
            registry,
            guards={"mcp_shop": guard},
            ledger=ledger,
            clock=clock,
            errors=StructuredErrorLogger(get_logger("tests")),
        )
        yield McpWorld(handler, registry, ledger, servers.links[0], guard, journal, clock)


async def until(holds: Callable[[], bool], *, seconds: float = 40.0) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to that in time"
        await asyncio.sleep(0.02)
