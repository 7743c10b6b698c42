"""The journal's drain deletes only what was written, whoever else drains or writes meanwhile."""

from collections.abc import Awaitable, Callable, Sequence

from core.clock import SystemClock
from core.messages import Message
from state.journal import MessageEntry, decode_entry
from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.durability import RedisDurability
from state.redis.journal import RedisJournal
from state.redis.journal_store import JOURNAL_TAG
from tests.contracts.databases import message


class Sink:
    """Remembers the messages it was given; does something else first, once."""

    def __init__(self, first: Callable[[], Awaitable[None]] | None = None) -> None:
        self.texts: list[str] = []
        self._first = first

    async def absorb(self, entries: Sequence[bytes]) -> int:
        for entry in map(decode_entry, entries):
            if isinstance(entry, MessageEntry):
                self.texts.append(entry.message.text)
        first, self._first = self._first, None
        if first is not None:
            await first()
        return len(entries)

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return ()


async def test_what_is_journaled_during_two_drains_at_once_is_not_deleted_unwritten(redis_url: str) -> None:
    client = open_redis(redis_url, timeout_seconds=2.0)
    copy = RedisStateCopy(client, timeout_seconds=2.0)
    journal = RedisJournal(
        client,
        copy,
        durability=RedisDurability(client, tag=JOURNAL_TAG, timeout_seconds=2.0, clock=SystemClock()),
        owner="a",
        lease_seconds=30,
        timeout_seconds=2.0,
    )
    begun = await journal.intake(message("one", id="1"))
    other = Sink()

    async def somebody_else_drains_and_more_comes() -> None:
        await journal.drain("default", begun.conversation_id, other)
        await journal.intake(message("one again", id="1", principal="customer:ada", metadata={"n": 1}))

    mine = Sink(somebody_else_drains_and_more_comes)
    await journal.drain("default", begun.conversation_id, mine)

    assert other.texts == ["one"]
    assert mine.texts == ["one", "one again"]
    assert await journal.pending() == []
    await client.aclose()
