"""
Carry out a replay for the command: articles kept, the log cut up, processes or a cluster at work, and progress told.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agent.cli.common import err
from agent.replay.executors import Opening, dask_cluster, in_this_process, kept_open, process_pool
from agent.replay.expectations import Expectations, read_expectations
from agent.replay.faults import Fault
from agent.replay.log import RecordedConversation
from agent.replay.matrix import named
from agent.replay.plan import ReplayPlan, Shard
from agent.replay.report import Summary
from agent.replay.run_folder import RunFolder, Survey, described
from agent.replay.shards import Shards, cut
from core.settings import Settings
from core.whole_files import written_whole
from tools.knowledge.embed_folder import local_embedder

_ON_A_CLUSTER = 64
"""Shards that are under way; more would only be memory here."""


class Replaying:
    """What all runs of one command have in common."""

    def __init__(
        self,
        settings: Settings,
        log: Iterable[RecordedConversation],
        seen: Survey,
        folder: Path,
        *,
        resumes: bool,
        processes: int | None,
        dask: str | None,
        key: str | None,
        expected: Path | None = None,
    ) -> None:
        self.settings = settings
        self.log = log
        self.seen = seen
        self.folder = folder.resolve()
        self.resumes = resumes
        self.key = key
        self.expected = expected
        self._processes = processes or _usable_cores()
        self._dask = dask

    def expectations(self) -> Expectations | None:
        """Raises ExpectationsUnusable; ToolMisconfigured and DependencyUnavailable as `local_embedder`."""
        if self.expected is None:
            return None
        return read_expectations(self.expected, embedder=local_embedder(self.settings.embedder_folder))

    def dependencies(self, plan: ReplayPlan) -> Sequence[str]:
        from agent.bootstrap import dependencies_of

        return dependencies_of(self.settings, plan)

    def articles(self, plan: ReplayPlan, data_dir: Path) -> str | None:
        """Kept as they are now; None where a service has its own."""
        from agent.bootstrap import keep_articles

        if plan.mode == "against":
            return None
        shutil.rmtree(data_dir, ignore_errors=True)
        at = datetime.fromisoformat(plan.clock) if plan.clock is not None else datetime.now(UTC)
        return asyncio.run(keep_articles(self.settings, data_dir, uses_vectors=plan.uses_vectors, at=at))

    def opening(self, plan: ReplayPlan) -> tuple[Opening, int]:
        """And how many shards are to be under way."""
        if self._dask is not None:
            return partial(dask_cluster, self._dask), _ON_A_CLUSTER
        if plan.mode == "against":
            return in_this_process, 1
        return partial(process_pool, self._processes), 2 * self._processes


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def replayed(replaying: Replaying, plan: ReplayPlan) -> Summary:
    folder = RunFolder(replaying.folder)
    articles = replaying.articles(plan, folder.data_dir)
    opening, at_once = replaying.opening(plan)
    return _run(replaying, plan, folder, folder.data_dir, articles, opening=opening, at_once=at_once)


def replayed_matrix(
    replaying: Replaying, plan: ReplayPlan, cells: Iterable[tuple[Fault, ...]]
) -> Sequence[dict[str, Any]]:
    """A run for each cell, in a folder of its own, and `matrix.json` with the totals of all."""
    top = RunFolder(replaying.folder)
    articles = replaying.articles(plan, top.data_dir)
    opening, at_once = replaying.opening(plan)
    done: list[dict[str, Any]] = []
    with kept_open(opening) as again:
        for cell in cells:
            name = named(cell)
            summary = _run(
                replaying,
                msgspec.structs.replace(plan, faults=cell),
                RunFolder(replaying.folder / "cells" / name),
                top.data_dir,
                articles,
                opening=again,
                at_once=at_once,
                told=name,
            )
            done.append({"cell": name, "faults": msgspec.to_builtins(cell), **summary.as_dict()})
            _write_matrix(replaying.folder, done)
    shutil.rmtree(top.data_dir, ignore_errors=True)
    return done


def _write_matrix(folder: Path, done: Sequence[dict[str, Any]]) -> None:
    with written_whole(folder / "matrix.json") as file:
        file.write(json.dumps(done, indent=2, ensure_ascii=False).encode() + b"\n")


def _run(
    replaying: Replaying,
    plan: ReplayPlan,
    folder: RunFolder,
    data_dir: Path,
    articles: str | None,
    *,
    opening: Opening,
    at_once: int,
    told: str = "replaying",
) -> Summary:
    from agent.bootstrap import replay_shard

    run = described(plan, replaying.seen, articles=articles, expected=replaying.expected)
    if replaying.resumes and (whole := folder.finished(run)) is not None:
        return whole
    folder.begin(run, resumes=replaying.resumes)
    with _progress(told, replaying.seen.conversations) as advance:
        Shards(
            partial(replay_shard, replaying.settings, data_dir, plan, replaying.key),
            folder.shards,
            opening=opening,
            at_once=at_once,
            finished=advance,
        ).carry_out(cut(replaying.log, plan.shard_size))
    return folder.finish(replaying.expectations())


@contextmanager
def _progress(told: str, conversations: int) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(*columns, console=err))
        task = progress.add_task(told, total=conversations)

        def advance(shard: Shard) -> None:
            progress.advance(task, len(shard.conversations))

        yield advance
