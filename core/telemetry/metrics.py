"""
Numbers for operators, kept in a registry of our own that `/metrics` renders.

Labels have few values by nature; ids and texts never become labels.
"""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from core.messages import TurnResult

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable, prometheus_client's own, that names the folder in which several workers add up their numbers."""

_TURN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_BREAKER_STATES = ("closed", "open", "half_open", "isolated")
_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Made once per service and handed to whoever counts."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._turns = Counter(
            "careline_turns", "Finished turns.", ("status", "brain", "degraded"), registry=self.registry
        )
        self._turn_seconds = Histogram(
            "careline_turn_seconds", "Time from a turn's start to its commit.", ("brain",),
            buckets=_TURN_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._tool_calls = Counter(
            "careline_tool_calls",
            "Finished tool calls.",
            ("tool", "status", "error_type"),
            registry=self.registry,
        )
        self._tool_seconds = Histogram(
            "careline_tool_seconds", "Time of a tool call with all its repeats.", ("tool",),
            buckets=_CALL_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._guard_attempts = Counter(
            "careline_guard_attempts",
            "Attempts to call a dependency: alive, failing, or unproven (abandoned or rate limited).",
            ("dependency", "verdict"),
            registry=self.registry,
        )
        self._guard_seconds = Histogram(
            "careline_guard_attempt_seconds", "Time of one attempt.", ("dependency",),
            buckets=_CALL_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._breaker = Gauge(
            "careline_breaker_state", "1 for the state that the breaker is in.", ("dependency", "state"),
            multiprocess_mode="livemax", registry=self.registry,
        )  # fmt: skip
        self._up = Gauge(
            "careline_dependency_up", "1 while the dependency is believed to work.", ("dependency",),
            multiprocess_mode="livemin", registry=self.registry,
        )  # fmt: skip
        self._outbox = Gauge(
            "careline_outbox_items", "Effects that wait to be carried out, or were given up.", ("status",),
            multiprocess_mode="livemostrecent", registry=self.registry,
        )  # fmt: skip
        self._http_requests = Counter(
            "careline_http_requests",
            "Answered HTTP requests.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._http_seconds = Histogram(
            "careline_http_request_seconds", "Time to the end of an answer.", ("route",),
            buckets=_TURN_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._shed = Counter(
            "careline_messages_shed",
            "Messages refused unread because as many as may be were being answered.",
            registry=self.registry,
        )

    def render(self) -> bytes:
        """The text exposition format, to be sent with `content_type`; of all workers together where there are several."""
        if METRICS_FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def turn_finished(self, result: TurnResult, *, seconds: float) -> None:
        degraded = "yes" if result.degraded else "no"
        self._turns.labels(result.status, result.brain, degraded).inc()
        self._turn_seconds.labels(result.brain).observe(seconds)

    def tool_call_ended(self, tool: str, *, status: str, error_type: str | None, seconds: float) -> None:
        self._tool_calls.labels(tool, status, error_type or "none").inc()
        self._tool_seconds.labels(tool).observe(seconds)

    def attempt_ended(self, dependency: str, *, verdict: str, seconds: float) -> None:
        self._guard_attempts.labels(dependency, verdict).inc()
        self._guard_seconds.labels(dependency).observe(seconds)

    def breaker_changed(self, dependency: str, *, state: str) -> None:
        for known in _BREAKER_STATES:
            self._breaker.labels(dependency, known).set(known == state)

    def dependency_changed(self, dependency: str, *, is_up: bool) -> None:
        self._up.labels(dependency).set(is_up)

    def outbox_counted(self, *, waiting: int, dead: int) -> None:
        self._outbox.labels("waiting").set(waiting)
        self._outbox.labels("dead").set(dead)

    def request_answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the route's template, never the path: paths contain ids."""
        self._http_requests.labels(method, route, str(status)).inc()
        self._http_seconds.labels(route).observe(seconds)

    def message_shed(self) -> None:
        self._shed.inc()


def forget_worker(pid: int, folder: Path) -> None:
    """What a worker that died last believed counts no longer; what it counted does."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
