"""
Cut a log into shards, have them replayed by an executor, and keep each under its final name only when it is whole.

A shard whose file is there is done, in this run or in one that was killed before. No more of the log is in memory than is being
worked on.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import groupby, islice
from pathlib import Path

import msgspec

from agent.replay.executors import Opening
from agent.replay.log import RecordedConversation
from agent.replay.plan import Shard, ShardResult, Timing
from agent.replay.rows import ReplayedTurn
from core.errors import InternalFailure
from core.whole_files import written_whole

Work = Callable[[Shard], ShardResult]

_MOST_DEATHS = 3


class ShardFailed(InternalFailure):
    """A shard's process died each time."""


def cut(conversations: Iterable[RecordedConversation], size: int) -> Iterator[Shard]:
    """Those with a language model's calls are kept apart from those without: another brain answers them."""
    number = first = 0
    for _, alike in groupby(conversations, key=_has_model_calls):
        while some := tuple(islice(alike, size)):
            yield Shard(number, first, some)
            number += 1
            first += len(some)


def _has_model_calls(conversation: RecordedConversation) -> bool:
    return any(message.role == "model" for message in conversation.messages)


class ShardFolder:
    """One file for each shard that is done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _file(self, number: int) -> Path:
        return self.path / f"{number:06d}.jsonl"

    def has(self, number: int) -> bool:
        return self._file(number).exists()

    def keep(self, number: int, result: ShardResult) -> None:
        with written_whole(self._file(number), is_synced=True) as file:
            for row, timing in zip(result.rows, result.timings, strict=True):
                file.write(msgspec.json.encode((row, timing)) + b"\n")

    def rows(self) -> Iterator[tuple[ReplayedTurn, Timing]]:
        """Of all shards, in the log's order."""
        decoder = msgspec.json.Decoder(tuple[ReplayedTurn, Timing])
        for path in sorted(self.path.glob("*.jsonl")):
            with path.open("rb") as file:
                yield from map(decoder.decode, file)

    def clear(self) -> None:
        for path in (*self.path.glob("*.jsonl"), *self.path.glob("*.part")):
            path.unlink()


class Shards:
    """
    Has `work` called for each shard in `opening`'s executor, which is opened anew when one of its processes dies. At most
    `at_once` shards are under way; `finished` hears of each, also of those that were done before.
    """

    def __init__(
        self,
        work: Work,
        folder: ShardFolder,
        *,
        opening: Opening,
        at_once: int,
        finished: Callable[[Shard], None],
    ) -> None:
        self._work = work
        self._folder = folder
        self._opening = opening
        self._at_once = at_once
        self._finished = finished
        self._running: dict[Future[ShardResult], Shard] = {}
        self._again: list[Shard] = []
        self._deaths: dict[int, int] = {}

    def carry_out(self, shards: Iterable[Shard]) -> None:
        """
        Raises:
            ShardFailed: a shard's process died three times.
            Exception: what `work` raised.
        """
        waiting = iter(shards)
        while True:
            try:
                with self._opening() as executor:
                    return self._work_through(waiting, executor)
            except BrokenExecutor as died:
                self._count_deaths(died)

    def _count_deaths(self, died: BrokenExecutor) -> None:
        """Nobody says which of those that were under way has killed the process."""
        self._again += self._running.values()
        for shard in self._running.values():
            self._deaths[shard.number] = self._deaths.get(shard.number, 0) + 1
            if self._deaths[shard.number] >= _MOST_DEATHS:
                raise ShardFailed(
                    f"the process that replayed shard {shard.number} died {_MOST_DEATHS} times"
                ) from died
        self._running.clear()

    def _work_through(self, waiting: Iterator[Shard], executor: Executor) -> None:
        is_more = True
        while is_more or self._running:
            while is_more and len(self._running) < self._at_once:
                is_more = self._begin_next(waiting, executor)
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            # What is whole is kept before a broken one ends it all.
            for future in sorted(done, key=lambda one: one.exception() is not None):
                self._folder.keep(self._running[future].number, future.result())
                self._finished(self._running.pop(future))

    def _begin_next(self, waiting: Iterator[Shard], executor: Executor) -> bool:
        shard = self._again.pop(0) if self._again else next(waiting, None)
        if shard is None:
            return False
        if self._folder.has(shard.number):
            self._finished(shard)
            return True
        try:
            self._running[executor.submit(self._work, shard)] = shard
        except BrokenExecutor:
            self._again.insert(0, shard)
            raise
        return True
