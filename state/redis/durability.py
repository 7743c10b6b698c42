"""
Which promise Redis can make that a write survives a crash, and the proof that each write needs for it.

A file synced on every write needs none. WAITAOF and WAIT prove one write each, and travel in its pipeline: on the connection
that wrote, since they tell only of what that connection has written.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.commands.core import AsyncScript
from redis.exceptions import NoPermissionError, ResponseError

from core.clock import Clock
from core.errors import DependencyError, DependencyUnavailable
from core.telemetry.logging import get_logger
from state.redis.client import asking_redis, nodes_that_write, tagged

_log = get_logger(__name__)

_CHECKED_SECONDS = 60.0
_LATEST_SECONDS = 0.15
"""So long before the call is given up "too few" must be due: Redis looks at its clock ten times a second."""
_SLOWEST_SYNC_SECONDS = {"always": 0.0, "everysec": 1.0, None: 0.0}
"""For how long WAITAOF may wait, by `appendfsync`; where that is not told, each write finds out."""
_RETRY_AFTER_SECONDS = 2.0

Told = Mapping[str | None, str | None]


class Promise(StrEnum):
    NONE = "none"
    FSYNC = "fsync"
    """An append-only file that is synced before a write is answered, or a Redis for which the operator vouches."""
    WAITAOF = "waitaof"
    WAIT = "wait"


class RedisDurability:
    """
    `tag` names the keys whose writes are proven: they are on one node of a cluster. `is_vouched_for` says that the operator
    answers for a Redis that does not tell, or that keeps writes in ways of its own; one that says it evicts is not believed.
    """

    def __init__(
        self,
        client: Redis | RedisCluster,
        *,
        tag: str,
        timeout_seconds: float,
        clock: Clock,
        is_vouched_for: bool = False,
    ) -> None:
        self._client: Any = client  # the two have the same commands, and no common type that has them all
        self._mark = tagged(tag, "proof")
        self._timeout = timeout_seconds
        self._proof_milliseconds = int(max(timeout_seconds / 3, timeout_seconds - _LATEST_SECONDS) * 1000)
        self._is_vouched_for = is_vouched_for
        self._clock = clock
        self._checked_until = -math.inf
        self.promise = Promise.NONE
        """As found when it was last checked."""

    async def is_given(self) -> bool:
        """Checked again each minute, and after every write that failed: another server may answer now."""
        if self._clock.monotonic() >= self._checked_until:
            before, self.promise = self.promise, await self._found()
            self._checked_until = self._clock.monotonic() + _CHECKED_SECONDS
            if before is not self.promise:
                log = _log.warning if self.promise is Promise.NONE else _log.info
                log("journal.durability_found", promise=self.promise.value, before=before.value)
        return self.promise is not Promise.NONE

    async def write(self, script: AsyncScript, *, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """
        What `script` returned, once it is proven to be kept.

        Raises:
            DependencyUnavailable: `may_have_happened`: it was written, and is not proven to survive.
        """
        if self.promise not in _PROOFS:
            async with asking_redis(self._timeout):
                return await script(keys=keys, args=args)
        return await self._proven(script, keys, args)

    async def confirm(self) -> None:
        """Prove what was just read: it may have been written over another connection, whose proof failed. Raises as `write`."""
        if self.promise in _PROOFS:
            await self._proven(None, (), ())

    async def _proven(self, script: AsyncScript | None, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """The mark is a write for those that only read: what came before it, on whatever connection, is proven with it."""
        try:
            async with asking_redis(self._timeout):
                answers = await self._together(script, keys, args)
                for answer in answers[:-1]:
                    if isinstance(answer, Exception):
                        raise answer
        except DependencyError:
            self._checked_until = -math.inf
            raise
        proof = answers[-1]
        if isinstance(proof, Exception) or _kept_by(proof) < 1:
            self._checked_until = -math.inf
            _log.warning("journal.write_not_proven", promise=self.promise.value, answer=str(proof))
            raise DependencyUnavailable(
                "redis",
                f"written, and not proven to be kept: {self.promise.value} answered {proof}",
                reason="not_durable",
                retry_after=_RETRY_AFTER_SECONDS,
                may_have_happened=True,
            )
        return answers[0]

    async def _together(
        self, script: AsyncScript | None, keys: Sequence[Any], args: Sequence[Any]
    ) -> Sequence[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            if script is not None:
                await script(keys=keys, args=args, client=pipeline)
            pipeline.set(self._mark, b"1")
            question = _PROOFS[self.promise](self._proof_milliseconds)
            if isinstance(self._client, RedisCluster):
                node = self._client.get_node_from_key(self._mark)
                pipeline.execute_command(*question, target_nodes=node)
                # A slot that has moved is written by another connection, of which this question would tell nothing.
                answers: Sequence[Any] = await pipeline.execute(
                    raise_on_error=False, allow_redirections=False
                )
            else:
                pipeline.execute_command(*question)
                answers = await pipeline.execute(raise_on_error=False)
        return answers

    async def _found(self) -> Promise:
        """The cheapest that every server which may have to hold a write can make."""
        nodes = await nodes_that_write(self._client, timeout_seconds=self._timeout)
        possible = [await self._possible(target) for target in nodes]
        for promise in (Promise.FSYNC, Promise.WAITAOF, Promise.WAIT):
            if possible and all(promise in each for each in possible):
                return promise
        return Promise.NONE

    async def _possible(self, target: Mapping[str, Any]) -> frozenset[Promise]:
        told = await self._told(target)
        if told.get("maxmemory") != "0" and told.get("maxmemory-policy") != "noeviction":
            return frozenset({Promise.FSYNC} if self._is_vouched_for and not told else ())
        found = set()
        if self._is_vouched_for or (told.get("appendonly") == "yes" and told.get("appendfsync") == "always"):
            found.add(Promise.FSYNC)
        elif told.get("appendonly") == "yes" and await self._has_waitaof(told.get("appendfsync"), target):
            found.add(Promise.WAITAOF)
        if int(told.get("min-replicas-to-write") or 0) >= 1:
            found.add(Promise.WAIT)
        return frozenset(found)

    async def _told(self, target: Mapping[str, Any]) -> Told:
        """By CONFIG; where that is forbidden, as hosted ones do, by INFO, which does not tell when the file is synced."""
        try:
            async with asking_redis(self._timeout):
                told: Told = await _answered(
                    self._client.config_get("append*", "maxmemory*", "min-replicas-to-write", **target)
                )
                return told
        except _NotTold:
            pass
        try:
            async with asking_redis(self._timeout):
                info = await _answered(self._client.info(**target))
        except _NotTold as refused:
            _log.warning("journal.durability_not_told", error=str(refused))
            return {}
        return {
            "appendonly": "yes" if info.get("aof_enabled") == 1 else "no",
            "maxmemory": str(info.get("maxmemory")),
            "maxmemory-policy": info.get("maxmemory_policy"),
            "min-replicas-to-write": "1" if "min_slaves_good_slaves" in info else "0",
        }

    async def _has_waitaof(self, synced: str | None, target: Mapping[str, Any]) -> bool:
        """Redis has it since 7.2; an answer that comes later than a call may take proves nothing."""
        slowest = _SLOWEST_SYNC_SECONDS.get(synced)
        if slowest is None or slowest * 1000 > self._proof_milliseconds:
            return False
        try:
            async with asking_redis(self._timeout):
                await _answered(self._client.execute_command("WAITAOF", 0, 0, 1, **target))
        except _NotTold:
            return False
        return True


_PROOFS: Mapping[Promise, Any] = {
    Promise.WAITAOF: lambda milliseconds: ("WAITAOF", 1, 0, milliseconds),
    Promise.WAIT: lambda milliseconds: ("WAIT", 1, milliseconds),
}


def _kept_by(answer: Any) -> int:
    """How many keep the write: WAIT tells the number of replicas, WAITAOF its own file and that of replicas."""
    return int(answer[0] if isinstance(answer, list | tuple) else answer)


class _NotTold(Exception):
    """The server answers, and not this question."""


async def _answered(question: Any) -> Any:
    try:
        return await question
    except ResponseError as refused:
        if type(refused) in (ResponseError, NoPermissionError):
            raise _NotTold(str(refused)) from refused
        raise
