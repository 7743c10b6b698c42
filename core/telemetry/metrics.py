"""
Numbers for operators, kept in a registry of our own that `/metrics` renders.

Labels have few values by nature; ids and texts never become labels.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from core.messages import TurnResult

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable, prometheus_client's own, that names the folder in which several workers add up their numbers."""

_TURN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_BREAKER_STATES = ("closed", "open", "half_open", "isolated", "disabled", "metrics_only")
_CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Ends:
    """Things that end, counted and timed. Labels are looked up once: prometheus_client takes a lock for it each time."""

    def __init__(self, counter: Counter, timer: Histogram) -> None:
        self._counter = counter
        self._timer = timer
        self._known: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}

    def tell(self, counted: tuple[str, ...], timed: tuple[str, ...], seconds: float) -> None:
        known = self._known.get(counted)
        if known is None:
            known = self._known[counted] = self._counter.labels(*counted), self._timer.labels(*timed)
        count, timer = known
        count.inc()
        timer.observe(seconds)


class Metrics:
    """Made once per service and handed to whoever counts."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        turns = Counter(
            "careline_turns", "Finished turns.", ("status", "brain", "degraded"), registry=self.registry
        )
        turn_seconds = Histogram(
            "careline_turn_seconds", "Time from a turn's start to its commit.", ("brain",),
            buckets=_TURN_SECONDS, registry=self.registry,
        )  # fmt: skip
        tool_calls = Counter(
            "careline_tool_calls",
            "Finished tool calls.",
            ("tool", "status", "error_type"),
            registry=self.registry,
        )
        tool_seconds = Histogram(
            "careline_tool_seconds", "Time of a tool call with all its repeats.", ("tool",),
            buckets=_CALL_SECONDS, registry=self.registry,
        )  # fmt: skip
        guard_attempts = Counter(
            "careline_guard_attempts",
            "Attempts to call a dependency: alive, failing, or unproven (abandoned or rate limited).",
            ("dependency", "verdict"),
            registry=self.registry,
        )
        guard_seconds = Histogram(
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
        http_requests = Counter(
            "careline_http_requests",
            "Answered HTTP requests.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        http_seconds = Histogram(
            "careline_http_request_seconds", "Time to the end of an answer.", ("route",),
            buckets=_TURN_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._agents = Counter(
            "careline_agent_turns",
            "Finished turns of deployed agents, by definition and version, as `SLUG@VERSION`.",
            ("agent",),
            registry=self.registry,
        )
        self._shed = Counter(
            "careline_messages_shed",
            "Messages refused unread because as many as may be were being answered.",
            registry=self.registry,
        )
        self._guardrails = Counter(
            "careline_guardrail_actions",
            "What guardrails did: refused or changed a text, or failed, open or closed.",
            ("guardrail", "action"),
            registry=self.registry,
        )
        self._feedback = Counter(
            "careline_feedback", "Customers' judgements of answers: 1 to 5, up or down.", ("judgement",),
            registry=self.registry,
        )  # fmt: skip
        self._turns_ended = _Ends(turns, turn_seconds)
        self._calls_ended = _Ends(tool_calls, tool_seconds)
        self._attempts_ended = _Ends(guard_attempts, guard_seconds)
        self._requests_ended = _Ends(http_requests, http_seconds)

    def render(self) -> bytes:
        """The text exposition format, to be sent with `content_type`; of all workers together where there are several."""
        if METRICS_FOLDER not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def numbers(self) -> Mapping[str, float]:
        """Every sample by its name and labels, as Prometheus writes them; of this process."""
        return {
            sample.name
            + "".join(f'{{{name}="{value}"}}' for name, value in sorted(sample.labels.items())): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if not sample.name.endswith(("_bucket", "_created"))
        }

    def turn_finished(self, result: TurnResult, *, seconds: float) -> None:
        degraded = "yes" if result.degraded else "no"
        self._turns_ended.tell((result.status, result.brain, degraded), (result.brain,), seconds)
        if result.agent is not None:
            self._agents.labels(f"{result.agent.slug}@{result.agent.version}").inc()

    def tool_call_ended(self, tool: str, *, status: str, error_type: str | None, seconds: float) -> None:
        self._calls_ended.tell((tool, status, error_type or "none"), (tool,), seconds)

    def attempt_ended(self, dependency: str, *, verdict: str, seconds: float) -> None:
        self._attempts_ended.tell((dependency, verdict), (dependency,), seconds)

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
        self._requests_ended.tell((method, route, str(status)), (route,), seconds)

    def guardrail_acted(self, guardrail: str, *, action: str) -> None:
        self._guardrails.labels(guardrail, action).inc()

    def feedback_given(self, *, judgement: str) -> None:
        self._feedback.labels(judgement).inc()

    def message_shed(self) -> None:
        self._shed.inc()


def forget_worker(pid: int, folder: Path) -> None:
    """What a worker that died last believed counts no longer; what it counted does."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
