"""
The serving copy in Redis: state and newest messages of a conversation, so that a turn need not read them from SQL.

Used only where it stands exactly at the version that intake read from SQL, and lacks no message; it is never the reason for
calling anything new. Every write is one script that compares versions, so a write that arrives late changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
from redis.asyncio import Redis

from core.errors import DataIntegrityFailed, StateLoadFailed
from core.messages import Durability, Message
from state.codec import decode, encode
from state.models import ConversationState, CustomerState, OpenFlow
from state.redis.client import asking_redis, key, together
from state.redis.joined import Command, JoinedCommands, evaluation
from state.selection import snapshot_on, split
from state.store import Basis, ConversationRecord, Lease, Snapshot, TurnCommit, TurnRecord, Written
from state.upcast import CHAINS

MESSAGES_KEPT = 200
_SECONDS_KEPT = 7 * 24 * 3600
_ANSWER_SECONDS_KEPT = 15 * 60
_AHEAD_RETRY_SECONDS = 60.0
_SPARE = 16
"""Notes and replies that stand between the messages of a turn; read beyond the history that is asked for."""

_SCHEMA = hashlib.sha256(
    repr(
        [(each.__struct_fields__, chain.present) for each, chain in CHAINS.items()]
        + [OpenFlow.__struct_fields__]
    ).encode()
).hexdigest()[:8]
"""In every key: a replica of another version, which may not know all fields, neither reads nor writes these copies."""

_WRITE = """
local have = tonumber(redis.call('HGET', KEYS[1], 'version') or '-1')
local base, version, replaces = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
if have > version or (have == version and not replaces) then return 0 end
if not replaces and have ~= base and not (have == -1 and base == 0) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  return 0
end
if replaces then redis.call('DEL', KEYS[2]) end
local settled = tonumber(ARGV[10])
for i = 11, 10 + settled do redis.call('HDEL', KEYS[3], ARGV[i]) end
for i = 11 + settled, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[6]), -1)
redis.call('HSET', KEYS[1], 'version', version, 'copy', ARGV[4], 'answered', ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
if not replaces then
  if ARGV[8] == '' then redis.call('DEL', KEYS[4]) else redis.call('SET', KEYS[4], ARGV[8], 'PX', ARGV[9]) end
end
return 1
"""

_SAVE_CUSTOMER = """
if tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'state', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

_ACCEPT = """
local answered = tonumber(redis.call('HGET', KEYS[1], 'answered') or '-1')
if answered == -1 and ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'version', 0, 'copy', ARGV[4], 'answered', 0)
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  answered = 0
end
if answered == -1 then return 0 end
local noted = 0
for i = 5, #ARGV, 3 do
  if tonumber(ARGV[i]) > answered then
    redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
    noted = noted + 1
  end
end
if noted == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) end
return noted
"""


class _Copy(msgspec.Struct, frozen=True):
    conversation: ConversationRecord
    state: ConversationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """
    All that Redis holds of a conversation, oldest message first. `waiting` are messages that SQL has accepted and that were not
    answered since; the turn `running_turn` is leased for another `running_milliseconds`.
    """

    conversation: ConversationRecord
    state: ConversationState
    version: int
    messages: tuple[Message, ...]
    customer_state: CustomerState
    customer_version: int
    waiting: tuple[Message, ...] = ()
    running_turn: str | None = None
    running_milliseconds: int = 0


class RedisStateCopy:
    """Implements `state.store.StateCopy`."""

    def __init__(self, client: Redis, *, timeout_seconds: float, lease_seconds: float = 30.0) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._lease_milliseconds = int(lease_seconds * 1000)
        self.commands = JoinedCommands(client, timeout_seconds=timeout_seconds)

    async def get(self, lease: Lease, *, history_messages: int) -> Snapshot | None:
        if lease.basis is not None:
            return await self._begun(lease, lease.basis, history_messages=history_messages)
        copied = await self._read(
            lease.tenant, lease.conversation_id, lease.customer_id, newest=history_messages + _SPARE
        )
        if (
            copied is None
            or copied.version != lease.state_version
            or copied.customer_version != lease.customer_version
        ):
            return None
        window = _all_of(copied.messages, lease, history_messages=history_messages)
        if window is None:
            return None
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

    async def _begun(self, lease: Lease, basis: Basis, *, history_messages: int) -> Snapshot | None:
        """
        Only what was said before has to be read; and Redis is told what SQL has accepted, and who answers it.

        Raises:
            StateLoadFailed: the copy has seen a version that SQL has not, so SQL has lost something.
        """
        place = (lease.tenant, lease.conversation_id)
        async with asking_redis(self._timeout):
            _, version, log = await self.commands.send(
                self._accepting(*place, lease.fresh, lease=lease),
                ("HGET", self._copy_key(*place), "version"),
                ("LRANGE", self._log_key(*place), -(history_messages + _SPARE), -1),
            )
        if version is not None and int(version) > lease.state_version:
            raise StateLoadFailed(
                f"{lease.conversation_id}: Redis has seen version {int(version)}, SQL has {lease.state_version}",
                reason="redis_ahead",
                retry_after=_AHEAD_RETRY_SECONDS,
            )
        window = _complete(log, lease, history_messages=history_messages)
        if window is None:
            return None
        source: Literal["redis", "sql"] = "redis" if log else "sql"
        return snapshot_on(basis, lease, window, history_messages=history_messages, source=source)

    async def note(self, tenant: str, conversation_id: str, messages: Sequence[Message]) -> None:
        """Messages that SQL has accepted, and whose turn waits or runs."""
        async with asking_redis(self._timeout):
            await self.commands.send(self._accepting(tenant, conversation_id, messages, lease=None))

    def _accepting(
        self, tenant: str, conversation_id: str, messages: Sequence[Message], *, lease: Lease | None
    ) -> Command:
        begun = b""
        if lease is not None and lease.basis is not None and lease.state_version == 0:
            begun = encode(_Copy(lease.basis.conversation, lease.basis.state))
        return evaluation(
            _ACCEPT,
            (
                self._copy_key(tenant, conversation_id),
                self._waiting_key(tenant, conversation_id),
                self._running_key(tenant, conversation_id),
            ),
            (
                _SECONDS_KEPT,
                "" if lease is None else lease.turn_id,
                self._lease_milliseconds,
                begun,
                *(part for each in messages for part in (each.seq, each.message_id, encode(each))),
            ),
        )

    async def read(self, tenant: str, conversation_id: str) -> Copied | None:
        """Whatever there is, for the journal to begin with."""
        async with asking_redis(self._timeout):
            stored = await self._client.hget(self._copy_key(tenant, conversation_id), "copy")
        if not isinstance(stored, bytes):
            return None
        customer_id = decode(stored, _Copy).conversation.customer_id
        copied = await self._read(tenant, conversation_id, customer_id, newest=MESSAGES_KEPT)
        async with asking_redis(self._timeout), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hvals(self._waiting_key(tenant, conversation_id))
            pipeline.get(self._running_key(tenant, conversation_id))
            pipeline.pttl(self._running_key(tenant, conversation_id))
            waiting, running, milliseconds = await pipeline.execute()
        if copied is None:
            return None
        return replace(
            copied,
            waiting=tuple(sorted((decode(m, Message) for m in waiting), key=lambda m: m.seq)),
            running_turn=running.decode() if running else None,
            running_milliseconds=max(0, milliseconds),
        )

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
            settled=(),
            next_turn=None,
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
            settled=commit.lease.fresh,
            next_turn=None if written.next_lease is None else written.next_lease.turn_id,
            answer=commit,
        )

    async def answered(self, tenant: str, turn_id: str) -> TurnRecord | None:
        """A turn that SQL has committed lately: who asks again while SQL is away hears the answer all the same."""
        async with asking_redis(self._timeout):
            (stored,) = await self.commands.send(("GET", self._answer_key(tenant, turn_id)))
        return None if stored is None else decode(stored, TurnRecord)

    async def forget(self, tenant: str, conversation_id: str) -> None:
        async with asking_redis(self._timeout):
            await self._client.delete(
                self._copy_key(tenant, conversation_id),
                self._log_key(tenant, conversation_id),
                self._waiting_key(tenant, conversation_id),
                self._running_key(tenant, conversation_id),
            )

    async def ping(self) -> None:
        async with asking_redis(self._timeout):
            await self._client.ping()

    async def _read(
        self, tenant: str, conversation_id: str, customer_id: str, *, newest: int
    ) -> Copied | None:
        async with asking_redis(self._timeout), self._client.pipeline(transaction=False) as pipeline:
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
        settled: tuple[Message, ...],
        next_turn: str | None,
        answer: TurnCommit | None = None,
    ) -> None:
        tenant, conversation_id = conversation.tenant, conversation.conversation_id
        saving_customer = evaluation(
            _SAVE_CUSTOMER,
            (self._customer_key(tenant, conversation.customer_id),),
            (customer_version, encode(customer_state), _SECONDS_KEPT),
        )
        writing = evaluation(
            _WRITE,
            (
                self._copy_key(tenant, conversation_id),
                self._log_key(tenant, conversation_id),
                self._waiting_key(tenant, conversation_id),
                self._running_key(tenant, conversation_id),
            ),
            (
                base,
                version,
                int(replaces),
                encode(_Copy(conversation, state)),
                _SECONDS_KEPT,
                MESSAGES_KEPT,
                conversation.answered,
                next_turn or "",
                self._lease_milliseconds,
                len(settled),
                *(message.message_id for message in settled),
                *(encode(message) for message in messages),
            ),
        )
        async with asking_redis(self._timeout):
            await self.commands.send(saving_customer, writing, *self._answering(answer))

    def _answering(self, commit: TurnCommit | None) -> tuple[Command, ...]:
        if commit is None:
            return ()
        place = self._answer_key(commit.lease.tenant, commit.result.turn_id)
        record = TurnRecord.answered_by(commit, Durability.SQL)
        return (("SET", place, encode(record), "EX", _ANSWER_SECONDS_KEPT),)

    def _answer_key(self, tenant: str, turn_id: str) -> str:
        return key(f"answer.{_SCHEMA}", tenant, turn_id)

    def _copy_key(self, tenant: str, conversation_id: str) -> str:
        return together(f"copy.{_SCHEMA}", tenant, conversation_id)

    def _log_key(self, tenant: str, conversation_id: str) -> str:
        return together(f"log.{_SCHEMA}", tenant, conversation_id)

    def _waiting_key(self, tenant: str, conversation_id: str) -> str:
        return together(f"waiting.{_SCHEMA}", tenant, conversation_id)

    def _running_key(self, tenant: str, conversation_id: str) -> str:
        return together(f"running.{_SCHEMA}", tenant, conversation_id)

    def _customer_key(self, tenant: str, customer_id: str) -> str:
        return key(f"customer.{_SCHEMA}", tenant, customer_id)


def _complete(log: Sequence[bytes], lease: Lease, *, history_messages: int) -> Sequence[Message] | None:
    """`_all_of` encoded messages, read from the newest backwards and no further than the history goes."""
    first = max(1, lease.after_seq - history_messages + 1)
    messages: list[Message] = []
    for stored in reversed(log):
        message = decode(stored, Message)
        if message.seq < first:
            break
        messages.append(message)
    return _all_of(messages, lease, history_messages=history_messages)


def _all_of(messages: Sequence[Message], lease: Lease, *, history_messages: int) -> Sequence[Message] | None:
    """With the lease's own, all that the turn may see, in order; None where one is missing."""
    by_seq = {message.seq: message for message in (*messages, *lease.fresh)}
    wanted = range(max(1, lease.after_seq - history_messages + 1), lease.head + 1)
    if any(seq not in by_seq for seq in wanted):
        return None
    return [by_seq[seq] for seq in wanted]
