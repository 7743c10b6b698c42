"""What the commands open: as much of the service as each needs."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from agent.api.wire import ExplainedTurn
from agent.bootstrap.records import make_guards, open_for_command
from agent.workers.explanations import Explanations
from agent.workers.handoffs import HandoffDesk
from agent.workers.late_start import UNREACHABLE
from agent.workers.settling import OutboxDesk
from core.clock import SystemClock
from core.errors import DependencyUnavailable, NotFound
from core.ids import new_id
from core.records import recipient_of
from core.settings import Settings
from core.telemetry.logging import get_logger
from core.telemetry.metrics import Metrics
from state.opening import migrate, migrations, open_state
from state.sql.history import SqlHistory
from state.sql.operator_queue import SqlOperatorQueue
from tools.addresses import compact_phone_number

log = get_logger(__name__)


@asynccontextmanager
async def open_outbox_desk(settings: Settings) -> AsyncIterator[OutboxDesk]:
    """Only the record: an operator looks and decides while the service runs, or does not."""
    async with open_for_command(settings) as opened:
        records, clock = opened.records, opened.clock
        queue = SqlOperatorQueue(records.database)
        yield OutboxDesk(records.outbox, queue, records.conversations, clock=clock)


@asynccontextmanager
async def open_handoff_desk(settings: Settings) -> AsyncIterator[HandoffDesk]:
    """The record, and Redis behind it, as a replica has them: a person writes while the service runs, or does not."""
    async with open_for_command(settings) as opened:
        records, clock = opened.records, opened.clock
        yield HandoffDesk(
            records.conversations,
            records.handoffs,
            kept_for=timedelta(minutes=settings.handoff_timeout_minutes),
            default_locale=settings.default_locale,
            clock=clock,
        )


@asynccontextmanager
async def open_history(settings: Settings) -> AsyncIterator[SqlHistory]:
    """The record of all conversations, for reading."""
    async with open_for_command(settings) as opened:
        yield SqlHistory(opened.records.database)


async def explained_turn(settings: Settings, tenant: str, turn_id: str) -> ExplainedTurn:
    """
    Raises:
        NotFound: no such turn, or it is not answered yet.
        DependencyUnavailable, DependencyTimeout: SQL cannot be asked.
    """
    async with open_for_command(settings) as opened:
        records, clock = opened.records, opened.clock
        record = await records.conversations.turn(tenant, turn_id)
        if record is None or record.result is None:
            missing = "is not answered yet" if record is not None else "is not known"
            raise NotFound(f"turn {turn_id} of tenant {tenant} {missing}")
        return ExplainedTurn(
            turn=record.result,
            explanation=await Explanations(records.explanations, clock=clock).of_turn(tenant, turn_id),
            feedback=tuple(await records.feedback.of_turn(tenant, record.conversation_id, turn_id)),
        )


async def migrate_all(settings: Settings) -> None:
    """Bring every database that the settings name to the tables of this version."""
    await migrate(settings)


async def migrate_once(settings: Settings) -> None:
    """Before the workers start, so that they need not wait for each other; they do what cannot be done yet."""
    for migration in migrations(settings):
        try:
            await migration.run()
        except DependencyUnavailable as away:
            if away.reason != UNREACHABLE:
                raise
            log.warning("start.database_away", dependencies=list(migration.dependencies), error=str(away))


async def accept_sql(settings: Settings, tenant: str, conversation_id: str) -> None:
    """
    Drop what Redis copied of a conversation, so that it goes on from SQL.

    Raises:
        NotFound: SQL has no such conversation.
        DependencyUnavailable: SQL or Redis cannot be asked, or no Redis is configured.
    """
    clock = SystemClock()
    guards = make_guards(settings, clock=clock, rng=random.Random(), metrics=Metrics())
    async with open_state(
        settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=new_id("operator")
    ) as records:
        if records.copy is None:
            raise DependencyUnavailable("redis", "no Redis is configured, so there is no copy of anything")
        await records.database.ping()  # while SQL is away the journal would answer for it
        if await records.conversations.conversation(tenant, conversation_id) is None:
            raise NotFound(f"no conversation {conversation_id} of tenant {tenant}")
        await records.copy.forget(tenant, conversation_id)


async def allow_address(settings: Settings, tenant: str, channel: str, address: str) -> None:
    """
    Let notifications go to an address again that was refused.

    Raises:
        NotFound: it is not among the refused ones.
        DependencyUnavailable: SQL cannot be asked.
    """
    async with open_for_command(settings) as opened:
        if channel == "sms":
            address = compact_phone_number(address)
        if not await opened.records.notifications.allow_address(tenant, recipient_of(channel, address)):
            raise NotFound(f"tenant {tenant} has no such address of {channel} that was refused")
