"""
What the journal holds, brought into SQL: all of it when an outage is over, and of one conversation before SQL leases that again.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from core.errors import CarelineError, DependencyError
from core.messages import Message
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger
from state.outage import SqlOutage, Unanswered
from state.redis_calls import RedisCalls
from state.store import Journal, Record

_log = get_logger(__name__)


class Draining:
    """Without a `journal` there is nothing to bring."""

    def __init__(
        self, journal: Journal | None, record: Record, *, outage: SqlOutage, redis: RedisCalls
    ) -> None:
        self._journal = journal
        self._record = record
        self._outage = outage
        self._redis = redis

    async def all(self) -> int:
        """
        All but the conversations in which a turn runs; returns how many entries were new. Ends the outage.

        Raises:
            DependencyUnavailable, DependencyTimeout: SQL is still down. What is not drained stays in the journal.
        """
        journal = self._journal
        if journal is None:
            return 0
        if self._outage.is_on:
            await self._outage.look()
        sink = _Sink(self._record, self._outage)
        written = await _together(partial(journal.drain_effects, sink))
        for tenant, conversation_id in await self._redis.quietly(journal.pending) or ():
            drain = partial(journal.drain, tenant, conversation_id, sink, spares_running=True)
            written += await _together(drain)
        if written:
            _log.info("state.journal_drained", entries=written)
        await self._outage.end()
        return written

    async def first(self, tenant: str, conversation_id: str, *, deadline: Deadline | None = None) -> bool:
        """SQL must not lease a conversation whose journal is ahead of it. False when the journal could not be asked."""
        journal = self._journal
        if journal is None:
            return True
        if self._outage.is_on or self._redis.is_silent:
            return False
        try:
            is_ahead = await self._redis.ask(
                lambda: journal.has_entries(tenant, conversation_id), deadline=deadline
            )
            if is_ahead:
                sink = _Sink(self._record, self._outage, deadline)
                await journal.drain_effects(sink)
                await journal.drain(tenant, conversation_id, sink)
        except DependencyError as error:
            if error.dependency == "sql":
                raise
            self._redis.skip(error)
            return False
        return True


async def _together(drain: Callable[[], Awaitable[int]]) -> int:
    """One conversation that cannot be drained must not keep the others from it; SQL's absence does."""
    try:
        return await drain()
    except Unanswered as error:
        if error.dependency == "sql":
            raise
        return 0
    except CarelineError as error:
        _log.error("state.drain_failed", error=str(error), error_type=error.error_type)
        return 0


class _Sink:
    """`state.store.JournalSink` past what keeps turns from SQL in an outage, within what is left of a request's time."""

    def __init__(self, record: Record, outage: SqlOutage, deadline: Deadline | None = None) -> None:
        self._record = record
        self._outage = outage
        self._deadline = deadline

    async def absorb(self, entries: Sequence[bytes]) -> int:
        return await self._outage.ask_anyway(lambda: self._record.absorb(entries), deadline=self._deadline)

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return await self._outage.ask_anyway(
            lambda: self._record.messages(tenant, conversation_id, after=after, limit=limit),
            deadline=self._deadline,
        )
