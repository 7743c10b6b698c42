"""Claims about whole replays: the same bytes each time, faults that turns survive, and every conversation once, whatever dies."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.replay.shop import Shop, compared, opened, rows

PLAN = """
search: timeout 40 %
tickets: [write-then-timeout 50 %, refused 20 %]
sql: down turn 2 for 8 s
"""

_CALM_AND_MARKED = (b'"latency_ms":0.0,', b'"latency_ms":0.5,')


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return opened(tmp_path_factory.mktemp("shop"))


def test_the_same_log_and_seed_give_the_same_bytes_whoever_does_the_work(shop: Shop) -> None:
    log, plan = str(shop.log(4)), shop.folder / "same.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    one, two, other = (shop.folder / name for name in ("one", "two", "other"))
    options = (log, "--faults", str(plan), "--shard-size", "2")

    shop.replay(*options, "--out", str(one), "--processes", "1")
    shop.replay(*options, "--out", str(two), "--processes", "2")
    shop.replay(*options, "--out", str(other), "--processes", "1", "--seed", "7")

    assert compared(one) == compared(two)
    assert compared(one)[0] != compared(other)[0]


def test_turns_survive_planned_faults_and_keep_every_rule(shop: Shop) -> None:
    plan = shop.folder / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")

    shop.replay(str(shop.log(6)), "--faults", str(plan), "--out", "faulty", "--processes", "1")

    found = rows(shop.folder / "faulty")
    met = {fault for row in found for fault in row["faults"]}
    assert len(found) == 24
    assert all(row["error"] is None and row["findings"] == [] for row in found)
    assert {"sql:down", "tickets:write-then-timeout"} <= met
    assert any(row["degraded"] for row in found)
    assert max(row["latency_ms"] for row in found) > 2000


def test_a_service_with_a_redis_is_replayed_with_one_that_can_fail(shop: Shop) -> None:
    log = str(shop.log(4))
    settings = {"redis_url": "redis://127.0.0.1:1/0"}  # nobody listens there, and nobody is asked

    def replayed(plan: str, out: str, *, processes: int = 1) -> Path:
        file = shop.folder / f"{out}.yaml"
        file.write_text(plan, encoding="utf-8")
        options = ("--faults", str(file), "--out", out, "--processes", str(processes), "--shard-size", "2")
        shop.replay(log, *options, settings=settings)
        return shop.folder / out

    kept = rows(replayed("sql: down turn 2 for 8 s", "journaled"))
    assert all(row["error"] is None and row["findings"] == [] for row in kept)
    outage = [row for row in kept if "sql:down" in row["faults"]]
    assert outage
    assert all(row["latency_ms"] < 3000 for row in outage)  # the journal takes the message

    both = "{redis: [lost 20 %, down turn 3], sql: down turn 2 for 8 s}"
    one, two = replayed(both, "lossy"), replayed(both, "lossy-again", processes=2)
    found = rows(one)
    assert all(row["error"] is None and row["findings"] == [] for row in found)
    assert {"redis:lost", "redis:down"} <= {fault for row in found for fault in row["faults"]}
    assert compared(one) == compared(two)


def test_without_redis_it_cannot_fail(shop: Shop) -> None:
    plan = shop.folder / "redis.yaml"
    plan.write_text("redis: down\n", encoding="utf-8")

    said = shop.replay(str(shop.log(1)), "--faults", str(plan), "--out", "no-redis", expected=1)

    assert "redis.yaml:1: redis" in said


def test_without_faults_a_customer_waits_no_virtual_time_and_real_times_stand_apart(shop: Shop) -> None:
    shop.replay(str(shop.log(2)), "--out", "calm", "--processes", "1")

    found = rows(shop.folder / "calm")
    timings = (shop.folder / "calm/timings.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["latency_ms"] for row in found} == {0.0}
    assert [json.loads(line)["turn"] for line in timings] == [row["turn"] for row in found]
    assert all(json.loads(line)["real_ms"] > 0 for line in timings)


def test_a_wrong_plan_is_named_by_line_and_field_and_nothing_is_replayed(shop: Shop) -> None:
    plan = shop.folder / "wrong.yaml"
    plan.write_text("search: down\ntickets: explode\n", encoding="utf-8")

    said = shop.replay(
        str(shop.log(1)), "--faults", str(plan), "--out", "wrong", "--processes", "1", expected=1
    )

    assert "wrong.yaml:2: tickets: kind: 'explode'" in said
    assert not (shop.folder / "wrong/turns.jsonl").exists()


def test_lines_that_cannot_be_read_are_named_and_the_others_are_replayed(shop: Shop) -> None:
    log = shop.folder / "torn.jsonl"
    whole = shop.log(2, turns=1).read_bytes().splitlines(keepends=True)
    log.write_bytes(whole[0] + b'{"id": "half", "mess\n' + whole[1])

    said = shop.replay(str(log), "--out", "torn", "--processes", "1")

    assert "torn.jsonl, line 2:" in said
    assert "1 line could not be read" in said
    assert [row["conversation"] for row in rows(shop.folder / "torn")] == ["talk-0", "talk-1"]

    said = shop.replay(str(log), "--strict", "--out", "strict", "--processes", "1", expected=1)
    assert "torn.jsonl, line 2:" in said
    assert not (shop.folder / "strict").exists()


def test_a_killed_run_is_resumed_and_has_every_conversation_once(shop: Shop) -> None:
    log = str(shop.log(12))
    out, whole = shop.folder / "killed", shop.folder / "unkilled"
    options = (log, "--shard-size", "1", "--lexical", "--processes", "1", "--out")
    shop.replay(*options, str(whole))

    killed = shop.start(*options, str(out))
    while not (done := sorted((out / "shards").glob("*.jsonl"))):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    worker = _a_worker_of(killed.pid)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (out / "turns.jsonl").exists()
    done[0].write_bytes(done[0].read_bytes().replace(*_CALM_AND_MARKED))
    shop.replay(*options, str(out), "--resume")

    resumed, expected = (folder / "turns.jsonl" for folder in (out, whole))
    assert _CALM_AND_MARKED[1] in resumed.read_bytes()  # what was done was not done again
    assert resumed.read_bytes().replace(_CALM_AND_MARKED[1], _CALM_AND_MARKED[0]) == expected.read_bytes()
    assert not Path(f"/proc/{worker}").exists()


def test_another_run_is_not_resumed(shop: Shop) -> None:
    out = shop.folder / "another"
    shop.replay(str(shop.log(2)), "--out", str(out), "--processes", "1", "--lexical")

    said = shop.replay(
        *(str(shop.log(2)), "--out", str(out), "--processes", "1", "--lexical", "--seed", "3", "--resume"),
        expected=1,
    )

    assert "was begun with another run, seed" in said


def test_a_worker_that_is_killed_costs_no_conversation(shop: Shop) -> None:
    log = str(shop.log(12))
    out = shop.folder / "worker"
    running = shop.start(log, "--out", str(out), "--processes", "2", "--shard-size", "1", "--lexical")
    while not list((out / "shards").glob("*.jsonl")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)

    os.kill(_a_worker_of(running.pid), signal.SIGKILL)
    _, said = running.communicate(timeout=900)

    assert running.returncode == 0, said
    found = [(row["conversation"], row["turn"]) for row in rows(out)]
    assert found == [(f"talk-{number}", turn) for number in range(12) for turn in (1, 2, 3, 4)]


def _a_worker_of(pid: int) -> int:
    """Not the process that only watches over shared resources."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(
        int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def test_a_matrix_tells_what_each_fault_did(shop: Shop) -> None:
    said = shop.replay(
        str(shop.log(1, turns=1)), "--matrix", "singles", "--lexical", "--out", "matrix", "--processes", "1"
    )

    cells = json.loads((shop.folder / "matrix/matrix.json").read_text(encoding="utf-8"))
    by_name = {cell["cell"]: cell for cell in cells}
    assert by_name["none"]["met_faults"] == 0
    assert by_name["knowledge-down"]["met_faults"] == 1
    assert by_name["knowledge-down"]["degraded"] == 1
    assert all(cell["answered"] == 1 and cell["with_findings"] == 0 for cell in cells)
    assert "knowledge-down" in said


