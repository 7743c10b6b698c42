"""
The desk that the settings name for tickets: whether it lets us in.
"""

import msgspec

from agent.doctor.findings import Finding, broken, ok, warn
from agent.doctor.notifications import check_sendgrid
from agent.doctor.services import check_mail
from core.clock import SystemClock
from core.errors import CarelineError, DependencyRefusedUs, RateLimited
from core.settings import Settings
from tools.adapters.desks.opening import open_vendor

_REACH_SECONDS = 1.5


async def check_desk(settings: Settings) -> Finding:
    """The desk that the settings name, in place of Careline's own table, which is looked at with the databases."""
    name = settings.ticket_desk
    if name == "email" and settings.sendgrid_key is not None:
        return await check_sendgrid(settings, "desk")
    if name == "email":
        return msgspec.structs.replace(await check_mail(settings), name="desk")
    try:
        async with open_vendor(settings, clock=SystemClock(), timeout_seconds=_REACH_SECONDS) as vendor:
            await vendor.probe()
    except DependencyRefusedUs as exc:
        return broken(
            "desk",
            str(exc),
            "Check CARELINE_TICKET_DESK_KEY (and CARELINE_TICKET_DESK_USER): the desk is there and refuses them.",
        )
    except RateLimited:
        return warn("desk", f"{name} is reached, and says that it is asked too often", "Wait a minute.")
    except CarelineError as exc:
        return broken(
            "desk",
            str(exc),
            "Correct CARELINE_TICKET_DESK_URL or CARELINE_TICKET_DESK_PROJECT, or wait for the desk. Until then tickets are "
            "kept and opened later.",
        )
    return ok("desk", f"{name} is reached, and it lets us in")
