"""
What was journaled goes to SQL: written there first, deleted here afterwards, in order.

A crash in between only makes SQL skip what it has. What is deleted is compared with what was written, because two replicas may
drain at once.
"""

from collections.abc import Sequence

from core.messages import Message
from state.codec import decode
from state.journal import EffectEntry, encode_entry
from state.redis.copy import RedisStateCopy
from state.redis.document import copyable
from state.redis.journal_store import JournalStore
from state.store import EffectRecord, JournalSink

_BATCH = 16
"""Entries in one transaction: well within the time that one call of SQL may take."""


class JournalDrainage:
    def __init__(self, store: JournalStore, copy: RedisStateCopy) -> None:
        self._store = store
        self._copy = copy

    async def drain(self, tenant: str, conversation_id: str, into: JournalSink) -> int:
        written = 0
        while True:
            entries = await self._store.entries(tenant, conversation_id, limit=_BATCH)
            if entries:
                # Read before them, so that no answer comes to SQL without what is known of the effects that it promised.
                written += await self.drain_effects(into)
                written += await into.absorb(entries)
            if len(entries) < _BATCH:
                await self._hand_on(tenant, conversation_id, into)
            if await self._store.drop(tenant, conversation_id, entries):
                return written

    async def drain_effects(self, into: JournalSink) -> int:
        written = 0
        for tenant, key in await self._store.effects():
            stored = await self._store.stored_effect(tenant, key)
            if stored is not None:
                written += await into.absorb([encode_entry(EffectEntry(decode(stored, EffectRecord)))])
            await self._store.drop_effect(tenant, key, stored)
        return written

    async def _hand_on(self, tenant: str, conversation_id: str, drained_into: JournalSink) -> None:
        """
        What SQL has now, to the copy: the next outage may begin before anybody reads it from there, and must not begin with
        less. Not where SQL has other messages, or counts them otherwise.
        """
        found = await self._store.open(tenant, conversation_id)
        if found is None:
            return
        document = found[0].document
        recorded = await drained_into.messages(
            tenant, conversation_id, after=document.messages[0].seq - 1, limit=len(document.messages) + 1
        )
        if _places(recorded) == _places(document.messages):
            await self._copy.put(copyable(document))
        waiting = {turn.turn_id for turn in document.turns}
        if waiting:
            messages = [each for each in document.messages if each.turn_id in waiting]
            await self._copy.note(tenant, conversation_id, messages)


def _places(messages: Sequence[Message]) -> list[tuple[int, str, str | None]]:
    return [(message.seq, message.message_id, message.turn_id) for message in messages]
