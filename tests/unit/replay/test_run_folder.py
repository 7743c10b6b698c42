"""Claims about the folder of a run: it is resumed where it is the same run, and only there."""

from pathlib import Path
from typing import Any

import pytest

from agent.replay.faults import parse_fault
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.plan import ReplayPlan, ShardResult, Timing
from agent.replay.rows import ReplayedTurn
from agent.replay.run_folder import OtherRun, RunFolder, described, survey
from agent.replay.shards import cut

TALKS = [
    RecordedConversation(f"talk-{number}", (RecordedMessage(role="customer", text="hello"),))
    for number in range(5)
]


def run_of(seed: int) -> dict[str, Any]:
    plan = ReplayPlan(mode="live", seed=seed, faults=(parse_fault("sql", "timeout 10 %"),))
    return described(plan, survey(TALKS), articles="a")


def done(name: str) -> ShardResult:
    return ShardResult((ReplayedTurn(conversation=name, turn=1, customer="hello"),), (Timing(name, 1, 2.0),))


def test_a_run_that_was_begun_keeps_its_shards_when_it_is_resumed(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(run_of(1), resumes=False)
    RunFolder(tmp_path).shards.keep(1, done("second"))

    folder = RunFolder(tmp_path)
    folder.begin(run_of(1), resumes=True)
    folder.shards.keep(0, done("first"))
    summary = folder.finish()

    assert [line.split(b'"')[3] for line in folder.turns.read_bytes().splitlines()] == [b"first", b"second"]
    assert summary.as_dict()["conversations"] == 2
    assert folder.finished(run_of(1)) is not None
    assert folder.finished(run_of(2)) is None


def test_another_run_is_not_resumed_and_says_what_differs(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(run_of(1), resumes=False)

    with pytest.raises(OtherRun, match="with another seed,"):
        RunFolder(tmp_path).begin(run_of(2), resumes=True)


def test_a_run_that_is_not_resumed_begins_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(run_of(1), resumes=False)
    folder.shards.keep(0, done("first"))

    folder.begin(run_of(1), resumes=False)

    assert not folder.shards.has(0)


def test_a_log_is_cut_in_its_order_and_what_a_model_answered_stands_apart() -> None:
    model = RecordedMessage(role="model", completion={"text": "hi"})
    talks = [*TALKS, RecordedConversation("modelled", (*TALKS[0].messages, model))]

    shards = list(cut(talks, 2))

    assert [(shard.number, shard.first, len(shard.conversations)) for shard in shards] == [
        (0, 0, 2),
        (1, 2, 2),
        (2, 4, 1),
        (3, 5, 1),
    ]
