"""
Redis in SQL's place while SQL is down: a document per conversation to go on from, and a list of entries to be drained.

A change reads the document, decides, and writes it back with its entries in one script, if nobody else has meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import msgspec
from redis.asyncio import Redis

from core.errors import ConcurrentAccess, DataIntegrityFailed, LeaseLost, StateLoadFailed
from core.messages import Durability, Message
from state.codec import decode
from state.identifiers import conversation_id_of, message_id_of
from state.journal import counts_for_more, entry_without_document
from state.redis.copy import Copied, RedisStateCopy
from state.redis.document import (
    Change,
    Document,
    begun_by,
    begun_with,
    page_of,
    snapshot_of,
)
from state.redis.durability import Promise, RedisDurability
from state.redis.journal_drain import JournalDrainage
from state.redis.journal_store import JournalStore
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

_ATTEMPTS = 20
_RETRY_AFTER_SECONDS = 5.0


class RedisJournal:
    """Implements `state.store.Journal`."""

    def __init__(
        self,
        client: Redis,
        copy: RedisStateCopy,
        *,
        durability: RedisDurability,
        owner: str,
        lease_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._copy = copy
        self._durability = durability
        self._store = JournalStore(
            client,
            copy.commands,
            durability=durability,
            owner=owner,
            lease_seconds=lease_seconds,
            timeout_seconds=timeout_seconds,
        )
        self._drainage = JournalDrainage(self._store, copy)
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def is_known_durable(self) -> bool:
        """What `is_durable` said last; False before it was asked."""
        return self._durability.promise is not Promise.NONE

    async def is_durable(self) -> bool:
        return await self._durability.is_given()

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
            return self._store.change(begun_by(message, conversation_id), await self._store.now())

        for _ in range(_ATTEMPTS):
            change, revision = await self._store.open(message.tenant, conversation_id) or (await begin(), b"")
            before = next((m for m in change.document.messages if m.message_id == message_id), None)
            known = None if before is None else await self.turn(message.tenant, before.turn_id or "")
            intake = change.take(message, message_id, known)
            if not change.entries:
                await self._durability.confirm()
                return intake
            if await self._store.write(change, revision):
                return intake
        raise _contended(conversation_id)

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        change, _ = await self._store.opened(lease)
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
                    await self._durability.confirm()
                    return None
                raise LeaseLost(f"{lease.turn_id} is answered already")
            found = await self._store.open(lease.tenant, lease.conversation_id)
            if found is None:
                if lease.durability is Durability.REDIS:
                    raise LeaseLost(f"{lease.conversation_id}: its journal was drained")
                copied = await self._copy.read(lease.tenant, lease.conversation_id)
                if copied is None or copied.version != lease.state_version:
                    await self._append(commit)
                    return None
                found = await self._begun_with(copied, fresh=lease.fresh), b""
            change, revision = found
            following = change.commit(commit)
            if await self._store.write(change, revision):
                return following
        raise _contended(lease.conversation_id)

    async def renew(self, lease: Lease) -> None:
        for _ in range(_ATTEMPTS):
            change, revision = await self._store.opened(lease)
            change.renew(lease)
            if await self._store.write(change, revision):
                return
        raise _contended(lease.conversation_id)

    async def release(self, lease: Lease) -> None:
        for _ in range(_ATTEMPTS):
            found = await self._store.open(lease.tenant, lease.conversation_id)
            if found is None:
                return
            change, revision = found
            change.release(lease)
            if await self._store.write(change, revision):
                return

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        leases: list[Lease] = []
        for tenant, conversation_id in await self.pending():
            if len(leases) == limit:
                break
            found = await self._store.open(tenant, conversation_id)
            if found is None:
                continue
            change, revision = found
            lease = change.take_over()
            if lease is not None and await self._store.write(change, revision):
                leases.append(lease)
        return leases

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        turn = await self.turn(effect.tenant, effect.turn_id)
        if turn is not None:
            found = await self._store.open(turn.tenant, turn.conversation_id)
            if found is None or found[0].document.running_turn != effect.turn_id:
                raise LeaseLost(f"{effect.turn_id}: its journal was drained, or another turn runs")
        return await self._store.plan_effect(replace(effect, is_journaled=True))

    async def finish_effect(self, effect: EffectRecord) -> None:
        for _ in range(_ATTEMPTS):
            stored = await self._store.stored_effect(effect.tenant, effect.key)
            known = None if stored is None else decode(stored, EffectRecord)
            if not counts_for_more(effect, known) or await self._store.replace_effect(effect, stored):
                return
        raise ConcurrentAccess(f"effect {effect.key} is changed by many at once", retry_after=1.0)

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        return await self._store.effect(tenant, key)

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        """Its own, or one that SQL has answered just before it went away."""
        return await self._store.turn(tenant, turn_id) or await self._copy.answered(tenant, turn_id)

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord:
        return (await self._known(tenant, conversation_id)).conversation

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return page_of((await self._known(tenant, conversation_id)).messages, after=after, limit=limit)

    async def has_entries(self, tenant: str, conversation_id: str) -> bool:
        return await self._store.has_entries(tenant, conversation_id)

    async def pending(self) -> Sequence[tuple[str, str]]:
        return await self._store.conversations()

    async def drain(
        self, tenant: str, conversation_id: str, into: JournalSink, *, spares_running: bool = False
    ) -> int:
        if spares_running:
            found = await self._store.open(tenant, conversation_id)
            if found is not None and found[0].is_running:
                return 0
        return await self._drainage.drain(tenant, conversation_id, into)

    async def drain_effects(self, into: JournalSink) -> int:
        return await self._drainage.drain_effects(into)

    async def _known(self, tenant: str, conversation_id: str) -> Document:
        found = await self._store.open(tenant, conversation_id)
        if found is not None:
            return found[0].document
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

    async def _begun_with(self, copied: Copied, *, fresh: Sequence[Message] = ()) -> Change:
        now = await self._store.now()
        change = self._store.change(begun_with(copied, now=now, fresh=fresh), now)
        change.note_waiting()
        return change

    async def _append(self, commit: TurnCommit) -> None:
        """A turn of which Redis has no copy to go on from: its answer is kept, and nothing can follow until SQL is back."""
        record = TurnRecord.answered_by(commit, Durability.REDIS)
        await self._store.append(entry_without_document(commit), record)


def _unknown(conversation_id: str) -> StateLoadFailed:
    return StateLoadFailed(
        f"{conversation_id} is not in Redis, and SQL cannot be asked", retry_after=_RETRY_AFTER_SECONDS
    )


def _contended(conversation_id: str) -> ConcurrentAccess:
    return ConcurrentAccess(f"{conversation_id} is changed by many at once", retry_after=1.0)
