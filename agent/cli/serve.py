"""
Run the service: the HTTP interface, its turns and its loops, until SIGTERM or Ctrl-C.
"""

import asyncio
import contextlib
import socket
from typing import Annotated

import typer

from agent.cli.common import explained, run_loop, settings_or_exit
from core.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else CARELINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CARELINE_PORT. 0 picks a free one.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the port; else CARELINE_WORKERS.")
    ] = None,
    inherited_socket: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """
    Serve the chat API, the widget and the health routes.

    Needs nothing: without settings it listens on 127.0.0.1:8000, keeps everything in careline.db here, and answers with the
    built-in brain. docs/settings.md lists every setting.
    """
    settings = settings_or_exit(host=host, port=port, workers=workers)
    with explained():
        if settings.workers > 1:
            _run_workers(settings)
        else:
            run_loop(_run(settings, inherited_socket))


def _run_workers(settings: Settings) -> None:
    """The tables are brought up to date once, before the first worker looks at them, where the databases can be reached."""
    from agent.bootstrap import migrate_once
    from agent.cli.listening import announce, bind
    from agent.cli.workers import run_workers

    with contextlib.closing(bind(settings.host, settings.port)) as listener:
        asyncio.run(migrate_once(settings))
        run_workers(settings, listener, listening=lambda: announce(listener, settings))


async def _run(settings: Settings, inherited_socket: int | None) -> None:
    """Everything is ready before the port is."""
    from agent.api.mcp import open_mcp_endpoint
    from agent.app import create_app
    from agent.bootstrap import open_careline
    from agent.cli.listening import announce, bind, listen, url_of
    from agent.cli.workers import end_with_parent
    from agent.widget.pages import widget_router

    is_worker = inherited_socket is not None
    if inherited_socket is not None:
        listener = socket.socket(fileno=inherited_socket)
        end_with_parent()
    else:
        listener = bind(settings.host, settings.port)
    with contextlib.closing(listener):
        async with (
            open_careline(settings, may_wait=True) as careline,
            open_mcp_endpoint(careline.parts) as mcp,
        ):
            app = create_app(careline.parts, pages=[widget_router()], mcp=mcp)
            if not is_worker:
                url = url_of(listener)
                announce(
                    listener,
                    settings,
                    hints=(f"Ask: POST {url}/v1/chat", f'Widget: <script src="{url}/widget.js"></script>'),
                )
            await listen(app, careline, listener)
