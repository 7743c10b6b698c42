"""
The ways to send notifications that the settings name: whether each lets us in. Nobody is written to.

A webhook gets its signed ping, about which its receiver does nothing; of a chat service only the URL can be read.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from agent.doctor.findings import Check, Finding, broken, in_thread, ok, warn
from agent.doctor.services import check_mail
from core.clock import SystemClock
from core.errors import CarelineError, DependencyRefusedUs, RateLimited, ToolMisconfigured
from core.notification_settings import CHANNELS
from core.settings import Settings
from tools.adapters.apprise import AppriseChannel
from tools.adapters.opening import open_sendgrid, open_twilio, open_webhook

_REACH_SECONDS = 1.5


class _Probed(Protocol):
    async def probe(self) -> None: ...


def notification_checks(settings: Settings) -> Mapping[str, Check]:
    """The console's line stands where nothing is set up."""
    checks: dict[str, Check] = {}
    ways: dict[str, bool] = {
        "email": settings.smtp_url is not None or settings.sendgrid_key is not None,
        "sms": settings.twilio_account is not None,
        "chat": settings.chat_url is not None,
        "webhook": settings.webhook_url is not None,
    }
    if settings.smtp_url is not None or not any(ways.values()):
        checks["smtp"] = partial(check_mail, settings)
    if settings.sendgrid_key is not None:
        checks["sendgrid"] = partial(check_sendgrid, settings)
    if ways["sms"]:
        checks["sms"] = partial(_check_twilio, settings)
    if settings.chat_url is not None:
        checks["chat"] = partial(_check_chat, settings.chat_url.get_secret_value())
    if ways["webhook"]:
        checks["webhook"] = partial(_check_webhook, settings)
    if settings.usual_channel is not None and not ways[settings.usual_channel]:
        checks["usual_channel"] = partial(_without_usual, settings.usual_channel, ways)
    return checks


async def check_sendgrid(settings: Settings, name: str = "sendgrid") -> Finding:
    return await _probed(
        name,
        open_sendgrid(settings, seconds=_REACH_SECONDS),
        credentials="CARELINE_SENDGRID_KEY",
        place="CARELINE_SENDGRID_URL or CARELINE_SMTP_SENDER",
    )


async def _check_twilio(settings: Settings) -> Finding:
    return await _probed(
        "sms",
        open_twilio(settings, seconds=_REACH_SECONDS),
        credentials="CARELINE_TWILIO_ACCOUNT and CARELINE_TWILIO_KEY",
        place="CARELINE_TWILIO_URL or CARELINE_TWILIO_ACCOUNT",
    )


async def _check_webhook(settings: Settings) -> Finding:
    return await _probed(
        "webhook",
        open_webhook(settings, clock=SystemClock(), seconds=_REACH_SECONDS),
        credentials="that the receiver has the secret in CARELINE_WEBHOOK_SECRET, and knows a `ping`",
        place="CARELINE_WEBHOOK_URL",
    )


async def _probed(
    name: str,
    opening: "AbstractAsyncContextManager[_Probed | None]",
    *,
    credentials: str,
    place: str,
) -> Finding:
    try:
        async with opening as channel:
            if channel is not None:
                await channel.probe()
    except DependencyRefusedUs as exc:
        return broken(name, str(exc), f"Check {credentials}: it is there and refuses us.")
    except RateLimited:
        return warn(name, "reached, and says that it is asked too often", "Wait a minute.")
    except CarelineError as exc:
        return broken(
            name,
            str(exc),
            f"Wait for it, or correct {place}. Until then notifications are kept and sent later.",
        )
    return ok(name, "reached, and it lets us in")


async def _check_chat(url: str) -> Finding:
    try:
        await in_thread(lambda: AppriseChannel(url, seconds=_REACH_SECONDS))
    except ToolMisconfigured as exc:
        return broken(
            "chat",
            str(exc),
            "Install the extra `apprise`, or correct CARELINE_CHAT_URL by apprise's list of services.",
        )
    return ok(
        "chat", "apprise can read CARELINE_CHAT_URL; whether the service takes messages, the first one shows"
    )


async def _without_usual(usual: str, ways: Mapping[str, bool]) -> Finding:
    there = ", ".join(name for name in CHANNELS if ways[name]) or "none"
    return broken(
        "usual_channel",
        f"CARELINE_USUAL_CHANNEL is {usual}, which is not set up (set up: {there})",
        f"Set up {usual} as docs/notifications.md says, or correct CARELINE_USUAL_CHANNEL.",
    )
