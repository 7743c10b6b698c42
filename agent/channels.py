"""
The composition root's part for notifications: which channels the settings name, with their clients, guards and probes, and
the rules that all of them keep.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TextIO

from agent.turn.calling import TeamAddress
from core.clock import Clock
from core.errors import ToolMisconfigured
from core.notification_rules import QuietHours, parse_rates, zone_named
from core.notification_settings import CHANNELS
from core.records import TeamChannel
from core.resilience.degradation import GracefulDegradationHandler, Probe
from core.resilience.guard import Guard
from core.settings import Settings
from tools.adapters.apprise import AppriseChannel
from tools.adapters.console import ConsoleChannel
from tools.adapters.opening import open_sendgrid, open_twilio, open_webhook
from tools.adapters.sendgrid import SendGridChannel
from tools.adapters.smtp import SmtpChannel, SmtpServer
from tools.ports import BounceSource, NotificationChannel, NotificationLog
from tools.sending import SendingPolicy, SendingRules, guard_name

_SELDOM_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """
    `by_name` has the usual one first; `bounces` are those that hear later of addresses that do not work. `mail` is None where
    e-mail goes to nobody; `mail_guard` is the name of its guard.
    """

    by_name: Mapping[str, NotificationChannel]
    bounces: Sequence[BounceSource]
    mail: SmtpChannel | SendGridChannel | None
    mail_guard: str
    to_team: Mapping[str, NotificationChannel]
    """Ways on which the team is told of handoffs; `team_guards` has the guard of each, by the name that the outbox looks up."""
    team_guards: Mapping[str, Guard]


async def open_channels(
    settings: Settings,
    *,
    degradation: GracefulDegradationHandler,
    guards: Mapping[str, Guard],
    clock: Clock,
    stack: AsyncExitStack,
    console: TextIO | None = None,
) -> Channels:
    """
    Where nothing is set up, notifications are printed to `console`, under the name that tools ask for.

    Raises:
        ToolMisconfigured: the usual channel is not set up, or a channel cannot be opened as it is.
    """
    found: dict[str, NotificationChannel] = {}
    probes: dict[str, tuple[Probe, bool]] = {}
    bounces: list[BounceSource] = []
    mail: SmtpChannel | SendGridChannel | None = None
    to_team: dict[str, NotificationChannel] = {}

    if settings.smtp_url is not None:
        smtp = SmtpChannel(
            SmtpServer.parse(settings.smtp_url.get_secret_value()),
            sender=settings.smtp_sender,
            step_seconds=settings.smtp_step_seconds,
        )
        mail = found["email"] = smtp
        probes["email"] = (smtp.probe, False)
    seconds = settings.notification_seconds
    if (sendgrid := await stack.enter_async_context(open_sendgrid(settings, seconds=seconds))) is not None:
        mail = found["email"] = sendgrid
        probes["email"] = (sendgrid.probe, True)
        bounces.append(sendgrid)
    if (twilio := await stack.enter_async_context(open_twilio(settings, seconds=seconds))) is not None:
        found["sms"], probes["sms"] = twilio, (twilio.probe, True)
        bounces.append(twilio)
    if settings.chat_url is not None:
        chat = AppriseChannel(settings.chat_url.get_secret_value(), seconds=seconds)
        found["chat"] = await stack.enter_async_context(chat)
    webhook = await stack.enter_async_context(open_webhook(settings, clock=clock, seconds=seconds))
    if webhook is not None:
        to_team[TeamChannel.WEBHOOK] = webhook.telling("handoff")
        found["webhook"], probes["webhook"] = webhook, (webhook.probe, True)

    if mail is not None and settings.team_mailbox is not None:
        to_team[TeamChannel.EMAIL] = mail
    if not found:
        found["email"] = ConsoleChannel("email", stream=console)
    usual = settings.usual_channel or next(name for name in CHANNELS if name in found)
    if usual not in found:
        raise ToolMisconfigured(
            f"CARELINE_USUAL_CHANNEL is {usual}, which is not set up: there is {', '.join(found)}"
        )
    for name in found:
        dependency = guard_name(name, usual=usual)
        degradation.watch(guards[dependency])
        if name in probes:
            probe, is_dear = probes[name]
            if is_dear:
                probe = seldom(probe, is_down=partial(degradation.is_down, dependency), clock=clock)
            degradation.add_probe(dependency, probe, is_counted=is_dear)
    return Channels(
        by_name={usual: found[usual], **found},
        bounces=bounces,
        mail=mail,
        mail_guard=guard_name("email", usual=usual),
        to_team=to_team,
        team_guards={
            guard_name(each, usual=None): guards[guard_name(each.removeprefix("handoff."), usual=usual)]
            for each in to_team
        },
    )


def team_addresses(settings: Settings, channels: Channels) -> tuple[TeamAddress, ...]:
    """Nobody is called where nothing is set up: operators see who waits in `careline handoff list`."""
    mailbox = {TeamChannel.EMAIL: settings.team_mailbox}
    return tuple(TeamAddress(each, mailbox.get(each)) for each in map(TeamChannel, channels.to_team))


def sending_rules(settings: Settings, log: NotificationLog, *, clock: Clock) -> SendingRules:
    policy = SendingPolicy(
        quiet_hours=QuietHours.parse(settings.quiet_hours) if settings.quiet_hours else None,
        quiet_channels=frozenset(part.strip() for part in settings.quiet_channels.split(",")),
        zone=zone_named(settings.default_timezone) or SendingPolicy().zone,
        rates=parse_rates(settings.notification_rate),
        repeat_window=timedelta(minutes=settings.notification_repeat_minutes),
    )
    return SendingRules(log, policy, clock=clock)


def seldom(probe: Probe, *, is_down: Callable[[], bool], clock: Clock) -> Probe:
    """A provider that works is asked once a minute; one that is down, as often as the others are."""
    worked_at: float | None = None

    async def ask() -> None:
        nonlocal worked_at
        if worked_at is not None and clock.monotonic() - worked_at < _SELDOM_SECONDS and not is_down():
            return
        worked_at = None
        await probe()
        worked_at = clock.monotonic()

    return ask
