"""
Run the service: the HTTP interface, its turns and its loops, until SIGTERM or Ctrl-C.
"""

import contextlib
from typing import Annotated

import typer

from agent.cli.common import explained, run_loop, settings_or_exit
from core.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else CARELINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CARELINE_PORT. 0 picks a free one.")] = None,
) -> None:
    """
    Serve the chat API, the widget and the health routes.

    Needs nothing: without settings it listens on 127.0.0.1:8000, keeps everything in careline.db here, and answers with the
    built-in brain. docs/settings.md lists every setting.
    """
    settings = settings_or_exit(host=host, port=port)
    with explained():
        run_loop(_run(settings))


async def _run(settings: Settings) -> None:
    """Everything is ready before the port is."""
    from agent.app import create_app
    from agent.bootstrap import open_careline
    from agent.cli.listening import bind, listen, url_of
    from agent.widget.pages import widget_router

    with contextlib.closing(bind(settings.host, settings.port)) as listener:
        async with open_careline(settings) as careline:
            url = url_of(listener)
            hints = (f"Ask: POST {url}/v1/chat", f'Widget: <script src="{url}/widget.js"></script>')
            app = create_app(careline.parts, pages=[widget_router()])
            await listen(app, careline, listener, hints=hints)
