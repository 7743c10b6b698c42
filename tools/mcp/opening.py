"""
Open what the settings say of MCP servers: a link to each, kept up by a task, and the tools behind them.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from core.clock import Clock
from core.errors import ToolMisconfigured
from core.http_mcp import make_mcp_client
from core.mcp_settings import McpServerSettings
from core.resilience.guard import Guard, GuardPolicy
from tools.mcp.cleaning import cleaned
from tools.mcp.link import McpLink
from tools.mcp.pins import Pins
from tools.mcp.tool import McpReadTool, McpWriteTool, mcp_tool

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_FIRST_TRY_SECONDS = 3.0
"""How long a start waits for servers; those that take longer are there when they are there."""


def dependency_name(server: str) -> str:
    return f"mcp_{server}"


@dataclass(frozen=True, slots=True)
class McpServers:
    links: tuple[McpLink, ...]
    tools: tuple[McpReadTool | McpWriteTool, ...]


@contextlib.asynccontextmanager
async def open_mcp_servers(
    servers: Mapping[str, McpServerSettings],
    *,
    guards: Mapping[str, Guard],
    folder: Path,
    connect_seconds: float,
    clock: Clock,
) -> AsyncIterator[McpServers]:
    """
    `guards` holds one for each `dependency_name`; `folder` keeps which forms of tools were allowed.

    Raises:
        ToolMisconfigured: the extra `mcp` is not installed.
    """
    if not servers:
        yield McpServers((), ())
        return
    _check_installed()
    pins = Pins(folder)
    links = {
        name: McpLink(
            name,
            server,
            transport=_Transport(name, server, connect_seconds),
            guard=guards[dependency_name(name)],
            pins=pins,
            clock=clock,
        )
        for name, server in servers.items()
    }
    tools = tuple(
        mcp_tool(links[name], tool, settings)
        for name, server in servers.items()
        for tool, settings in server.tools.items()
    )
    running = [asyncio.create_task(link.run(), name=link.dependency) for link in links.values()]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_TRY_SECONDS):
                await asyncio.gather(*(link.first_try() for link in links.values()))
        yield McpServers(tuple(links.values()), tools)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class SurveyedTool:
    """
    `state`: `allowed`, `new` (allowed from its first use on), `changed` (refused), `not declared`, `not listed`, `down` or
    `refuses us`; of the last two `why` names what stood in the way.
    """

    server: str
    tool: str
    state: str
    digest: str = ""
    why: str = ""


async def survey(
    servers: Mapping[str, McpServerSettings], *, folder: Path, connect_seconds: float, clock: Clock
) -> Sequence[SurveyedTool]:
    """What each server declares now, beside what was allowed in `folder`; changes nothing there."""
    known = Pins(folder).known()
    guards = {
        dependency_name(name): Guard(dependency_name(name), GuardPolicy(), clock=clock, rng=random.Random())
        for name in servers
    }
    with TemporaryDirectory(prefix="careline-mcp-") as scratch:
        async with open_mcp_servers(
            servers, guards=guards, folder=Path(scratch), connect_seconds=connect_seconds, clock=clock
        ) as opened:
            await asyncio.gather(*(link.first_try() for link in opened.links))
            return [row for link in opened.links for row in _rows(link, servers[link.name], known)]


def _rows(link: McpLink, settings: McpServerSettings, known: Mapping[str, str]) -> Iterator[SurveyedTool]:
    declared = link.declared
    if declared is None:
        yield SurveyedTool(link.name, "", "refuses us" if link.is_refused else "down", why=link.failure)
        return
    for name, rules in settings.tools.items():
        if name not in declared:
            yield SurveyedTool(link.name, name, "not declared")
            continue
        digest = declared[name].digest
        allowed = rules.digest or known.get(f"{link.name}/{name}")
        state = "new" if allowed is None else "allowed" if allowed == digest else "changed"
        yield SurveyedTool(link.name, name, state, digest)
    for name in link.unlisted:
        yield SurveyedTool(link.name, cleaned(name, most=64), "not listed")


class _Transport:
    """Starts the program, or names the URL, anew for each connection."""

    def __init__(self, name: str, server: McpServerSettings, connect_seconds: float) -> None:
        self._dependency = dependency_name(name)
        self._server = server
        self._connect_seconds = connect_seconds

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator["TransportStreams"]:
        async with contextlib.AsyncExitStack() as stack:
            yield await (self._by_url(stack) if self._server.url is not None else self._by_program(stack))

    async def _by_url(self, stack: contextlib.AsyncExitStack) -> "TransportStreams":
        from mcp.client.streamable_http import streamable_http_client

        client = await stack.enter_async_context(
            make_mcp_client(
                self._dependency,
                timeout_seconds=self._server.longest_call_seconds + 1.0,
                connect_seconds=self._connect_seconds,
                headers={name: value.get_secret_value() for name, value in self._server.headers.items()},
            )
        )
        return await stack.enter_async_context(
            streamable_http_client(self._server.url or "", http_client=client)
        )

    async def _by_program(self, stack: contextlib.AsyncExitStack) -> "TransportStreams":
        from mcp.client.stdio import StdioServerParameters, stdio_client

        # What a program writes beside the protocol may quote customers: it is no log of ours.
        nowhere = stack.enter_context(await asyncio.to_thread(open, os.devnull, "w"))
        program = StdioServerParameters(
            command=self._server.command or "",
            args=list(self._server.args),
            env={name: value.get_secret_value() for name, value in self._server.env.items()},
        )
        return await stack.enter_async_context(stdio_client(program, errlog=nowhere))


def _check_installed() -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as exc:
        raise ToolMisconfigured(
            "CARELINE_MCP_SERVERS is set, and the extra is not installed: pip install 'careline[mcp]'"
        ) from exc
