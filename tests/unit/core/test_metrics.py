"""Claims about the numbers that `/metrics` shows."""

from core.messages import DegradedPart, TurnResult, TurnStatus
from core.telemetry.metrics import Metrics


def result(*, degraded: bool = False) -> TurnResult:
    part = DegradedPart("tickets", "tickets", "2026-11-22T12:00:00+00:00", "…")
    return TurnResult("conv_1", "turn_1", "msg_1", TurnStatus.ANSWERED, degraded=(part,) if degraded else ())


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_turns_are_counted_by_status_brain_and_degradation() -> None:
    metrics = Metrics()

    metrics.turn_finished(result(), seconds=0.2)
    metrics.turn_finished(result(degraded=True), seconds=0.2)

    for degraded in ("yes", "no"):
        labels = {"status": "answered", "brain": "embedded", "degraded": degraded}
        assert sample(metrics, "careline_turns_total", **labels) == 1
    assert sample(metrics, "careline_turn_seconds_count", brain="embedded") == 2


def test_exactly_one_state_of_a_breaker_is_shown() -> None:
    metrics = Metrics()

    for state in ("closed", "open", "half_open"):
        metrics.breaker_changed("sql", state=state)

    shown = {
        state: sample(metrics, "careline_breaker_state", dependency="sql", state=state)
        for state in ("closed", "open", "half_open", "isolated")
    }
    assert shown == {"closed": 0, "open": 0, "half_open": 1, "isolated": 0}


def test_everything_is_rendered_under_our_name() -> None:
    metrics = Metrics()
    metrics.turn_finished(result(), seconds=0.1)
    metrics.tool_call_ended("notify", status="failed", error_type="timeout_error", seconds=0.1)
    metrics.tool_call_ended("notify", status="succeeded", error_type=None, seconds=0.1)
    metrics.attempt_ended("sql", verdict="alive", seconds=0.001)
    metrics.breaker_changed("sql", state="closed")
    metrics.dependency_changed("sql", is_up=False)
    metrics.outbox_counted(waiting=3, dead=1)
    metrics.request_answered(method="POST", route="/v1/chat", status=200, seconds=0.1)

    text = metrics.render().decode()

    for line in (
        'careline_tool_calls_total{error_type="timeout_error",status="failed",tool="notify"} 1.0',
        'careline_guard_attempts_total{dependency="sql",verdict="alive"} 1.0',
        'careline_dependency_up{dependency="sql"} 0.0',
        'careline_outbox_items{status="waiting"} 3.0',
        'careline_http_requests_total{method="POST",route="/v1/chat",status="200"} 1.0',
    ):
        assert line in text
    assert all(line.startswith(("#", "careline_")) for line in text.splitlines())


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()

    one.turn_finished(result(), seconds=0.1)

    assert b'status="answered"' not in other.render()
