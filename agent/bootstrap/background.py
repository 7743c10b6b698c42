"""The loops that run beside the turns, and the broker between those that promise and those that carry out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from agent.channels import Channels
from agent.control.plane import KEPT_BY_KEY
from agent.turn.pipeline import TurnPipeline
from agent.workers.bounces import BounceWatch
from agent.workers.broker import Announcements, Intake
from agent.workers.brokers import make_broker
from agent.workers.drain import JournalDrain
from agent.workers.outbox import OutboxDispatcher
from agent.workers.retention import Retention
from agent.workers.spawner import Spawner
from agent.workers.supervise import supervised
from agent.workers.sweeper import Sweeper
from core.clock import Clock
from core.settings import Settings
from state.opening import OpenState
from state.sql.events import SqlTurnEvents
from state.sql.old_effects import SqlOldEffects
from tools.sending import SendingRules

_DAY_SECONDS = 86_400


def background_loops(
    settings: Settings,
    records: OpenState,
    turns: TurnPipeline,
    dispatcher: OutboxDispatcher,
    *,
    bounces: BounceWatch,
    spawner: Spawner,
    clock: Clock,
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """What any number of processes may do at once, without doing anything twice."""
    kept_seconds = settings.outbox_kept_days * _DAY_SECONDS
    effect_seconds = settings.effects_kept_days * _DAY_SECONDS
    explained_seconds = settings.explained_days * _DAY_SECONDS
    recorded_seconds = settings.recorded_days * _DAY_SECONDS
    retention = Retention(
        {
            "outbox": lambda: records.outbox.forget(kept_seconds=kept_seconds),
            "effects": lambda: SqlOldEffects(records.database).forget(kept_seconds=effect_seconds),
            "turn_events": SqlTurnEvents(records.database, clock=clock).forget,
            "explanations": lambda: records.explanations.forget(kept_seconds=explained_seconds),
            "recordings": lambda: records.recordings.forget(kept_seconds=recorded_seconds),
            "control_requests": lambda: records.control.forget_requests(before=clock.now() - KEPT_BY_KEY),
        },
        clock=clock,
    )
    sweeper = Sweeper(
        records.conversations, turns.resume, every_seconds=settings.seconds_between_sweeps, clock=clock
    )
    return {
        "outbox": dispatcher.run,
        "sweeper": sweeper.run,
        "drain": JournalDrain(records.conversations, drained=dispatcher.wake, clock=clock).run,
        "retention": retention.run,
        "bounces": bounces.run,
        "spawner": spawner.run,
    }


def make_announcements(settings: Settings, clock: Clock) -> Announcements | None:
    if settings.broker_url is None:
        return None
    url = settings.broker_url.get_secret_value()
    make_broker(
        url, lease_seconds=settings.outbox_lease_seconds
    )  # what is not installed is said at the start
    return Announcements(
        lambda: make_broker(url, lease_seconds=settings.outbox_lease_seconds),
        wait_seconds=settings.broker_timeout_seconds,
        clock=clock,
    )


def make_intake(settings: Settings, dispatcher: OutboxDispatcher, clock: Clock) -> Intake | None:
    if settings.broker_url is None:
        return None
    url = settings.broker_url.get_secret_value()
    return Intake(
        lambda: make_broker(url, lease_seconds=settings.outbox_lease_seconds),
        dispatcher.work_on,
        wait_seconds=settings.broker_timeout_seconds,
        clock=clock,
    )


def bounce_watch(
    settings: Settings, channels: Channels, records: OpenState, rules: SendingRules, clock: Clock
) -> BounceWatch:
    return BounceWatch(
        channels.bounces if settings.bounce_check_minutes else (),
        records.notifications,
        rules,
        every_seconds=60 * (settings.bounce_check_minutes or 60),
        clock=clock,
    )


@asynccontextmanager
async def running(loops: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(supervised(name, loop, clock=clock), name=name) for name, loop in loops.items()
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
