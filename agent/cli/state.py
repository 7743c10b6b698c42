"""
What an operator decides about stored conversations when their copies disagree.
"""

import asyncio
from typing import Annotated

import typer

from agent.cli.common import explained, out, settings_or_exit
from core.identity import DEFAULT_TENANT

app = typer.Typer(help="Decide what holds where stored copies disagree.", no_args_is_help=True)


@app.callback()
def state() -> None:
    """Decide what holds where stored copies disagree."""


@app.command("accept-sql")
def accept_sql(
    conversation_id: Annotated[str, typer.Argument(help="As the log line `state.redis_ahead` names it.")],
    tenant: Annotated[str, typer.Option(help="Whose conversation it is.")] = DEFAULT_TENANT,
) -> None:
    """
    Let a conversation go on from what SQL holds.

    For conversations of which Redis has seen a newer version than SQL has, as after restoring a backup: they are not answered
    until somebody has decided. What only Redis's copy held of this conversation is given up; waiting messages are answered once
    their lease has run out.
    """
    settings = settings_or_exit()
    from agent.bootstrap import accept_sql as accept

    with explained(
        "Check the id and --tenant, that CARELINE_DATABASE_URL and CARELINE_REDIS_URL are the service's, and that both run."
    ):
        asyncio.run(accept(settings, tenant, conversation_id))
    out.print(f"{conversation_id} goes on from what SQL holds.")
