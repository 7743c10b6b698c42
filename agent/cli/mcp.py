"""
What an operator sees and decides about the tools of outside MCP servers.
"""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.cli.common import explained, fail, out, settings_or_exit

app = typer.Typer(help="See and allow the tools of outside MCP servers.", no_args_is_help=True)

_NEXT_STEP = "Check CARELINE_MCP_SERVERS, and that careline[mcp] is installed; docs/mcp.md has an example."
_WIDEST = 1000


@app.command("list")
def list_tools() -> None:
    """
    Ask every server that the settings name for its tools, and show which are allowed.

    Starts programs that are servers, and ends them. Ends with code 1 where a tool changed since it was allowed, or a server is
    down or refuses us.
    """
    settings = settings_or_exit()
    from core.clock import SystemClock
    from tools.mcp.opening import survey

    with explained(_NEXT_STEP):
        rows = asyncio.run(
            survey(
                settings.mcp_servers,
                folder=settings.data_dir,
                connect_seconds=settings.connect_timeout_seconds,
                clock=SystemClock(),
            )
        )
    table = Table("server", "tool", "state", "digest")
    for row in rows:
        table.add_row(row.server, row.tool, row.state, row.digest)
    # As wide as it needs: a digest that is cut off, or broken over two lines, can be copied nowhere.
    Console(highlight=False, width=_WIDEST).print(table)
    if any(row.state in ("changed", "down", "refuses us", "not declared") for row in rows):
        raise typer.Exit(1)


@app.command("allow")
def allow(
    server: Annotated[str, typer.Argument(help="As the settings name it.")],
    tool: Annotated[str, typer.Argument(help="As the server names it.")],
    digest: Annotated[
        str, typer.Argument(help="The form that was looked at, as `careline mcp list` shows it.")
    ],
) -> None:
    """
    Allow a tool in the form that `digest` names, from now on.

    A service that runs takes note within seconds. Where the settings pin a digest, they decide.
    """
    settings = settings_or_exit()
    from tools.mcp.pins import Pins

    rules = settings.mcp_servers.get(server)
    if rules is None or tool not in rules.tools:
        fail(f"The settings list no tool {tool} of a server {server}.", next_step=_NEXT_STEP)
    if rules.tools[tool].digest is not None:
        fail(f"The settings pin {server}/{tool}.", next_step="Change its digest there.")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        fail("That is no digest: 64 hexadecimal digits.", next_step="careline mcp list shows it.")
    Pins(settings.data_dir).allow(server, tool, digest)
    out.print(f"{server}/{tool} is allowed in this form.")
