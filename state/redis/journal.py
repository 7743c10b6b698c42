"""
Redis in SQL's place while SQL is down: a document per conversation to go on from, and a list of entries to be drained.

A change reads the document, decides, and writes it back with its entries in one script, if nobody else has meanwhile.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec
from redis.asyncio import Redis

from core.errors import ConcurrentAccess, DataIntegrityFailed, DependencyRefusedUs, LeaseLost, StateLoadFailed
from core.messages import Durability, Message
from core.telemetry.logging import get_logger
from state.codec import decode, encode
from state.identifiers import conversation_id_of, message_id_of
from state.journal import EffectEntry, encode_entry
from state.redis.client import asking_redis, configurations, tagged
from state.redis.copy import Copied, RedisStateCopy
from state.redis.document import (
    Change,
    Document,
    begun_by,
    begun_with,
    entry_without_document,
    page_of,
    snapshot_of,
)
from state.store import (
    ConversationRecord,
    EffectRecord,
    IncomingMessage,
    Intake,
    JournalSink,
    Lease,
    Snapshot,
    TurnCommit,
    TurnRecord,
)

T = TypeVar("T")

_log = get_logger(__name__)

_ATTEMPTS = 20
_BATCH = 16
"""Entries in one transaction: well within the time that one call of SQL may take."""

_TURN_SECONDS_KEPT = 24 * 3600
_DURABILITY_SECONDS = 60.0
_RETRY_AFTER_SECONDS = 5.0

_WRITE = """
if (redis.call('HGET', KEYS[1], 'revision') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'document', ARGV[3])
local entries = tonumber(ARGV[6])
for i = 1, entries do redis.call('RPUSH', KEYS[2], ARGV[6 + i]) end
if entries > 0 then redis.call('SADD', KEYS[3], ARGV[4]) end
for i = 4, #KEYS do redis.call('SET', KEYS[i], ARGV[6 + entries + i - 3], 'EX', ARGV[5]) end
return 1
"""

_DRAINED = """
local count = tonumber(ARGV[1])
if count > 0 then
  local first, last = redis.call('LINDEX', KEYS[2], 0), redis.call('LINDEX', KEYS[2], count - 1)
  if first ~= ARGV[3] or last ~= ARGV[4] then return 0 end
  redis.call('LTRIM', KEYS[2], count, -1)
end
if redis.call('LLEN', KEYS[2]) > 0 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[3], ARGV[2])
return 1
"""

_EFFECT = """
if ARGV[3] == '1' then redis.call('SET', KEYS[1], ARGV[1], 'NX') else redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('SADD', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[1])
"""

_APPEND = """
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
return 1
"""

_OPEN = """
return {redis.call('TIME'), redis.call('HMGET', KEYS[1], 'revision', 'document')}
"""

_NOW = """
return redis.call('TIME')
"""

_EFFECT_DRAINED = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[2])
return 1
"""

_TAG = "journal"
"""All of the journal on one node of a cluster: its scripts touch several keys, and its times are of one clock."""

_PENDING = tagged(_TAG, "journal.pending")
_EFFECTS = tagged(_TAG, "journal.effects")


