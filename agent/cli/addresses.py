"""
What an operator decides about addresses that a channel has refused.
"""

import asyncio
from typing import Annotated

import typer

from agent.cli.common import USAGE_ERROR, explained, fail, out, settings_or_exit
from core.identity import DEFAULT_TENANT
from core.notification_settings import CHANNELS

app = typer.Typer(help="Addresses that notifications are not sent to any more.", no_args_is_help=True)


@app.callback()
def addresses() -> None:
    """Addresses that notifications are not sent to any more."""


@app.command("allow")
def allow(
    channel: Annotated[str, typer.Argument(help="email, sms, chat or webhook.")],
    address: Annotated[str, typer.Argument(help="As it stands on the customer's record.")],
    tenant: Annotated[str, typer.Option(help="Whose customer it is.")] = DEFAULT_TENANT,
) -> None:
    """
    Let notifications go to an address again that was refused or bounced.

    Where SendGrid has it on a list of its own, take it off there first: else it is found there again.
    """
    settings = settings_or_exit()
    if channel not in CHANNELS:
        fail(f"{channel} is no channel", next_step=f"There are {', '.join(CHANNELS)}.", code=USAGE_ERROR)
    from agent.bootstrap import allow_address

    with explained(
        "Check the channel, the address and --tenant, and that CARELINE_DATABASE_URL is the service's and it runs."
    ):
        asyncio.run(allow_address(settings, tenant, channel, address))
    out.print("Notifications go to this address again.")
