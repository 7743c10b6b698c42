"""
How the journal lies in Redis: its keys, the scripts that change several of them at once, and what is stored under each.

Decides nothing: `state.redis.journal` says what is written, `state.redis.journal_drain` what may go.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from core.errors import LeaseLost
from core.records import EffectRecord
from state.codec import decode, encode
from state.journal import CommitEntry, encode_entry
from state.redis.client import asking_redis, tagged
from state.redis.document import Change, Document
from state.redis.durability import RedisDurability
from state.redis.joined import JoinedCommands
from state.store import Lease, TurnRecord

JOURNAL_TAG = "journal"
"""All of the journal on one node of a cluster: its scripts touch several keys, and its times are of one clock."""

_TURN_SECONDS_KEPT = 24 * 3600

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
redis.call('SET', KEYS[1], ARGV[1], 'NX')
redis.call('SADD', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[1])
"""

_EFFECT_ENDED = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
return 1
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

_PENDING = tagged(JOURNAL_TAG, "journal.pending")
_EFFECTS = tagged(JOURNAL_TAG, "journal.effects")


class JournalStore:
    """`entries` are encoded by `state.journal`; (tenant, id) is a conversation, or an effect by its key."""

    def __init__(
        self,
        client: Redis,
        commands: JoinedCommands,
        *,
        durability: RedisDurability,
        owner: str,
        lease_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._client = client
        self._commands = commands
        self._durability = durability
        self._owner = owner
        self._lease_microseconds = int(lease_seconds * 1_000_000)
        self._timeout = timeout_seconds
        self._open_script = client.register_script(_OPEN)
        self._now_script = client.register_script(_NOW)
        self._write_script = client.register_script(_WRITE)
        self._append_script = client.register_script(_APPEND)
        self._effect_script = client.register_script(_EFFECT)
        self._effect_ended_script = client.register_script(_EFFECT_ENDED)
        self._drained_script = client.register_script(_DRAINED)
        self._effect_drained_script = client.register_script(_EFFECT_DRAINED)

    async def open(self, tenant: str, conversation_id: str) -> tuple[Change, bytes] | None:
        """What stands of a conversation, to be changed, and its revision; None where nothing was journaled."""
        async with asking_redis(self._timeout):
            now, (revision, document) = await self._open_script(
                keys=(_document_key(tenant, conversation_id),)
            )
        if revision is None:
            return None
        return self.change(decode(document, Document), _microseconds(now), stored=document), revision

    async def opened(self, lease: Lease) -> tuple[Change, bytes]:
        """Raises LeaseLost where nothing stands any more."""
        found = await self.open(lease.tenant, lease.conversation_id)
        if found is None:
            raise LeaseLost(f"{lease.conversation_id}: its journal was drained")
        return found

    def change(self, document: Document, now: int, *, stored: bytes | None = None) -> Change:
        return Change(
            document,
            now=now,
            owner=self._owner,
            lease_microseconds=self._lease_microseconds,
            stored=stored,
        )

    async def now(self) -> int:
        """Microseconds of Redis's clock."""
        async with asking_redis(self._timeout):
            return _microseconds(await self._now_script(keys=(_PENDING,)))

    async def write(self, change: Change, revision: bytes) -> bool:
        """False when somebody else changed the document since it was read."""
        record = change.document.conversation
        turns = {_turn_key(turn.tenant, turn.turn_id): encode(turn) for turn in change.turns}
        written = await self._durability.write(
            self._write_script,
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

    async def append(self, entry: CommitEntry, record: TurnRecord) -> None:
        """An answer without a document that it changes."""
        await self._durability.write(
            self._append_script,
            keys=(
                _entries_key(record.tenant, record.conversation_id),
                _PENDING,
                _turn_key(record.tenant, record.turn_id),
            ),
            args=(
                encode_entry(entry),
                _member(record.tenant, record.conversation_id),
                encode(record),
                _TURN_SECONDS_KEPT,
            ),
        )

    async def plan_effect(self, effect: EffectRecord) -> EffectRecord:
        """Nothing where something stands under the key. Returns what stands then."""
        stored = await self._durability.write(
            self._effect_script,
            keys=(_effect_key(effect.tenant, effect.key), _EFFECTS),
            args=(encode(effect), _member(effect.tenant, effect.key)),
        )
        return decode(stored, EffectRecord)

    async def replace_effect(self, effect: EffectRecord, known: bytes | None) -> bool:
        """False when something else than `known` stands under the key by now."""
        written = await self._durability.write(
            self._effect_ended_script,
            keys=(_effect_key(effect.tenant, effect.key), _EFFECTS),
            args=(known or b"", encode(effect), _member(effect.tenant, effect.key)),
        )
        return bool(written)

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        stored = await self.stored_effect(tenant, key)
        return None if stored is None else decode(stored, EffectRecord)

    async def stored_effect(self, tenant: str, key: str) -> bytes | None:
        return await self._get(_effect_key(tenant, key))

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        stored = await self._get(_turn_key(tenant, turn_id))
        return None if stored is None else decode(stored, TurnRecord)

    async def has_entries(self, tenant: str, conversation_id: str) -> bool:
        """Of this conversation, or effects of any."""
        async with asking_redis(self._timeout):
            (found,) = await self._commands.send(("EXISTS", _entries_key(tenant, conversation_id), _EFFECTS))
        return bool(found)

    async def conversations(self) -> Sequence[tuple[str, str]]:
        return await self._members(_PENDING)

    async def effects(self) -> Sequence[tuple[str, str]]:
        return await self._members(_EFFECTS)

    async def entries(self, tenant: str, conversation_id: str, *, limit: int) -> Sequence[bytes]:
        """The oldest."""
        async with asking_redis(self._timeout):
            entries: Any = await self._client.lrange(_entries_key(tenant, conversation_id), 0, limit - 1)
        return list(entries)

    async def drop(self, tenant: str, conversation_id: str, entries: Sequence[bytes]) -> bool:
        """The oldest entries, if they are these still. True when none were left and the conversation is gone from here."""
        async with asking_redis(self._timeout):
            is_empty = await self._drained_script(
                keys=(
                    _document_key(tenant, conversation_id),
                    _entries_key(tenant, conversation_id),
                    _PENDING,
                ),
                args=(
                    len(entries),
                    _member(tenant, conversation_id),
                    *((entries[0], entries[-1]) if entries else ()),
                ),
            )
        return bool(is_empty)

    async def drop_effect(self, tenant: str, key: str, stored: bytes | None) -> None:
        """If it stands as it was read."""
        async with asking_redis(self._timeout):
            await self._effect_drained_script(
                keys=(_effect_key(tenant, key), _EFFECTS), args=(stored or b"", _member(tenant, key))
            )

    async def _get(self, place: str) -> bytes | None:
        async with asking_redis(self._timeout):
            stored: Any = await self._client.get(place)
        found: bytes | None = stored
        return found

    async def _members(self, place: str) -> Sequence[tuple[str, str]]:
        async with asking_redis(self._timeout):
            members: Any = await self._client.smembers(place)
        return [_pair(member) for member in sorted(members)]


def _microseconds(now: Sequence[bytes]) -> int:
    """Of Redis's TIME."""
    return int(now[0]) * 1_000_000 + int(now[1])


def _turn_key(tenant: str, turn_id: str) -> str:
    return tagged(JOURNAL_TAG, "journal.turn", tenant, turn_id)


def _document_key(tenant: str, conversation_id: str) -> str:
    return tagged(JOURNAL_TAG, "journal.document", tenant, conversation_id)


def _entries_key(tenant: str, conversation_id: str) -> str:
    return tagged(JOURNAL_TAG, "journal.entries", tenant, conversation_id)


def _effect_key(tenant: str, key: str) -> str:
    return tagged(JOURNAL_TAG, "journal.effect", tenant, key)


def _member(tenant: str, name: str) -> str:
    return json.dumps([tenant, name])


def _pair(member: bytes) -> tuple[str, str]:
    tenant, name = json.loads(member)
    return tenant, name
