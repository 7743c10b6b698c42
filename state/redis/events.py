"""
The events of turns that last, as one Redis stream a turn; a reader waits in Redis and hears of them at once.

An entry's id is (run, last), and Redis takes no id that is smaller than the last: a run that lost its lease cannot add to
what the next one tells.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from state.redis.client import asking_redis, together
from state.redis.joined import JoinedCommands
from state.store import EventBatch

LONGEST_BLOCK_SECONDS = 1.0
_SECONDS_KEPT = 3600
_READ_AT_ONCE = 1000


class RedisTurnEvents:
    """
    Implements `state.store.TurnEvents`.

    `waiting` is a client of its own, whose socket timeout is `LONGEST_BLOCK_SECONDS` longer: readers must not use up the
    connections that turns need.
    """

    place = "redis"

    def __init__(self, client: Redis, waiting: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._commands = JoinedCommands(client, timeout_seconds=timeout_seconds)
        self._waiting = waiting
        self._timeout = timeout_seconds

    async def share(self, tenant: str, turn_id: str, batch: EventBatch) -> bool:
        stream = _stream_key(tenant, turn_id)
        async with asking_redis(self._timeout):
            added, _, stop = await self._commands.answers(
                ("XADD", stream, f"{batch.run}-{batch.last}", "body", batch.body),
                ("EXPIRE", stream, _SECONDS_KEPT),
                ("EXISTS", _stop_key(tenant, turn_id)),
            )
            if isinstance(added, ResponseError) and "equal or smaller" in str(added):
                added = None
            for answer in (added, stop):
                if isinstance(answer, Exception):
                    raise answer
        return bool(stop)

    async def after(
        self, tenant: str, turn_id: str, *, run: int, last: int, seconds: float
    ) -> Sequence[EventBatch]:
        block_seconds = min(seconds, LONGEST_BLOCK_SECONDS)
        async with asking_redis(self._timeout + block_seconds):
            found: Any = await self._waiting.xread(
                {_stream_key(tenant, turn_id): f"{run}-{last}"},
                count=_READ_AT_ONCE,
                block=max(1, round(block_seconds * 1000)),
            )
        return [_batch(*entry) for entry in _entries(found)]

    async def ask_to_stop(self, tenant: str, turn_id: str) -> None:
        async with asking_redis(self._timeout):
            await self._client.set(_stop_key(tenant, turn_id), b"1", ex=_SECONDS_KEPT)

    async def is_stop_asked(self, tenant: str, turn_id: str) -> bool:
        async with asking_redis(self._timeout):
            (stop,) = await self._commands.send(("EXISTS", _stop_key(tenant, turn_id)))
        return bool(stop)


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREAD's answer is a list of (key, entries), or with the newer protocol a map of keys to lists of entries."""
    if not found:
        return []
    if isinstance(found, dict):
        return [entry for pages in found.values() for page in pages for entry in page]
    return [entry for _, entries in found for entry in entries]


def _batch(entry_id: bytes, fields: dict[bytes, bytes]) -> EventBatch:
    run, _, last = entry_id.decode().partition("-")
    return EventBatch(run=int(run), last=int(last), body=fields[b"body"])


def _stream_key(tenant: str, turn_id: str) -> str:
    return together("events", tenant, turn_id)


def _stop_key(tenant: str, turn_id: str) -> str:
    return together("stop", tenant, turn_id)
