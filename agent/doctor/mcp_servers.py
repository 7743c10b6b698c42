"""
The MCP servers that the settings name: whether each can be started or reached, and declares what may be called there.

A program is started, asked for its list of tools, and ended; no tool is called.
"""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec

from agent.doctor.findings import Check, Finding, broken, ok, warn
from core.clock import SystemClock
from core.errors import ToolMisconfigured
from core.mcp_settings import McpServerSettings
from core.settings import Settings
from tools.mcp.opening import dependency_name, survey

_REACH_SECONDS = 1.5
_START_SECONDS = 4.0
"""A program may take longer by its settings: the doctor has not got more."""
_INSTALL = "Install the extra: pip install 'careline[mcp]'."


def mcp_checks(settings: Settings) -> Mapping[str, Check]:
    checks: dict[str, Check] = {
        dependency_name(name): partial(_check, settings, name, server)
        for name, server in settings.mcp_servers.items()
    }
    if settings.mcp_serve:
        checks["mcp_serve"] = _check_installed
    return checks


async def _check(settings: Settings, name: str, server: McpServerSettings) -> Finding:
    told = dependency_name(name)
    seconds = min(server.start_seconds, _START_SECONDS)
    try:
        rows = await survey(
            {name: server.model_copy(update={"start_seconds": seconds})},
            folder=settings.data_dir,
            connect_seconds=_REACH_SECONDS,
            clock=SystemClock(),
        )
    except ToolMisconfigured as exc:
        return broken(told, str(exc), _INSTALL)
    by_state = {row.state: row for row in rows}
    if "refuses us" in by_state:
        return broken(
            told,
            "it is there and refuses us",
            f"Check the credentials in headers of {name} in CARELINE_MCP_SERVERS. Until then its tools are refused.",
        )
    if (down := by_state.get("down")) is not None:
        how = "command, args and env" if server.url is None else "url and headers"
        return broken(
            told,
            f"cannot be {'started' if server.url is None else 'reached'} ({down.why})",
            f"Start it, or correct {how} of {name} in CARELINE_MCP_SERVERS. Until then its tools are refused.",
        )
    if (missing := by_state.get("not declared")) is not None:
        return broken(
            told,
            f"reached, and it declares no tool {missing.tool}",
            f"Correct the tools of {name} in CARELINE_MCP_SERVERS; `careline mcp list` shows what it declares.",
        )
    if (changed := by_state.get("changed")) is not None:
        return warn(
            told,
            f"reached; {changed.tool} is not what was allowed, and is refused",
            f"Look at it with `careline mcp list`, then: careline mcp allow {name} {changed.tool} {changed.digest}",
        )
    return ok(told, f"reached, and declares {', '.join(server.tools)}")


async def _check_installed() -> Finding:
    if find_spec("mcp") is None:
        return broken("mcp_serve", "CARELINE_MCP_SERVE is set, and the extra is not installed", _INSTALL)
    return ok("mcp_serve", "Careline's tools are served at /mcp")
