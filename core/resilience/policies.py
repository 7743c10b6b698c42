"""
How long each dependency may take and how often it is tried: one policy per name, from the settings.

Only what reads is repeated inside a turn: what writes is repeated by whoever knows its key, and a customer waits for the rest.
"""

from collections.abc import Mapping

from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import GuardPolicy
from core.resilience.retry import RetryPolicy
from core.settings import Settings

SMTP_STEP_SECONDS = 1.5
_SMTP_STEPS = 4
"""Connecting, greeting, the envelope, the message: the adapter must be the one who gives up, because it knows how far it got."""


def guard_policies(settings: Settings) -> Mapping[str, GuardPolicy]:
    once = RetryPolicy(attempts=1)

    def record(url: str | None, *, concurrency: int = 64) -> GuardPolicy:
        seconds = settings.sql_seconds(url)
        return GuardPolicy(
            attempt_seconds=seconds, total_seconds=seconds, retry=once, concurrency=concurrency
        )

    return {
        "sql": record(settings.database_url, concurrency=256),
        "redis": GuardPolicy(
            attempt_seconds=settings.redis_timeout_seconds,
            total_seconds=settings.redis_timeout_seconds,
            retry=once,
            # SQL answers without it, so its silence may cost one turn, not every turn until five calls of it have failed.
            breaker=BreakerPolicy(window_seconds=2.0, minimum_calls=3),
            concurrency=512,
        ),
        "model": GuardPolicy(
            attempt_seconds=settings.model_timeout_seconds,
            total_seconds=settings.turn_deadline_seconds,
            retry=RetryPolicy(attempts=2),
        ),
        "knowledge": GuardPolicy(retry=RetryPolicy(attempts=2)),
        "tickets": record(settings.tickets_database_url),
        "customers": record(settings.customers_database_url),
        "notifications": GuardPolicy(
            attempt_seconds=_SMTP_STEPS * SMTP_STEP_SECONDS,
            total_seconds=_SMTP_STEPS * SMTP_STEP_SECONDS,
            retry=once,
        ),
    }
