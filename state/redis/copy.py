"""
The serving copy in Redis: state and newest messages of a conversation, so that a turn need not read them from SQL.

Used only where it stands exactly at the version that intake read from SQL, and lacks no message; it is never the reason for
calling anything new. Every write is one script that compares versions, so a write that arrives late changes nothing.
"""

import hashlib
from dataclasses import dataclass, replace

import msgspec
from redis.asyncio import Redis

from core.errors import DataIntegrityFailed
from core.messages import Message
from state.codec import decode, encode
from state.models import ConversationState, CustomerState
from state.redis.client import asking_redis, key
from state.selection import split
from state.store import ConversationRecord, Lease, Snapshot, TurnCommit, Written

MESSAGES_KEPT = 200
_SECONDS_KEPT = 7 * 24 * 3600
_SPARE = 16
"""Notes and replies that stand between the messages of a turn; read beyond the history that is asked for."""

_SCHEMA = hashlib.sha256(
    repr((ConversationState.__struct_fields__, CustomerState.__struct_fields__)).encode()
).hexdigest()[:8]
"""In every key: a replica of another version, which may not know all fields, neither reads nor writes these copies."""

_WRITE = """
local function save_customer()
  if tonumber(redis.call('HGET', KEYS[3], 'version') or '-1') < tonumber(ARGV[6]) then
    redis.call('HSET', KEYS[3], 'version', ARGV[6], 'state', ARGV[7])
    redis.call('EXPIRE', KEYS[3], ARGV[5])
  end
end
local have = tonumber(redis.call('HGET', KEYS[1], 'version') or '-1')
local base, version, replaces = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
save_customer()
if have > version or (have == version and not replaces) then return 0 end
if not replaces and have ~= base and not (have == -1 and base == 0) then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 0
end
if replaces then redis.call('DEL', KEYS[2]) end
for i = 9, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[8]), -1)
redis.call('HSET', KEYS[1], 'version', version, 'copy', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
"""


class _Copy(msgspec.Struct, frozen=True):
    conversation: ConversationRecord
    state: ConversationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """All that Redis holds of a conversation, oldest message first."""

    conversation: ConversationRecord
    state: ConversationState
    version: int
    messages: tuple[Message, ...]
    customer_state: CustomerState
    customer_version: int


class RedisStateCopy:
    """Implements `state.store.StateCopy`."""

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._write_script = client.register_script(_WRITE)

    async def get(self, lease: Lease, *, history_messages: int) -> Snapshot | None:
        copied = await self._read(
            lease.tenant, lease.conversation_id, lease.customer_id, newest=history_messages + _SPARE
        )
        if (
            copied is None
            or copied.version != lease.state_version
            or copied.customer_version != lease.customer_version
        ):
            return None
        by_seq = {message.seq: message for message in (*copied.messages, *lease.fresh)}
        first = max(1, lease.after_seq - history_messages + 1)
        if any(seq not in by_seq for seq in range(first, lease.head + 1)):
            return None
        window = [by_seq[seq] for seq in range(first, lease.head + 1)]
        history, fresh = split(window, lease, history_messages=history_messages)
        if not fresh:
            return None
        return Snapshot(
            conversation=replace(
                copied.conversation,
                customer_id=lease.customer_id,
                head=lease.head,
                answered=lease.after_seq,
                last_user=max(lease.upto_seq, copied.conversation.last_user),
            ),
            state=copied.state,
            state_version=copied.version,
            history=history,
            fresh=fresh,
            customer_state=copied.customer_state,
            customer_version=copied.customer_version,
            source="redis",
        )

    async def read(self, tenant: str, conversation_id: str) -> Copied | None:
        """Whatever there is, for the journal to begin with."""
        async with asking_redis(self._timeout):
            stored = await self._client.hget(self._copy_key(tenant, conversation_id), "copy")
        if not isinstance(stored, bytes):
            return None
        customer_id = decode(stored, _Copy).conversation.customer_id
        return await self._read(tenant, conversation_id, customer_id, newest=MESSAGES_KEPT)

    async def put(self, snapshot: Snapshot) -> None:
        await self._write(
            conversation=snapshot.conversation,
            state=snapshot.state,
            base=snapshot.state_version,
            version=snapshot.state_version,
            replaces=True,
            customer_state=snapshot.customer_state,
            customer_version=snapshot.customer_version,
            messages=snapshot.history,
        )

    async def advance(self, commit: TurnCommit, written: Written) -> None:
        await self._write(
            conversation=written.conversation,
            state=commit.state,
            base=commit.lease.state_version,
            version=written.state_version,
            replaces=False,
            customer_state=written.customer_state,
            customer_version=written.customer_version,
            messages=(*commit.lease.fresh, written.reply),
        )

    async def forget(self, tenant: str, conversation_id: str) -> None:
        async with asking_redis(self._timeout):
            await self._client.delete(
                self._copy_key(tenant, conversation_id), self._log_key(tenant, conversation_id)
            )

    async def ping(self) -> None:
        async with asking_redis(self._timeout):
            await self._client.ping()

    async def _read(
        self, tenant: str, conversation_id: str, customer_id: str, *, newest: int
    ) -> Copied | None:
        async with asking_redis(self._timeout), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(self._copy_key(tenant, conversation_id))
            pipeline.lrange(self._log_key(tenant, conversation_id), -newest, -1)
            pipeline.hgetall(self._customer_key(tenant, customer_id))
            fields, log, customer = await pipeline.execute()
        if not fields:
            return None
        try:
            copy = decode(fields[b"copy"], _Copy)
            return Copied(
                conversation=copy.conversation,
                state=copy.state,
                version=int(fields[b"version"]),
                messages=tuple(sorted((decode(m, Message) for m in log), key=lambda m: m.seq)),
                customer_state=decode(customer[b"state"], CustomerState) if customer else CustomerState(),
                customer_version=int(customer[b"version"]) if customer else 0,
            )
        except (KeyError, ValueError) as damaged:
            raise DataIntegrityFailed(f"copy of {conversation_id}: {damaged!r}") from damaged

    async def _write(
        self,
        *,
        conversation: ConversationRecord,
        state: ConversationState,
        base: int,
        version: int,
        replaces: bool,
        customer_state: CustomerState,
        customer_version: int,
        messages: tuple[Message, ...],
    ) -> None:
        tenant, conversation_id = conversation.tenant, conversation.conversation_id
        async with asking_redis(self._timeout):
            await self._write_script(
                keys=(
                    self._copy_key(tenant, conversation_id),
                    self._log_key(tenant, conversation_id),
                    self._customer_key(tenant, conversation.customer_id),
                ),
                args=(
                    base,
                    version,
                    int(replaces),
                    encode(_Copy(conversation, state)),
                    _SECONDS_KEPT,
                    customer_version,
                    encode(customer_state),
                    MESSAGES_KEPT,
                    *(encode(message) for message in messages),
                ),
            )

    def _copy_key(self, tenant: str, conversation_id: str) -> str:
        return key(f"copy.{_SCHEMA}", tenant, conversation_id)

    def _log_key(self, tenant: str, conversation_id: str) -> str:
        return key(f"log.{_SCHEMA}", tenant, conversation_id)

    def _customer_key(self, tenant: str, customer_id: str) -> str:
        return key(f"customer.{_SCHEMA}", tenant, customer_id)
