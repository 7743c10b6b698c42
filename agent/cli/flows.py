"""
What a company needs to write dialogues of its own: whether a folder of them can be used, and what they do.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agent.cli.common import err, explained, out, settings_or_exit

app = typer.Typer(help="Check dialogues of your own.", no_args_is_help=True)


@app.callback()
def flows() -> None:
    """Check dialogues of your own (docs/flows.md)."""


@app.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="The folder with the YAML files; left out, the one that CARELINE_FLOWS names."),
    ] = None,
    locale: Annotated[
        str, typer.Option(help="Language in which the outline shows the texts, e.g. en or de.")
    ] = "en",
    built_in: Annotated[bool, typer.Option("--built-in", help="Show the built-in dialogues, too.")] = False,
) -> None:
    """
    Read every flow of the folder, name all that is wrong with file, line and field, and show each as an outline.

    Opens nothing and calls nothing. Ends with code 1 where the service would not start with this folder. What the tools of an
    outside MCP server take is not known here: the service checks their arguments where the server can be asked.
    """
    settings = settings_or_exit()
    from agent.bootstrap import check_flows

    with explained():
        checked = check_flows(settings, folder or settings.flows)
    shown = list(checked.library) if built_in else list(checked.library.own)
    from agent.brain.flows.outline import outline

    for flow in shown:
        out.print(escape(outline(flow, locale=locale)), soft_wrap=True)
        out.print()
    for tool in checked.unknown_arguments:
        err.print(f"[yellow]{escape(tool)}[/yellow]: its arguments were not checked", soft_wrap=True)
    flow_count, text_count = len(checked.library.own), checked.own_texts
    out.print(f"Nothing is wrong. Flows: {flow_count}; texts worded anew: {text_count}.")
