"""
Everything that `careline doctor` looks at, by name. A connector's check is added here with one line.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from agent.doctor.databases import database_checks
from agent.doctor.desk import check_desk
from agent.doctor.dialogues import dialogue_checks
from agent.doctor.findings import Check, Finding, broken, examine, warn
from agent.doctor.handoff import check_handoff
from agent.doctor.lookups import lookup_checks
from agent.doctor.machine import check_embedder, check_folder
from agent.doctor.mcp_servers import mcp_checks
from agent.doctor.models import model_checks
from agent.doctor.notifications import notification_checks
from agent.doctor.services import check_broker, check_keys, check_redis
from agent.workers.brokers import BrokerNotInstalled, make_broker
from core.errors import ToolMisconfigured
from core.resilience.policies import guard_policies
from core.settings import Settings

_LONGEST_SECONDS = 6.0
"""Each check has shorter limits of its own: only a machine that is overloaded meets this one."""


async def diagnose(settings: Settings) -> Sequence[Finding]:
    """In a few seconds, whatever is down. The broker's libraries take one of them to load, which is not the broker's fault."""
    if settings.broker_url is not None:
        with suppress(BrokerNotInstalled):  # said by the check
            make_broker(settings.broker_url.get_secret_value(), lease_seconds=settings.outbox_lease_seconds)
    return await examine(_checks(settings), seconds=_LONGEST_SECONDS)


def _checks(settings: Settings) -> Mapping[str, Check]:
    return {
        **database_checks(settings),
        "redis": partial(check_redis, settings),
        **model_checks(settings),
        **notification_checks(settings),
        **({} if settings.ticket_desk is None else {"desk": partial(check_desk, settings)}),
        "handoff": partial(check_handoff, settings),
        **lookup_checks(settings),
        **mcp_checks(settings),
        **dialogue_checks(settings),
        "identity": partial(check_keys, settings),
        "broker": partial(check_broker, settings),
        **({"breakers": partial(_check_breakers, settings)} if settings.breaker_states else {}),
        "data_dir": partial(check_folder, settings),
        "embedder": partial(check_embedder, settings),
    }


async def _check_breakers(settings: Settings) -> Finding:
    try:
        guard_policies(settings)
    except ToolMisconfigured as exc:
        return broken("breakers", str(exc), "Correct CARELINE_BREAKER_STATES.")
    by_hand = ", ".join(f"{name} {state}" for name, state in settings.breakers_by_hand().items())
    return warn("breakers", f"set by hand: {by_hand}", "Leave CARELINE_BREAKER_STATES out once that is over.")
