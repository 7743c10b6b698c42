"""
Serve the invented shop: its help centre, customers, orders and tickets, and a page with the widget.
"""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.common import explained, out, run_loop, settings_or_exit
from core.settings import Settings


def demo(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else CARELINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CARELINE_PORT. 0 picks a free one.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its database.")] = Path("careline-demo"),
) -> None:
    """
    Serve an invented shop to try everything: open the printed address and ask.

    Keeps its data in a folder of its own and needs no network. Settings such as CARELINE_MODEL_URL or CARELINE_REDIS_URL work
    here too.
    """
    from agent.demo import shop

    folder.mkdir(parents=True, exist_ok=True)
    has_own_database = "CARELINE_DATABASE_URL" in os.environ
    settings = settings_or_exit(
        host=host,
        port=port,
        company_name=shop.COMPANY,
        contact_address=shop.CONTACT,
        data_dir=folder / "knowledge",
        database_url=None if has_own_database else f"sqlite+aiosqlite:///{folder / 'demo.db'}",
    )
    with explained(f"Remove the folder {folder} and start again, or choose another with --folder."):
        run_loop(_run(settings))


async def _run(settings: Settings) -> None:
    from agent.app import create_app
    from agent.bootstrap import open_careline
    from agent.cli.listening import announce, bind, listen
    from agent.demo import shop
    from agent.demo.load import load_shop
    from agent.widget.demo_pages import ShopWindow, demo_router
    from agent.widget.pages import widget_router

    with contextlib.closing(bind(settings.host, settings.port)) as listener:
        async with open_careline(settings) as careline:
            await load_shop(
                directory=careline.records.customers,
                desk=careline.records.tickets,
                ingestion=careline.ingestion,
                now=careline.clock.now(),
            )
            window = ShopWindow(
                company=shop.COMPANY,
                contact=shop.CONTACT,
                articles=shop.articles(),
                questions=shop.questions(),
                customers=shop.customers(careline.clock.now()) if settings.is_local else (),
            )
            app = create_app(careline.parts, pages=[widget_router(), demo_router(window)])
            out.print(f"{shop.COMPANY}: open the address below and ask, for example: {shop.questions()[0]}")
            announce(listener, settings)
            await listen(app, careline, listener)
