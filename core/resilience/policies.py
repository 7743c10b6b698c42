"""
How long each dependency may take and how often it is tried: one policy per name, from the settings.

Only what reads is repeated inside a turn: what writes is repeated by whoever knows its key, and a customer waits for the rest.
"""

from collections.abc import Mapping
from dataclasses import replace

from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import GuardPolicy
from core.resilience.retry import RetryPolicy
from core.settings import Settings

_SMTP_STEPS = 4
"""Connecting, greeting, the envelope, the message: the adapter must be the one who gives up, because it knows how far it got."""


def guard_policies(settings: Settings) -> Mapping[str, GuardPolicy]:
    once = RetryPolicy(attempts=1)
    breaker = BreakerPolicy(
        window_seconds=settings.breaker_window_seconds,
        minimum_calls=settings.breaker_minimum_calls,
        failure_rate=settings.breaker_failure_rate,
        shortest_open_seconds=settings.breaker_open_seconds,
        longest_open_seconds=settings.breaker_longest_open_seconds,
    )
    smtp_seconds = _SMTP_STEPS * settings.smtp_step_seconds

    def record(url: str | None, *, concurrency: int = 64) -> GuardPolicy:
        seconds = settings.sql_seconds(url)
        return GuardPolicy(
            attempt_seconds=seconds,
            total_seconds=seconds,
            retry=once,
            breaker=breaker,
            concurrency=concurrency,
        )

    return {
        "sql": record(settings.database_url, concurrency=256),
        "redis": GuardPolicy(
            attempt_seconds=settings.redis_timeout_seconds,
            total_seconds=settings.redis_timeout_seconds,
            retry=once,
            # SQL answers without it, so its silence may cost one turn, not every turn until five calls of it have failed.
            breaker=replace(
                breaker,
                window_seconds=min(2.0, settings.breaker_window_seconds),
                minimum_calls=min(3, settings.breaker_minimum_calls),
            ),
            concurrency=512,
        ),
        "model": GuardPolicy(
            attempt_seconds=settings.first_token_seconds,
            total_seconds=settings.turn_deadline_seconds,
            retry=RetryPolicy(attempts=2),
            breaker=breaker,
        ),
        "knowledge": GuardPolicy(
            attempt_seconds=settings.knowledge_timeout_seconds,
            total_seconds=3 * settings.knowledge_timeout_seconds,
            retry=RetryPolicy(attempts=2),
            breaker=breaker,
        ),
        "tickets": record(settings.tickets_database_url),
        "customers": record(settings.customers_database_url),
        "notifications": GuardPolicy(
            attempt_seconds=smtp_seconds,
            total_seconds=smtp_seconds,
            retry=once,
            breaker=breaker,
        ),
    }
