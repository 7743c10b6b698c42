"""Claims about times: an operator can set each that a dependency's speed decides, and every other is a constant for a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ToolMisconfigured
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
VENDORS = "how far a vendor's search trails behind, with room; nobody waits for it in a chat"
PAUSE = "a pause after a failure, between two tries"

INTERNAL = {
    "agent/bootstrap/library.py:_FETCH_SECONDS": COMMAND,
    "tools/knowledge/fetch.py:_WAIT_SECONDS": COMMAND,
    "tools/knowledge/fetch.py:_LONGEST_WAIT_SECONDS": COMMAND,
    "tools/knowledge/help_centres.py:_PAUSE_SECONDS": COMMAND,
    "agent/api/admission.py:_RETRY_SECONDS": TOLD_TO_OTHERS,
    "agent/bootstrap/watching.py:_UNATTENDED_SECONDS": "what people notice",
    "agent/api/problems.py:_DEFAULT_RETRY_SECONDS": TOLD_TO_OTHERS,
    "agent/api/chat.py:LONGEST_WAIT_MARGIN_SECONDS": MARGIN,
    "agent/api/limits.py:_PAUSE_SECONDS": PAUSE,
    "agent/api/messages.py:_POLL_SECONDS": OUR_OWN_PACE,
    "agent/api/stream.py:HEARTBEAT_SECONDS": OUR_OWN_PACE,
    "agent/api/tokens.py:_CLOCK_SKEW_SECONDS": KEPT,
    "agent/api/tokens.py:_KEYS_FRESH_SECONDS": KEPT,
    "agent/api/tokens.py:_KEYS_PAUSE_SECONDS": PAUSE,
    "agent/api/tokens.py:_LONGEST_LIFE_SECONDS": KEPT,
    "agent/api/tokens.py:_RENEWABLE_SECONDS": KEPT,
    "agent/api/turns.py:_STOP_SECONDS": "after it the client is told 202 and goes on asking",
    "agent/cli/common.py:_LEFTOVER_SECONDS": OUR_OWN_PROCESS,
    "agent/cli/listening.py:_GOODBYE_SECONDS": OUR_OWN_PROCESS,
    "agent/bootstrap/replays.py:_COMMIT_SECONDS": MARGIN,
    "agent/bootstrap/replays.py:_HTTP_SECONDS": COMMAND,
    "agent/replay/executors.py:_CONNECT_SECONDS": COMMAND,
    "agent/replay/in_process.py:_LONGEST_SETTLING_SECONDS": COMMAND,
    "agent/replay/in_process.py:_LOOKED_AT_EVERY_SECONDS": COMMAND,
    "agent/replay/in_process.py:_FIRST_WAIT_SECONDS": PAUSE,
    "agent/replay/in_process.py:_LONGEST_WAIT_SECONDS": PAUSE,
    "agent/cli/worker.py:_CLOSING_SECONDS": OUR_OWN_PROCESS,
    "agent/replay/changes.py:_SLOWER_MS": "what people notice",
    "agent/replay/page/head.py:_SHORTEST_MS": "a scale's first step",
    "tools/sending.py:_ASKED_BESIDE_SECONDS": "a hint is not worth a longer wait",
    "agent/bootstrap/deployments.py:_CLOSING_SECONDS": OUR_OWN_PROCESS,
    "agent/bootstrap/smoke.py:_GRACE_SECONDS": MARGIN,
    "agent/cli/deploy.py:_ANSWER_SECONDS": COMMAND,
    "agent/deploy/http_plane.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "agent/deploy/http_plane.py:_LONGEST_PAUSE_SECONDS": PAUSE,
    "agent/deploy/waiting.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "agent/deploy/waiting.py:_LONGEST_PAUSE_SECONDS": PAUSE,
    "agent/workers/model_outage.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "agent/workers/model_outage.py:_LONGEST_PAUSE_SECONDS": PAUSE,
    "agent/workers/serving.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/spawner.py:LEASE_SECONDS": OUR_OWN_PACE,
    "agent/workers/spawner.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/spawner.py:_PROBES_SECONDS": "a deployment that takes longer to try has failed",
    "agent/cli/workers.py:_GOODBYE_SECONDS": OUR_OWN_PROCESS,
    "agent/cli/workers.py:_LOOK_SECONDS": OUR_OWN_PACE,
    "agent/cli/workers.py:_YOUNG_SECONDS": OUR_OWN_PROCESS,
    "agent/doctor/checks.py:_LONGEST_SECONDS": COMMAND,
    "agent/doctor/databases.py:_MOST_SKEW_SECONDS": "what people notice",
    "agent/doctor/databases.py:_OVERDUE_SECONDS": "what people notice",
    "agent/doctor/services.py:_REACH_SECONDS": COMMAND,
    "agent/doctor/models.py:_REACH_SECONDS": COMMAND,
    "agent/doctor/desk.py:_REACH_SECONDS": COMMAND,
    "agent/doctor/lookups.py:_REACH_SECONDS": COMMAND,
    "agent/doctor/mcp_servers.py:_REACH_SECONDS": COMMAND,
    "agent/doctor/mcp_servers.py:_START_SECONDS": COMMAND,
    "agent/doctor/notifications.py:_REACH_SECONDS": COMMAND,
    "agent/replay/targets.py:_FIRST_WAIT_SECONDS": PAUSE,
    "agent/turn/answers.py:DRAIN_RETRY_MS": TOLD_TO_OTHERS,
    "agent/turn/answers.py:_LOOK_SECONDS": OUR_OWN_PACE,
    "agent/turn/answers.py:_POLL_SECONDS": OUR_OWN_PACE,
    "agent/turn/on_record.py:_LONGEST_SECONDS": "a language on record is not worth a longer wait",
    "agent/turn/pipeline.py:_TOOLS_RESERVE_SECONDS": MARGIN,
    "agent/turn/sharing.py:SHARE_SECONDS": OUR_OWN_PACE,
    "agent/bootstrap/background.py:_DAY_SECONDS": "a day",
    "agent/bootstrap/service.py:_LAST_WORDS_SECONDS": MARGIN,
    "agent/brain/remembering.py:_PATIENCE_SECONDS": "the next turn can make the summary, too",
    "agent/brain/remembering.py:_SECONDS": "nobody waits for a summary",
    "agent/workers/explanations.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/broker.py:_GOODBYE_SECONDS": "what is said to the broker by then changes nothing",
    "agent/workers/broker.py:_PAUSE_SECONDS": PAUSE,
    "agent/workers/brokers.py:_BLOCK_MILLISECONDS": OUR_OWN_PACE,
    "agent/workers/brokers.py:_FETCH_SECONDS": OUR_OWN_PACE,
    "agent/workers/brokers.py:_KEPT_SECONDS": KEPT,
    "agent/workers/brokers.py:_SOCKET_SECONDS": "longer than a read that blocks; announcements have a limit of their own",
    "agent/workers/drain.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/late_start.py:_EVERY_SECONDS": PAUSE,
    "agent/workers/reindex.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/retention.py:_EVERY_SECONDS": OUR_OWN_PACE,
    "agent/workers/supervise.py:_PAUSE_SECONDS": PAUSE,
    "agent/workers/sweeper.py:_NEXT_HANDFUL_SECONDS": PAUSE,
    "agent/workers/outbox.py:_GIVE_BACK_SECONDS": MARGIN,
    "agent/channels.py:_SELDOM_SECONDS": OUR_OWN_PACE,
    "core/notification_rules.py:_BURST_SECONDS": OUR_OWN_PACE,
    "core/http.py:_CONNECT_SECONDS": "only a default; a setting is given wherever a client is made",
    "core/http_stream.py:_KEPT_SECONDS": KEPT,
    "core/http_stream.py:_LET_GO_SECONDS": "the answer is read by then; only its connection waits for the end",
    "core/http_stream.py:_SECOND_ADDRESS_SECONDS": "when a host's second address is tried as well (RFC 8305)",
    "core/resilience/degradation.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "core/resilience/degradation.py:_PERMIT_MARGIN_SECONDS": MARGIN,
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
    "state/redis_calls.py:_WORTH_A_TRY_SECONDS": MARGIN,
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
    "state/sql/inspection.py:_CONNECT_SECONDS": COMMAND,
    "state/sql/inspection.py:_STATEMENT_MILLISECONDS": COMMAND,
    "state/sql/hosts.py:_PATIENCE_SECONDS": "only the order in which hosts are tried",
    "state/sql/migrate.py:_CONNECT_SECONDS": "nobody waits for it: a start that fails is begun again",
    "state/sql/pooled.py:_GOODBYE_SECONDS": "what is abandoned rolls back by itself when its connection ends",
    "state/sql/notifications.py:_LONGEST_LOOK_SECONDS": PAUSE,
    "state/sql/notifications.py:_LOOK_AGAIN_SECONDS": PAUSE,
    "tools/adapters/webhook.py:TOLERANCE_SECONDS": TOLD_TO_OTHERS,
    "tools/adapters/desks/intercom.py:_SETTLES_SECONDS": VENDORS,
    "tools/adapters/desks/jira.py:_SETTLES_SECONDS": VENDORS,
    "tools/adapters/smtp.py:_GOODBYE_SECONDS": "the mail is sent by then, and what is answered changes nothing",
    "tools/mcp/link.py:_FIRST_PAUSE_SECONDS": PAUSE,
    "tools/mcp/link.py:_LONGEST_PAUSE_SECONDS": PAUSE,
    "tools/mcp/opening.py:_FIRST_TRY_SECONDS": "a start waits no longer; an outside server that is later is used from then on",
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
        ({"redis_connections": 1}, "greater than or equal to 4"),
        ({"breaker_failure_rate": 1.5}, "less than or equal to 1"),
        ({"breaker_slow_call_rate": 0}, "greater than 0"),
        ({"breaker_states": "tickets:open"}, "the state one of isolated, disabled, metrics_only"),
    ],
)
def test_times_and_sizes_that_cannot_work_are_refused_in_words(
    times: dict[str, float | str], said: str
) -> None:
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
            embedder_timeout_seconds=4,
            smtp_step_seconds=7,
            chat_url="json://127.0.0.1/{address}",
            breaker_minimum_calls=50,
            breaker_window_seconds=60,
            breaker_longest_open_seconds=30,
        )
    )

    seconds = {name: policy.attempt_seconds for name, policy in policies.items()}
    assert seconds == {
        "sql": 3, "tickets": 3, "customers": 3, "redis": 2, "model": 4, "knowledge": 5, "notifications": 31,
        "notifications.chat": 31, "search_service": 3.5, "vectors": 4, "vectors.articles": 40,
    }  # fmt: skip
    assert {policy.breaker.longest_open_seconds for policy in policies.values()} == {30}
    assert {name for name, policy in policies.items() if policy.breaker.minimum_calls != 50} == {"redis"}


def test_what_an_operator_sets_of_the_breakers_reaches_them() -> None:
    policies = guard_policies(
        Settings(
            breaker_window_calls=30,
            breaker_slow_call_seconds=2,
            breaker_slow_call_rate=0.4,
            breaker_states="tickets:isolated, model:metrics_only",
        )
    )

    breakers = {name: policy.breaker for name, policy in policies.items()}
    assert {
        (each.window_calls, each.slow_call_seconds, each.slow_call_rate) for each in breakers.values()
    } == {(30, 2, 0.4)}
    states = {
        name: each.starts_as.value for name, each in breakers.items() if each.starts_as.value != "closed"
    }
    assert states == {"tickets": "isolated", "model": "metrics_only"}


def test_a_breaker_of_nothing_that_there_is_is_named() -> None:
    with pytest.raises(ToolMisconfigured, match="CARELINE_BREAKER_STATES names desk; there are sql"):
        guard_policies(Settings(breaker_states="desk:disabled"))


def test_what_is_left_out_follows_from_what_is_set() -> None:
    times = TimeSettings(model_timeout_seconds=5, lease_seconds=12)

    assert (times.first_token_seconds, times.seconds_between_sweeps) == (5, 4)
    assert TimeSettings(model_first_token_seconds=2).first_token_seconds == 2
    assert TimeSettings(sweep_seconds=1).seconds_between_sweeps == 1
