"""
How long each dependency may take and how often it is tried: one policy per name, from the settings.

Only what reads is repeated inside a turn: what writes is repeated by whoever knows its key, and a customer waits for the rest.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from core.errors import ToolMisconfigured
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.guard import GuardPolicy
from core.resilience.retry import RetryPolicy
from core.settings import Settings

_SMTP_STEPS = 4
"""Connecting, greeting, the envelope, the message: the adapter must be the one who gives up, because it knows how far it got."""
_DESK_CALLS = 4
"""The customer's tickets (an older Jira is asked twice), the key, whom it is for, the ticket itself: none needs all of them."""

_HTTP_STEPS = 2
"""Sending and reading, for the same reason. Before them SQL is asked whether the rules allow it."""


_OF_THE_SEARCH = 0.7
"""Of a search's time: what is left is for the local index."""
_OF_A_BATCH = 10
_TRIES = 4


def guard_policies(settings: Settings) -> Mapping[str, GuardPolicy]:
    """
    Raises:
        ToolMisconfigured: `breaker_states` names a dependency that there is not.
    """
    once = RetryPolicy(attempts=1)
    breaker = BreakerPolicy(
        window_seconds=settings.breaker_window_seconds,
        window_calls=settings.breaker_window_calls,
        minimum_calls=settings.breaker_minimum_calls,
        slow_call_seconds=settings.breaker_slow_call_seconds or math.inf,
        slow_call_rate=settings.breaker_slow_call_rate,
        failure_rate=settings.breaker_failure_rate,
        shortest_open_seconds=settings.breaker_open_seconds,
        longest_open_seconds=settings.breaker_longest_open_seconds,
    )
    sending_seconds = settings.sql_seconds() + max(
        _SMTP_STEPS * settings.smtp_step_seconds,
        settings.connect_timeout_seconds + _HTTP_STEPS * settings.notification_seconds,
    )
    ways = {
        "email": settings.smtp_url or settings.sendgrid_key,
        "sms": settings.twilio_account,
        "chat": settings.chat_url,
        "webhook": settings.webhook_url,
    }
    desk_seconds = _DESK_CALLS * settings.ticket_desk_seconds

    def record(url: str | None, *, concurrency: int = 64) -> GuardPolicy:
        seconds = settings.sql_seconds(url)
        return GuardPolicy(
            attempt_seconds=seconds,
            total_seconds=seconds,
            retry=once,
            breaker=breaker,
            concurrency=concurrency,
        )

    policies = {
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
            # Where there is another model, it is asked at once.
            retry=once if settings.further_models else RetryPolicy(attempts=2),
            breaker=breaker,
        ),
        **{
            name: GuardPolicy(
                attempt_seconds=settings.first_token_seconds,
                total_seconds=settings.turn_deadline_seconds,
                retry=once,
                breaker=breaker,
            )
            for name in settings.further_model_names
        },
        "knowledge": GuardPolicy(
            attempt_seconds=settings.knowledge_timeout_seconds,
            total_seconds=3 * settings.knowledge_timeout_seconds,
            retry=RetryPolicy(attempts=2),
            breaker=breaker,
        ),
        # The company's own search, where it is asked; "knowledge" is around it and around what stands in for it.
        "search_service": GuardPolicy(
            attempt_seconds=_OF_THE_SEARCH * settings.knowledge_timeout_seconds,
            total_seconds=_OF_THE_SEARCH * settings.knowledge_timeout_seconds,
            retry=once,
            breaker=breaker,
        ),
        # A question goes on without a vector; who indexes articles has time, and a server that counts tokens a minute.
        "vectors": GuardPolicy(
            attempt_seconds=settings.embedder_timeout_seconds,
            total_seconds=settings.embedder_timeout_seconds,
            retry=once,
            breaker=breaker,
        ),
        "vectors.articles": GuardPolicy(
            attempt_seconds=_OF_A_BATCH * settings.embedder_timeout_seconds,
            total_seconds=_TRIES * 2 * _OF_A_BATCH * settings.embedder_timeout_seconds,
            retry=RetryPolicy(attempts=_TRIES),
            breaker=breaker,
            concurrency=4,
        ),
        "tickets": record(settings.tickets_database_url)
        if settings.ticket_desk is None
        else GuardPolicy(
            # The client must be the one who gives up: it knows whether it had been reading or writing.
            attempt_seconds=sending_seconds if settings.ticket_desk == "email" else desk_seconds,
            total_seconds=sending_seconds if settings.ticket_desk == "email" else desk_seconds,
            retry=once,
            breaker=breaker,
            concurrency=32,
        ),
        "customers": record(settings.customers_database_url)
        if settings.customers_api is None
        else GuardPolicy(
            attempt_seconds=settings.customers_timeout_seconds,
            total_seconds=2.5 * settings.customers_timeout_seconds,
            retry=RetryPolicy(attempts=2),
            breaker=breaker,
            concurrency=32,
        ),
        **{
            f"mcp_{name}": GuardPolicy(
                # The link is the one who gives up first: it knows which tool has how long.
                attempt_seconds=server.longest_call_seconds + 1.0,
                total_seconds=2 * server.longest_call_seconds + 1.0,
                retry=RetryPolicy(attempts=2),
                breaker=breaker,
                concurrency=server.concurrency,
            )
            for name, server in settings.mcp_servers.items()
        },
        **{
            name: GuardPolicy(
                attempt_seconds=sending_seconds,
                total_seconds=sending_seconds,
                retry=once,
                breaker=breaker,
            )
            for name in (
                "notifications",
                *(f"notifications.{channel}" for channel, way in ways.items() if way),
            )
        },
    }
    by_hand = settings.breakers_by_hand()
    if unknown := by_hand.keys() - policies.keys():
        raise ToolMisconfigured(
            f"CARELINE_BREAKER_STATES names {', '.join(sorted(unknown))}; there are {', '.join(policies)}"
        )
    return {
        name: replace(
            policy, breaker=replace(policy.breaker, starts_as=CircuitState(by_hand.get(name, "closed")))
        )
        for name, policy in policies.items()
    }
