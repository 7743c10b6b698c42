"""
The folder of one run: what was asked for, a file for each shard while it runs, and in the end rows and totals.

`run.json`, `turns.jsonl` and `summary.json` are the same bytes for the same log, plan, version and articles; what differs from
run to run (how long a turn really took) stands in `timings.jsonl`.
"""

import asyncio
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.expectations import Expectations
from agent.replay.log import RecordedConversation
from agent.replay.plan import ReplayPlan, Timing
from agent.replay.report import Summary
from agent.replay.rows import Finding, ReplayedTurn
from agent.replay.shards import ShardFolder
from core.errors import InvalidInput
from core.whole_files import written_whole


class OtherRun(InvalidInput):
    """What is to be resumed was another run."""

    next_step = "Name another folder with --out, or leave --resume out to begin again."


@dataclass(frozen=True, slots=True)
class Survey:
    """Of a whole log, seen once before it is replayed: `digest` is that of its content, whatever format it is in."""

    conversations: int
    turns: int
    digest: str
    first_at: str | None


def survey(conversations: Iterable[RecordedConversation]) -> Survey:
    count = turns = 0
    content = sha256()
    first_at: str | None = None
    for conversation in conversations:
        count += 1
        turns += sum(message.role == "customer" for message in conversation.messages)
        content.update(msgspec.json.encode(conversation, order="sorted") + b"\n")
        if first_at is None:
            first_at = next((message.at for message in conversation.messages if message.at), None)
    return Survey(count, turns, content.hexdigest(), first_at)


def described(
    plan: ReplayPlan, log: Survey, *, articles: str | None, expected: Path | None = None
) -> dict[str, Any]:
    """JSON of `run.json`: all that the results depend on, and nothing else."""
    return {
        **msgspec.to_builtins(plan),
        "log": {"sha256": log.digest, "conversations": log.conversations, "turns": log.turns},
        "expectations": sha256(expected.read_bytes()).hexdigest() if expected is not None else None,
        "versions": {"careline": metadata.version("careline"), "articles": articles},
    }


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.shards = ShardFolder(path / "shards")
        self.data_dir = path / "data"
        """Where a run keeps the articles that all its parts search."""
        self._run = path / "run.json"

    @property
    def turns(self) -> Path:
        return self.path / "turns.jsonl"

    @property
    def is_begun(self) -> bool:
        return self._run.exists()

    def finished(self, run: Mapping[str, Any]) -> Summary | None:
        """The totals, where this very run has been finished already."""
        if not self.is_begun or not self.turns.exists() or self.shards.path.exists():
            return None
        if self._run.read_text(encoding="utf-8") != _json(run):
            return None
        summary = Summary()
        decoder = msgspec.json.Decoder(ReplayedTurn)
        with self.turns.open("rb") as rows:
            for row in rows:
                summary.add(decoder.decode(row))
        return summary

    def begin(self, run: Mapping[str, Any], *, resumes: bool) -> None:
        """
        Raises:
            OtherRun: to be resumed, but it was begun with another log, plan, version or other articles.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)  # conversations are nobody else's to read
        self.shards.path.mkdir(exist_ok=True)
        wanted = _json(run)
        if resumes and self.is_begun:
            before, now = json.loads(self._run.read_text(encoding="utf-8")), json.loads(wanted)
            differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            if differing:
                raise OtherRun(
                    f"{self.path} was begun with another {', '.join(differing)}, so it cannot be resumed"
                )
        else:
            self.shards.clear()
        self._run.write_text(wanted, encoding="utf-8")

    def finish(self, expectations: Expectations | None = None) -> Summary:
        """
        Rows in the log's order, with what was expected of them and does not hold, and their totals; then the shards are gone.

        Raises:
            DependencyUnavailable: ("vectors") meanings are to be compared, and the model does not run.
        """
        summary = Summary()
        encoder = msgspec.json.Encoder()
        with written_whole(self.turns) as rows, written_whole(self.path / "timings.jsonl") as timings:
            for row, timing in _held(self.shards.rows(), expectations):
                rows.write(encoder.encode(row) + b"\n")
                timings.write(encoder.encode(timing) + b"\n")
                summary.add(row)
        (self.path / "summary.json").write_text(_json(summary.as_dict()), encoding="utf-8")
        shutil.rmtree(self.shards.path)
        shutil.rmtree(self.data_dir, ignore_errors=True)
        return summary


Rows = Iterator[tuple[ReplayedTurn, Timing]]


def _held(rows: Rows, expectations: Expectations | None) -> Rows:
    if expectations is None:
        yield from rows
        return
    with asyncio.Runner() as runner:
        for conversation in _conversations(rows):
            yield from runner.run(_held_against(expectations, conversation))


def _conversations(rows: Rows) -> Iterator[list[tuple[ReplayedTurn, Timing]]]:
    conversation: list[tuple[ReplayedTurn, Timing]] = []
    for row, timing in rows:
        if row.turn == 1 and conversation:
            yield conversation
            conversation = []
        conversation.append((row, timing))
    if conversation:
        yield conversation


async def _held_against(
    expectations: Expectations, conversation: Sequence[tuple[ReplayedTurn, Timing]]
) -> Sequence[tuple[ReplayedTurn, Timing]]:
    """What is found of the whole conversation stands with its last turn."""
    held = [(_with_findings(row, await expectations.of_turn(row)), timing) for row, timing in conversation]
    last, timing = held[-1]
    found = await expectations.at_end(last.conversation, [row for row, _ in conversation])
    return [*held[:-1], (_with_findings(last, found), timing)]


def _with_findings(row: ReplayedTurn, findings: Sequence[Finding]) -> ReplayedTurn:
    return msgspec.structs.replace(row, findings=(*row.findings, *findings))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