class RedisJournal:
    """Implements `state.store.Journal`."""

    def __init__(
        self,
        client: Redis,
        copy: RedisStateCopy,
        *,
        owner: str,
        lease_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._client = client
        self._copy = copy
        self._owner = owner
        self._lease_microseconds = int(lease_seconds * 1_000_000)
        self._timeout = timeout_seconds
        self._open_script = client.register_script(_OPEN)
        self._now_script = client.register_script(_NOW)
        self._write_script = client.register_script(_WRITE)
        self._append_script = client.register_script(_APPEND)
        self._effect_script = client.register_script(_EFFECT)
        self._drained_script = client.register_script(_DRAINED)
        self._effect_drained_script = client.register_script(_EFFECT_DRAINED)
        self._durable = False
        self._durable_until = 0.0
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def is_known_durable(self) -> bool:
        """What `is_durable` said last; False before it was asked."""
        return self._durable

    async def is_durable(self) -> bool:
        """Asked again each minute. A Redis that does not say is taken for one that forgets."""
        if time.monotonic() < self._durable_until:
            return self._durable
        found: Sequence[Mapping[str | None, str | None]] = ()
        try:
            async with asking_redis(self._timeout):
                found = await configurations(self._client, "append*", "maxmemory*")
        except (DependencyRefusedUs, DataIntegrityFailed) as refused:  # hosted ones hide their configuration
            _log.warning("journal.durability_not_told", error=str(refused))
        self._durable = bool(found) and all(_forgets_nothing(each) for each in found)
        self._durable_until = time.monotonic() + _DURABILITY_SECONDS
        return self._durable

    async def intake(self, message: IncomingMessage) -> Intake:
        async with self._alone(message.tenant, conversation_id_of(message)):
            return await self._intake(message)

    def _alone(self, tenant: str, conversation_id: str) -> asyncio.Lock:
        """Within this process they wait for each other, instead of each reading what the other is about to change."""
        return self._locks.setdefault((tenant, conversation_id), asyncio.Lock())

    async def _intake(self, message: IncomingMessage) -> Intake:
        conversation_id = conversation_id_of(message)
        message_id = message_id_of(message, conversation_id)

        async def begin() -> Change:
            copied = await self._copied(message.tenant, conversation_id)
            if copied is not None:
                return await self._begun_with(copied)
            if message.conversation_id is not None:
                raise _unknown(conversation_id)
            return self._change(begun_by(message, conversation_id), await self._now())

        for _ in range(_ATTEMPTS):
            change, revision = await self._open(message.tenant, conversation_id)
            if change is None:
                change = await begin()
            before = next((m for m in change.document.messages if m.message_id == message_id), None)
            known = None if before is None else await self.turn(message.tenant, before.turn_id or "")
            intake = change.take(message, message_id, known)
            if not change.entries or await self._write(change, revision):
                return intake
        raise _contended(conversation_id)

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        change, _ = await self._open(lease.tenant, lease.conversation_id)
        if change is None:
            raise LeaseLost(f"{lease.conversation_id}: its journal was drained")
        return snapshot_of(change.document, lease, history_messages=history_messages)

    async def commit(self, commit: TurnCommit) -> Lease | None:
        async with self._alone(commit.lease.tenant, commit.lease.conversation_id):
            return await self._commit(commit)

    async def _commit(self, commit: TurnCommit) -> Lease | None:
        lease = commit.lease
        for _ in range(_ATTEMPTS):
            stored = await self.turn(lease.tenant, lease.turn_id)
            if stored is not None and stored.result is not None:
                if (
                    msgspec.structs.replace(stored.result, durability=commit.result.durability)
                    == commit.result
                ):
                    return None
                raise LeaseLost(f"{lease.turn_id} is answered already")
            change, revision = await self._open(lease.tenant, lease.conversation_id)
            if change is None:
                if lease.durability is Durability.REDIS:
                    raise LeaseLost(f"{lease.conversation_id}: its journal was drained")
                copied = await self._copy.read(lease.tenant, lease.conversation_id)
                if copied is None or copied.version != lease.state_version:
                    await self._append(commit)
                    return None
                change = await self._begun_with(copied, fresh=lease.fresh)
            following = change.commit(commit)
            if await self._write(change, revision):
                return following
        raise _contended(lease.conversation_id)

    async def renew(self, lease: Lease) -> None:
        for _ in range(_ATTEMPTS):
            change, revision = await self._open(lease.tenant, lease.conversation_id)
            if change is None:
                raise LeaseLost(f"{lease.conversation_id}: its journal was drained")
            change.renew(lease)
            if await self._write(change, revision):
                return
        raise _contended(lease.conversation_id)

    async def release(self, lease: Lease) -> None:
        for _ in range(_ATTEMPTS):
            change, revision = await self._open(lease.tenant, lease.conversation_id)
            if change is None:
                return
            change.release(lease)
            if await self._write(change, revision):
                return

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        leases: list[Lease] = []
        for tenant, conversation_id in await self.pending():
            if len(leases) == limit:
                break
            change, revision = await self._open(tenant, conversation_id)
            lease = None if change is None else change.take_over()
            if change is not None and lease is not None and await self._write(change, revision):
                leases.append(lease)
        return leases

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        turn = await self.turn(effect.tenant, effect.turn_id)
        if turn is not None:
            change, _ = await self._open(turn.tenant, turn.conversation_id)
            if change is None or change.document.running_turn != effect.turn_id:
                raise LeaseLost(f"{effect.turn_id}: its journal was drained, or another turn runs")
        return await self._save_effect(effect, only_new=True)

    async def finish_effect(self, effect: EffectRecord) -> None:
        await self._save_effect(effect, only_new=False)

    async def effect(self, tenant: str, key_: str) -> EffectRecord | None:
        return await self._stored(tagged(_TAG, "journal.effect", tenant, key_), EffectRecord)

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        return await self._stored(_turn_key(tenant, turn_id), TurnRecord)

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord:
        return (await self._known(tenant, conversation_id)).conversation

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return page_of((await self._known(tenant, conversation_id)).messages, after=after, limit=limit)

    async def has_entries(self, tenant: str, conversation_id: str) -> bool:
        async with asking_redis(self._timeout):
            return bool(await self._client.exists(_entries_key(tenant, conversation_id), _EFFECTS))

    async def pending(self) -> Sequence[tuple[str, str]]:
        return await self._members(_PENDING)

    async def drain(self, tenant: str, conversation_id: str, into: JournalSink) -> int:
        """
        Written first, deleted afterwards: a crash in between only makes `into` skip what it has. What is deleted is compared
        with what was written, because two replicas may drain at once.
        """
        written = 0
        entries_key = _entries_key(tenant, conversation_id)
        while True:
            async with asking_redis(self._timeout):
                entries: Any = await self._client.lrange(entries_key, 0, _BATCH - 1)
            if entries:
                written += await into.absorb(entries)
            if len(entries) < _BATCH:
                await self._note_waiting(tenant, conversation_id)
            async with asking_redis(self._timeout):
                is_empty = await self._drained_script(
                    keys=(_document_key(tenant, conversation_id), entries_key, _PENDING),
                    args=(
                        len(entries),
                        _member(tenant, conversation_id),
                        *((entries[0], entries[-1]) if entries else ()),
                    ),
                )
            if is_empty:
                return written

    async def _note_waiting(self, tenant: str, conversation_id: str) -> None:
        """What SQL has now and nobody has answered: the next outage may begin before anybody does."""
        change, _ = await self._open(tenant, conversation_id)
        waiting = set() if change is None else {turn.turn_id for turn in change.document.turns}
        if change is not None and waiting:
            messages = [m for m in change.document.messages if m.turn_id in waiting]
            await self._copy.note(tenant, conversation_id, messages)

    async def drain_effects(self, into: JournalSink) -> int:
        written = 0
        for tenant, effect_key in await self._members(_EFFECTS):
            place = tagged(_TAG, "journal.effect", tenant, effect_key)
            async with asking_redis(self._timeout):
                stored: Any = await self._client.get(place)
            if stored is not None:
                written += await into.absorb([encode_entry(EffectEntry(decode(stored, EffectRecord)))])
            async with asking_redis(self._timeout):
                await self._effect_drained_script(
                    keys=(place, _EFFECTS), args=(stored or b"", _member(tenant, effect_key))
                )
        return written

    async def _known(self, tenant: str, conversation_id: str) -> Document:
        change, _ = await self._open(tenant, conversation_id)
        if change is not None:
            return change.document
        copied = await self._copied(tenant, conversation_id)
        if copied is None:
            raise _unknown(conversation_id)
        return begun_with(copied, now=0)

    async def _copied(self, tenant: str, conversation_id: str) -> Copied | None:
        """A copy that cannot be read tells nothing, least of all that there is no conversation."""
        try:
            return await self._copy.read(tenant, conversation_id)
        except DataIntegrityFailed as damaged:
            raise _unknown(conversation_id) from damaged

    async def _open(self, tenant: str, conversation_id: str) -> tuple[Change | None, bytes]:
        async with asking_redis(self._timeout):
            now, (revision, document) = await self._open_script(
                keys=(_document_key(tenant, conversation_id),)
            )
        if revision is None:
            return None, b""
        return self._change(decode(document, Document), _parsed(now), stored=document), revision

    async def _begun_with(self, copied: Copied, *, fresh: Sequence[Message] = ()) -> Change:
        now = await self._now()
        change = self._change(begun_with(copied, now=_microseconds(now), fresh=fresh), now)
        change.note_waiting()
        return change

    async def _now(self) -> tuple[int, int]:
        async with asking_redis(self._timeout):
            return _parsed(await self._now_script(keys=(_PENDING,)))

    async def _save_effect(self, effect: EffectRecord, *, only_new: bool) -> EffectRecord:
        async with asking_redis(self._timeout):
            stored = await self._effect_script(
                keys=(tagged(_TAG, "journal.effect", effect.tenant, effect.key), _EFFECTS),
                args=(encode(effect), _member(effect.tenant, effect.key), int(only_new)),
            )
        return decode(stored, EffectRecord)

    def _change(self, document: Document, now: tuple[int, int], *, stored: bytes | None = None) -> Change:
        return Change(
            document,
            now=_microseconds(now),
            owner=self._owner,
            lease_microseconds=self._lease_microseconds,
            stored=stored,
        )

    async def _write(self, change: Change, revision: bytes) -> bool:
        """False when somebody else changed the document since it was read."""
        record = change.document.conversation
        turns = {_turn_key(turn.tenant, turn.turn_id): encode(turn) for turn in change.turns}
        async with asking_redis(self._timeout):
            written = await self._write_script(
                keys=(
                    _document_key(record.tenant, record.conversation_id),
                    _entries_key(record.tenant, record.conversation_id),
                    _PENDING,
                    *turns,
                ),
                args=(
                    revision,
                    secrets.token_hex(8),
                    change.encoded(),
                    _member(record.tenant, record.conversation_id),
                    _TURN_SECONDS_KEPT,
                    len(change.entries),
                    *(encode_entry(entry) for entry in change.entries),
                    *turns.values(),
                ),
            )
        return bool(written)

    async def _append(self, commit: TurnCommit) -> None:
        """A turn of which Redis has no copy to go on from: its answer is kept, and nothing can follow until SQL is back."""
        lease = commit.lease
        record = TurnRecord(
            tenant=lease.tenant,
            turn_id=lease.turn_id,
            conversation_id=lease.conversation_id,
            customer_id=commit.customer_id,
            message_id=commit.result.message_id,
            status=commit.result.status,
            durability=Durability.REDIS,
            result=commit.result,
        )
        async with asking_redis(self._timeout):
            await self._append_script(
                keys=(
                    _entries_key(lease.tenant, lease.conversation_id),
                    _PENDING,
                    _turn_key(lease.tenant, lease.turn_id),
                ),
                args=(
                    encode_entry(entry_without_document(commit)),
                    _member(lease.tenant, lease.conversation_id),
                    encode(record),
                    _TURN_SECONDS_KEPT,
                ),
            )

    async def _stored(self, place: str, kind: type[T]) -> T | None:
        async with asking_redis(self._timeout):
            stored: Any = await self._client.get(place)
        return None if stored is None else decode(stored, kind)

    async def _members(self, place: str) -> Sequence[tuple[str, str]]:
        async with asking_redis(self._timeout):
            members: Any = await self._client.smembers(place)
        return [tuple(json.loads(member)) for member in sorted(members)]


def _forgets_nothing(configuration: Mapping[str | None, str | None]) -> bool:
    return (
        configuration.get("appendonly") == "yes"
        and configuration.get("appendfsync") == "always"
        and (configuration.get("maxmemory-policy") == "noeviction" or configuration.get("maxmemory") == "0")
    )


def _parsed(now: Sequence[bytes]) -> tuple[int, int]:
    return int(now[0]), int(now[1])


def _microseconds(now: tuple[int, int]) -> int:
    """Of Redis's TIME."""
    return now[0] * 1_000_000 + now[1]


def _turn_key(tenant: str, turn_id: str) -> str:
    return tagged(_TAG, "journal.turn", tenant, turn_id)


def _document_key(tenant: str, conversation_id: str) -> str:
    return tagged(_TAG, "journal.document", tenant, conversation_id)


def _entries_key(tenant: str, conversation_id: str) -> str:
    return tagged(_TAG, "journal.entries", tenant, conversation_id)


def _member(tenant: str, name: str) -> str:
    return json.dumps([tenant, name])


def _unknown(conversation_id: str) -> StateLoadFailed:
    return StateLoadFailed(
        f"{conversation_id} is not in Redis, and SQL cannot be asked", retry_after=_RETRY_AFTER_SECONDS
    )


def _contended(conversation_id: str) -> ConcurrentAccess:
    return ConcurrentAccess(f"{conversation_id} is changed by many at once", retry_after=1.0)
