"""
The providers of notifications that the settings name, opened; guards, probes and the choice between them are left to who asks.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.clock import Clock
from core.http import make_client
from core.settings import Settings
from tools.adapters.posting import DEPENDENCY
from tools.adapters.sendgrid import SendGridChannel
from tools.adapters.twilio import TwilioChannel
from tools.adapters.webhook import WebhookChannel


@asynccontextmanager
async def open_sendgrid(settings: Settings, *, seconds: float) -> AsyncIterator[SendGridChannel | None]:
    """None where it is not set up. `seconds` bounds each answer, here and below."""
    if settings.sendgrid_key is None:
        yield None
        return
    async with make_client(
        DEPENDENCY,
        base_url=settings.sendgrid_url,
        timeout_seconds=seconds,
        connect_seconds=settings.connect_timeout_seconds,
        headers={"Authorization": f"Bearer {settings.sendgrid_key.get_secret_value()}"},
    ) as client:
        yield SendGridChannel(client, sender=settings.smtp_sender)


@asynccontextmanager
async def open_twilio(settings: Settings, *, seconds: float) -> AsyncIterator[TwilioChannel | None]:
    if settings.twilio_account is None or not settings.twilio_key or not settings.twilio_sender:
        yield None
        return
    key = settings.twilio_key.get_secret_value()
    login = key if ":" in key else f"{settings.twilio_account}:{key}"
    async with make_client(
        DEPENDENCY,
        base_url=settings.twilio_url,
        timeout_seconds=seconds,
        connect_seconds=settings.connect_timeout_seconds,
        headers={"Authorization": "Basic " + base64.b64encode(login.encode()).decode()},
    ) as client:
        yield TwilioChannel(client, account=settings.twilio_account, sender=settings.twilio_sender)


@asynccontextmanager
async def open_webhook(
    settings: Settings, *, clock: Clock, seconds: float
) -> AsyncIterator[WebhookChannel | None]:
    if settings.webhook_url is None or settings.webhook_secret is None:
        yield None
        return
    async with make_client(
        DEPENDENCY,
        base_url=settings.webhook_url,
        timeout_seconds=seconds,
        connect_seconds=settings.connect_timeout_seconds,
    ) as client:
        yield WebhookChannel(
            client,
            url=settings.webhook_url,
            secret=settings.webhook_secret.get_secret_value(),
            clock=clock,
        )
