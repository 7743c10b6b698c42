"""
How long Careline waits for what it depends on, and how often it looks: one group of the settings (`core.settings`).

Times that decide nothing about a dependency are constants beside their code: tests/unit/core/test_times.py lists them, and why.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, Field, field_validator, model_validator

_STATES = ("isolated", "disabled", "metrics_only")


class TimeSettings(BaseModel):
    turn_deadline_seconds: float = Field(
        20.0, gt=0, description="A turn answers with what it has after this time."
    )
    intake_seconds: float = Field(
        0.8,
        gt=0,
        le=60,
        description="With Redis: after this time a message that neither SQL nor Redis has taken is refused with 503. Leave room "
        "for what SQL takes until it counts as down, and for Redis after that.",
    )
    intake_sql_seconds: float = Field(
        0.4, gt=0, description="SQL's share of that, before Redis is asked in its place."
    )

    sql_timeout_seconds: float = Field(
        1.0,
        gt=0,
        description="Longest wait for PostgreSQL, for connecting, for a free connection and for each call; SQLite, whose writers "
        "queue, gets five times as long.",
    )
    sql_ping_seconds: float = Field(
        0.15,
        gt=0,
        description="After a call has failed, PostgreSQL has so long to answer a trivial question; else it counts as down, and "
        "turns go without it. More than a slow network's round trip.",
    )
    redis_timeout_seconds: float = Field(
        0.25,
        gt=0,
        description="Longest wait for Redis, for connecting, for a free connection and for each call.",
    )
    copy_timeout_seconds: float = Field(
        0.25, gt=0, description="Longest wait for what Redis only saves time with; SQL knows it too."
    )
    redis_pause_seconds: float = Field(
        1.0, ge=0, description="For so long, a Redis that did not answer in time is not asked for that again."
    )
    rate_limit_timeout_seconds: float = Field(
        0.1, gt=0, description="Longest wait for Redis to count a message; then this process counts alone."
    )

    model_first_token_seconds: float | None = Field(
        None,
        gt=0,
        description="Longest wait for the first word of the model's answer. Left out: `CARELINE_MODEL_TIMEOUT_SECONDS`.",
    )
    model_timeout_seconds: float = Field(
        8.0,
        gt=0,
        description="Longest silence in mid-answer before the model server counts as down. The whole answer has until "
        "`CARELINE_TURN_DEADLINE_SECONDS`.",
    )
    connect_timeout_seconds: float = Field(
        2.0,
        gt=0,
        description="Longest wait for a connection over HTTP: to the model server and to your keys.",
    )
    identity_timeout_seconds: float = Field(
        3.0, gt=0, description="Longest wait for `CARELINE_IDENTITY_JWKS_URL`."
    )
    knowledge_timeout_seconds: float = Field(
        2.0, gt=0, description="Longest wait for one search of the help articles; a second is tried once."
    )
    embedder_timeout_seconds: float = Field(
        1.0,
        gt=0,
        description="Longest wait for `CARELINE_EMBEDDER_URL` with a question, which then is searched for by its words. While "
        "articles are indexed, it has ten times as long, and four tries, after `Retry-After`.",
    )
    customers_timeout_seconds: float = Field(
        3.0,
        gt=0,
        description="Longest wait for `CARELINE_CUSTOMERS_API`, all pages of a customer's orders included; a second try is made "
        "once.",
    )
    ticket_desk_seconds: float = Field(
        2.5,
        gt=0,
        description="Longest wait for one answer of `CARELINE_TICKET_DESK`; opening a ticket takes up to four.",
    )
    smtp_step_seconds: float = Field(
        1.5,
        gt=0,
        description="Longest wait for each of the four steps of an e-mail: connecting, greeting, envelope, message.",
    )

    lease_seconds: float = Field(
        30.0, gt=1, description="A replica that is silent for this long loses its conversations to others."
    )
    sweep_seconds: float | None = Field(
        None,
        gt=0,
        description="How often a replica looks for messages that nobody answers. Left out: a third of `CARELINE_LEASE_SECONDS`.",
    )
    outbox_poll_seconds: float = Field(
        2.0, gt=0, description="How often whoever carries out what was promised looks for what is due."
    )
    outbox_lease_seconds: float = Field(
        60.0,
        gt=1,
        description="A process that is silent for this long loses the promised effects it works on to others. More than one "
        "delivery may take.",
    )
    broker_timeout_seconds: float = Field(
        2.0,
        gt=0,
        description="Longest wait for the message broker, for connecting and for each announcement.",
    )
    drain_seconds: float = Field(10.0, ge=0, description="How long running turns may finish after SIGTERM.")

    check_seconds: float = Field(
        5.0, gt=0, description="How often each dependency is asked whether it works, traffic or not."
    )
    probe_seconds: float = Field(1.0, gt=0, description="Longest wait for that answer.")
    breaker_window_seconds: float = Field(
        10.0, gt=0, description="A dependency's breaker looks at the calls of so many seconds."
    )
    breaker_window_calls: int | None = Field(
        None, ge=1, le=10_000, description="At its last so many calls instead, however long ago they were."
    )
    breaker_minimum_calls: int = Field(5, ge=1, description="It never opens on fewer calls than these.")
    breaker_failure_rate: float = Field(
        0.5, gt=0, le=1, description="It opens when this share of them failed."
    )
    breaker_slow_call_seconds: float | None = Field(
        None, gt=0, description="A call that takes so long is slow. Left out: none is."
    )
    breaker_slow_call_rate: float = Field(
        1.0, gt=0, le=1, description="It opens when this share of them was slow."
    )
    breaker_states: str = Field(
        "",
        description="Comma-separated `dependency:state` for breakers that a person decides about: `isolated` refuses every call, "
        "`disabled` none and counts none, `metrics_only` none and counts (docs/resilience.md).",
    )
    breaker_open_seconds: float = Field(
        1.0,
        gt=0,
        description="It stays open so long up to twice that, and for longer each time that the trial fails.",
    )
    breaker_longest_open_seconds: float = Field(5.0, gt=0, description="And never longer than this.")

    @field_validator("breaker_states")
    @classmethod
    def _states_can_be_read(cls, value: str) -> str:
        _states(value)
        return value

    @model_validator(mode="after")
    def _times_fit_together(self) -> Self:
        for shorter, longer in (
            ("intake_sql_seconds", "intake_seconds"),
            ("sql_ping_seconds", "intake_seconds"),
            ("breaker_open_seconds", "breaker_longest_open_seconds"),
            ("model_first_token_seconds", "turn_deadline_seconds"),
            ("embedder_timeout_seconds", "knowledge_timeout_seconds"),
        ):
            less, more = getattr(self, shorter), getattr(self, longer)
            if less is not None and less > more:
                raise ValueError(
                    f"CARELINE_{shorter.upper()} ({less:g}) must not be more than CARELINE_{longer.upper()} ({more:g})"
                )
        if 4 * self.smtp_step_seconds >= self.outbox_lease_seconds:
            raise ValueError(
                f"CARELINE_OUTBOX_LEASE_SECONDS ({self.outbox_lease_seconds:g}) must be more than an e-mail may take, "
                f"4 × CARELINE_SMTP_STEP_SECONDS ({self.smtp_step_seconds:g})"
            )
        return self

    def breakers_by_hand(self) -> Mapping[str, str]:
        """`breaker_states` by dependency."""
        return _states(self.breaker_states)

    @property
    def first_token_seconds(self) -> float:
        return self.model_first_token_seconds or self.model_timeout_seconds

    @property
    def seconds_between_sweeps(self) -> float:
        return self.sweep_seconds or self.lease_seconds / 3


def _states(text: str) -> Mapping[str, str]:
    found = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        dependency, _, state = entry.partition(":")
        if not dependency or state not in _STATES:
            raise ValueError(f"each entry is dependency:state, the state one of {', '.join(_STATES)}")
        found[dependency] = state
    return found