def test_stubs_give_back_what_was_recorded_and_tell_what_was_not(shop: Shop) -> None:
    shop.replay(str(shop.log(1)), "--out", "recording", "--processes", "1", "--lexical")
    recorded = rows(shop.folder / "recording")
    messages: list[dict[str, object]] = []
    for row in recorded:
        messages.append({"role": "customer", "text": row["customer"]})
        messages += [
            {
                "role": "tool",
                "tool": tool["tool"],
                "args": tool["args"],
                "result": tool["result"],
                "status": tool["status"],
            }
            for tool in row["tools"]
        ]
        messages.append({"role": "agent", "text": row["reply"]})
    log = shop.folder / "recorded.jsonl"
    log.write_text(json.dumps({"id": "a", "messages": messages}), encoding="utf-8")
    short = shop.folder / "short.jsonl"
    short.write_text(
        json.dumps({"id": "a", "messages": [one for one in messages if one["role"] != "tool"]}),
        encoding="utf-8",
    )

    shop.replay(str(log), "--mode", "stubbed", "--out", "stubbed", "--processes", "1", "--lexical")
    shop.replay(
        *(str(short), "--mode", "stubbed", "--out", "short", "--processes", "1", "--lexical"), expected=1
    )

    assert [row["findings"] for row in rows(shop.folder / "stubbed")] == [[], [], [], []]
    assert rows(shop.folder / "stubbed")[2]["tools"][0]["receipt"] == recorded[2]["tools"][0]["receipt"]
    assert {finding["rule"] for row in rows(shop.folder / "short") for finding in row["findings"]} == {
        "unrecorded_call"
    }
