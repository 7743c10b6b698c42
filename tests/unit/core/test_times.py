"""Claims about times: an operator can set each that a dependency's speed decides, and every other is a constant for a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.resilience.policies import guard_policies
from core.settings import Settings
from core.time_settings import TimeSettings

ROOT = Path(__file__).parents[3]
_UNITS = ("SECONDS", "MILLISECONDS", "_MS", "TIMEOUT")

OUR_OWN_PACE = "how often we look or share; whoever is asked has a limit of its own"
TOLD_TO_OTHERS = "what a client is told to wait"
KEPT = "how long something is kept or believed"
OUR_OWN_PROCESS = "the speed of this process or of a child of ours"
MARGIN = "a margin inside a time that can be set"
BUCKETS = "borders of a histogram"
COMMAND = "a command that somebody sits before and can stop"
PAUSE = "a pause after a failure, between two tries"

INTERNAL = {
    "agent/api/admission.py:_RETRY_SECONDS": TOLD_TO_OTHERS,
    "agent/api/problems.py:_DEFAULT_RETRY_SECONDS": TOLD_TO_OTHERS,
    "agent/api/chat.py:_MARGIN_SECONDS": MARGIN,
    "agent/api/limits.py:_PAUSE_SECONDS": PAUSE,
    "agent/api/messages.py:_POLL_SECONDS": OUR_OWN_PACE,
    "agent/api/stream.py:HEARTBEAT_SECONDS": OUR_OWN_PACE,
    "agent/api/tokens.py:_CLOCK_SKEW_SECONDS": KEPT,
    "agent/api/tokens.py:_KEYS_FRESH_SECONDS": KEPT,
    "agent/api/tokens.py:_KEYS_PAUSE_SECONDS": PAUSE,
    "agent/api/tokens.py:_LONGEST_LIFE_SECONDS": KEPT,
    "agent/api/tokens.py:_RENEWABLE_SECONDS": KEPT,
    "agent/api/turns.py:_STOP_SECONDS": "after it the client is told 202 and goes on asking",
    "agent/cli/listening.py:_GOODBYE_SECONDS": OUR_OWN_PROCESS,
    "agent/cli/replay.py:_TIMEOUT_SECONDS": COMMAND,
    "agent/cli/workers.py:_GOODBYE_SECONDS": OUR_OWN_PROCESS,
    "agent/cli/workers.py:_LOOK_SECONDS": OUR_OWN_PACE,
    "agent/cli/workers.py:_YOUNG_SECONDS": OUR_OWN_PROCESS,
    "agent/replay/targets.py:_FIRST_WAIT_SECONDS": PAUSE,
    "agent/turn/answers.py:DRAIN_RETRY_MS": TOLD_TO_OTHERS,
    "agent/turn/answers.py:_LOOK_SECONDS": OUR_OWN_PACE,
    "agent/turn/answers.py:_POLL_SECONDS": OUR_OWN_PACE,
    "agent/turn/pipeline.py:_TOOLS_RESERVE_SECONDS": MARGIN,
    "agent/turn/sharing.py:SHARE_SECONDS": OUR_OWN_PACE,
    "agent/workers/drain.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/late_start.py:_EVERY_SECONDS": PAUSE,
    "agent/workers/reindex.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/supervise.py:_PAUSE_SECONDS": PAUSE,
    "agent/workers/sweeper.py:_NEXT_HANDFUL_SECONDS": PAUSE,
    "agent/workers/outbox.py:_GIVE_BACK_SECONDS": MARGIN,
    "core/http.py:_CONNECT_SECONDS": "only a default; a setting is given wherever a client is made",
    "core/http_stream.py:_KEPT_SECONDS": KEPT,
    "core/http_stream.py:_LET_GO_SECONDS": "the answer is read by then; only its connection waits for the end",
    "core/http_stream.py:_SECOND_ADDRESS_SECONDS": "when a host's second address is tried as well (RFC 8305)",
    "core/resilience/degradation.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "core/resilience/degradation.py:_LONGEST_PAUSE_SECONDS": PAUSE,
    "core/resilience/degradation.py:_LONGEST_RELAPSE_PAUSE_SECONDS": PAUSE,
    "core/resilience/degradation.py:_RELAPSE_SECONDS": KEPT,
    "core/telemetry/metrics.py:_CALL_SECONDS": BUCKETS,
    "core/telemetry/metrics.py:_TURN_SECONDS": BUCKETS,
    "state/events.py:_PAUSE_SECONDS": PAUSE,
    "state/journal.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/outage.py:_BUSY_SECONDS": OUR_OWN_PROCESS,
    "state/outage.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/recovery.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/recovery.py:_WORTH_A_TRY_SECONDS": MARGIN,
    "state/redis/client.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/redis/copy.py:_AHEAD_RETRY_SECONDS": TOLD_TO_OTHERS,
    "state/redis/copy.py:_ANSWER_SECONDS_KEPT": KEPT,
    "state/redis/copy.py:_SECONDS_KEPT": KEPT,
    "state/redis/durability.py:_CHECKED_SECONDS": KEPT,
    "state/redis/durability.py:_LATEST_SECONDS": MARGIN,
    "state/redis/durability.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/redis/events.py:LONGEST_BLOCK_SECONDS": OUR_OWN_PACE,
    "state/redis/events.py:_SECONDS_KEPT": KEPT,
    "state/redis/journal.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/redis/journal_store.py:_TURN_SECONDS_KEPT": KEPT,
    "state/sql/engine.py:_RETRY_AFTER_SECONDS": TOLD_TO_OTHERS,
    "state/sql/events.py:_KEPT_MICROSECONDS": KEPT,
    "state/sql/events.py:_POLL_SECONDS": OUR_OWN_PACE,
    "state/sql/hosts.py:_PATIENCE_SECONDS": "only the order in which hosts are tried",
    "state/sql/migrate.py:_CONNECT_SECONDS": "nobody waits for it: a start that fails is begun again",
    "state/sql/pooled.py:_GOODBYE_SECONDS": "what is abandoned rolls back by itself when its connection ends",
    "tools/adapters/smtp.py:_GOODBYE_SECONDS": "the mail is sent by then, and what is answered changes nothing",
}


def is_a_number(node: ast.expr | None) -> bool:
    match node:
        case ast.Constant(value=int() | float()):
            return True
        case ast.Tuple(elts=parts):
            return all(map(is_a_number, parts))
        case ast.BinOp(left=left, right=right):
            return is_a_number(left) and is_a_number(right)
    return False


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("core", "state", "tools", "agent"):
        for file in sorted((ROOT / package).rglob("*.py")):
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8"))


def constants() -> Iterator[str]:
    for name, module in modules():
        for node in module.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if (
                    isinstance(node, ast.Assign | ast.AnnAssign)
                    and isinstance(target, ast.Name)
                    and any(unit in target.id for unit in _UNITS)
                    and is_a_number(node.value)
                ):
                    yield f"{name}:{target.id}"


def literals() -> Iterator[str]:
    """Times written down where something is called."""
    for name, module in modules():
        for node in ast.walk(module):
            if not isinstance(node, ast.Call):
                continue
            for keyword in node.keywords:
                if (
                    keyword.arg is not None
                    and (keyword.arg in ("timeout", "connect_timeout") or keyword.arg.endswith("_seconds"))
                    and is_a_number(keyword.value)
                ):
                    yield f"{name}:{node.lineno} {keyword.arg}"
            if ast.unparse(node.func) == "asyncio.timeout" and any(map(is_a_number, node.args)):
                yield f"{name}:{node.lineno} asyncio.timeout"


def test_every_time_that_cannot_be_set_is_a_constant_for_a_reason() -> None:
    assert sorted(set(constants()) - INTERNAL.keys()) == []
    assert sorted(INTERNAL.keys() - set(constants())) == []


def test_no_time_is_written_down_where_something_is_called() -> None:
    assert sorted(literals()) == []


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (
            {"intake_sql_seconds": 0.9},
            "CARELINE_INTAKE_SQL_SECONDS (0.9) must not be more than CARELINE_INTAKE_SECONDS",
        ),
        ({"breaker_open_seconds": 6}, "CARELINE_BREAKER_LONGEST_OPEN_SECONDS (5)"),
        ({"model_first_token_seconds": 30}, "CARELINE_TURN_DEADLINE_SECONDS (20)"),
        ({"probe_seconds": 0}, "greater than 0"),
        ({"sql_connections": 0}, "greater than or equal to 1"),
        ({"redis_connections": 1}, "greater than or equal to 2"),
        ({"breaker_failure_rate": 1.5}, "less than or equal to 1"),
    ],
)
def test_times_and_sizes_that_cannot_work_are_refused_in_words(times: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(times)

    assert said in str(refused.value)


def test_what_an_operator_sets_reaches_the_guards() -> None:
    policies = guard_policies(
        Settings(
            database_url="postgresql://db/careline",
            sql_timeout_seconds=3,
            redis_timeout_seconds=2,
            model_first_token_seconds=4,
            model_timeout_seconds=9,
            knowledge_timeout_seconds=5,
            smtp_step_seconds=7,
            breaker_minimum_calls=50,
            breaker_window_seconds=60,
            breaker_longest_open_seconds=30,
        )
    )

    seconds = {name: policy.attempt_seconds for name, policy in policies.items()}
    assert seconds == {
        "sql": 3, "tickets": 3, "customers": 3, "redis": 2, "model": 4, "knowledge": 5, "notifications": 28,
    }  # fmt: skip
    assert {policy.breaker.longest_open_seconds for policy in policies.values()} == {30}
    assert {name for name, policy in policies.items() if policy.breaker.minimum_calls != 50} == {"redis"}


def test_what_is_left_out_follows_from_what_is_set() -> None:
    times = TimeSettings(model_timeout_seconds=5, lease_seconds=12)

    assert (times.first_token_seconds, times.seconds_between_sweeps) == (5, 4)
    assert TimeSettings(model_first_token_seconds=2).first_token_seconds == 2
    assert TimeSettings(sweep_seconds=1).seconds_between_sweeps == 1
