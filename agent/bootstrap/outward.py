"""What the service does elsewhere: the ticket desk, and the tools of other servers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from agent.channels import Channels, seldom
from agent.workers.ticket_fallback import TicketFallback
from core.clock import Clock
from core.resilience.degradation import GracefulDegradationHandler, Probe
from core.resilience.guard import Guard
from core.settings import Settings
from state.opening import OpenState
from tools.adapters.desks.mail import MailTicketDesk
from tools.adapters.desks.opening import OpenDesk, open_desk
from tools.mcp.opening import McpServers, open_mcp_servers
from tools.mcp.tool import FEATURE as OUTSIDE_TOOLS


@asynccontextmanager
async def open_tickets(
    settings: Settings,
    records: OpenState,
    channels: Channels,
    degradation: GracefulDegradationHandler,
    clock: Clock,
) -> AsyncIterator[OpenDesk]:
    async with open_desk(
        settings,
        records=records.tickets,
        records_probe=records.tickets_database.ping,
        mail=channels.mail,
        clock=clock,
    ) as desk:
        probe: Probe = desk.probe
        is_vendors = settings.ticket_desk is not None
        if is_vendors:
            probe = seldom(probe, is_down=partial(degradation.is_down, "tickets"), clock=clock)
        degradation.add_probe("tickets", probe, is_counted=is_vendors)
        yield desk


def ticket_fallback(
    settings: Settings, channels: Channels, guards: Mapping[str, Guard], clock: Clock
) -> TicketFallback | None:
    if settings.ticket_fallback_email is None or channels.mail is None:
        return None
    return TicketFallback(
        desk=MailTicketDesk(channels.mail, address=settings.ticket_fallback_email, clock=clock),
        guard=guards[channels.mail_guard],
        attempts=settings.ticket_fallback_attempts,
    )


async def open_outside_tools(
    settings: Settings,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    clock: Clock,
    stack: AsyncExitStack,
) -> McpServers:
    """Each server is a dependency of its own: one that is down takes away its own tools."""
    servers = await stack.enter_async_context(
        open_mcp_servers(
            settings.mcp_servers,
            guards=guards,
            folder=settings.data_dir,
            connect_seconds=settings.connect_timeout_seconds,
            clock=clock,
        )
    )
    for link in servers.links:
        degradation.declare(OUTSIDE_TOOLS, link.dependency)
        degradation.watch(guards[link.dependency])
        degradation.add_probe(link.dependency, link.probe)
    return servers
