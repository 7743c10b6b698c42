"""
The one way to conversations: SQL's record, Redis's copy of it, and Redis's journal while SQL is down, put together.

Nothing above knows which one answered. Redis down costs time only; SQL down costs what only SQL knows; with both down nothing
is promised.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from core.clock import Clock
from core.errors import (
    DependencyError,
    DependencyUnavailable,
    LeaseLost,
    NotFound,
    StateLoadFailed,
)
from core.messages import Durability, Message
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger
from state.accepted import message_from
from state.draining import Draining
from state.identifiers import conversation_id_of
from state.journal import counts_for_more
from state.outage import SqlIsDown, SqlOutage, Unanswered
from state.redis_calls import RedisCalls
from state.store import (
    CallGuard,
    ConversationRecord,
    EffectRecord,
    IncomingMessage,
    Intake,
    Journal,
    Lease,
    Record,
    Snapshot,
    StateCopy,
    TurnCommit,
    TurnRecord,
)

T = TypeVar("T")

_log = get_logger(__name__)

_LOOKS_FOR_SQL_AFTER = (0.0, 0.2, 0.5)
_RETRY_AFTER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryTimes:
    """
    A customer who cannot be served hears so within a second, `intake_seconds` and a margin: time for SQL to fail
    (`intake_sql_seconds`), for the question whether it is down (`ping_seconds`, see `state.outage`), and for Redis after both.

    What only saves time may take `copy_seconds`; a Redis that did not answer is not asked for it for `pause_seconds`: the
    customer has waited once.
    """

    intake_seconds: float = 0.8
    intake_sql_seconds: float = 0.4
    ping_seconds: float = 0.15
    copy_seconds: float = 0.25
    pause_seconds: float = 1.0


class StateRecoveryHandler:
    """
    Implements `state.store.ConversationStore`.

    `copy`, `journal` and `redis` come together, or not at all: without Redis, SQL serves alone.
    """

    def __init__(
        self,
        record: Record,
        *,
        sql: CallGuard,
        clock: Clock,
        copy: StateCopy | None = None,
        journal: Journal | None = None,
        redis: CallGuard | None = None,
        ping_sql: Callable[[], Awaitable[None]] | None = None,
        is_sql_local: bool = False,
        times: RecoveryTimes | None = None,
    ) -> None:
        self._record = record
        self._times = times or RecoveryTimes()
        self._outage = SqlOutage(
            sql,
            ping=ping_sql,
            can_go_without=journal is not None,
            ping_seconds=self._times.ping_seconds,
            is_local=is_sql_local,
        )
        self._clock = clock
        self._copy = copy
        self._journal = journal
        self._redis = RedisCalls(
            redis,
            clock=clock,
            spare_seconds=self._times.copy_seconds,
            pause_seconds=self._times.pause_seconds,
        )
        self._draining = Draining(journal, record, outage=self._outage, redis=self._redis)

    def on_outage(self, began: Callable[[], None]) -> None:
        """`began` is called when turns begin to go without SQL; they use it again after a `drain`."""
        self._outage.began = began

    def hold_sql(self) -> None:
        """SQL is not to be asked, whatever it answers, until `let_sql_go`: it has not this version's tables."""
        self._outage.hold()

    def let_sql_go(self) -> None:
        self._outage.let_go()

    @property
    def is_sql_down(self) -> bool:
        """As of the last time it was asked."""
        return self._outage.is_down

    async def intake(self, message: IncomingMessage) -> Intake:
        sql_deadline, deadline = self._intake_deadlines()
        is_all_in_sql = False
        try:
            is_all_in_sql = await self._draining.first(
                message.tenant, conversation_id_of(message), deadline=sql_deadline
            )
            intake = await self._ask_sql(lambda: self._record.intake(message), deadline=sql_deadline)
        except NotFound as unknown:
            if is_all_in_sql:
                raise
            raise StateLoadFailed(  # the journal may know it, and could not be asked
                f"{message.conversation_id} is not in SQL, and Redis cannot be asked",
                retry_after=_RETRY_AFTER_SECONDS,
            ) from unknown
        except SqlIsDown as down:
            return await self._ask_journal(lambda journal: journal.intake(message), down, deadline=deadline)
        copy = self._copy
        if copy is not None and intake.lease is None and intake.result is None:
            accepted = message_from(
                message, message_id=intake.message_id, turn_id=intake.turn_id, seq=intake.seq
            )
            await self._redis.quietly(lambda: copy.note(message.tenant, intake.conversation_id, (accepted,)))
        return intake

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        copy, journal = self._copy, self._journal
        snapshot: Snapshot | None = None
        if lease.durability is Durability.REDIS and journal is not None:
            with suppress(LeaseLost, *Unanswered):  # drained meanwhile, or Redis is away too: SQL may know
                snapshot = await self._redis.insist(
                    lambda: journal.load(lease, history_messages=history_messages)
                )
        elif copy is not None:
            snapshot = await self._redis.quietly(lambda: copy.get(lease, history_messages=history_messages))
        if snapshot is not None:
            return snapshot
        try:
            read = await self._ask_sql(lambda: self._record.load(lease, history_messages=history_messages))
        except Unanswered as down:
            raise StateLoadFailed(
                f"{lease.conversation_id}: neither SQL nor Redis has its state",
                retry_after=_RETRY_AFTER_SECONDS,
            ) from down
        if copy is not None:
            await self._redis.quietly(lambda: copy.put(read))
        return read

    async def commit(self, commit: TurnCommit) -> Lease | None:
        try:
            return await self._commit_to_sql(commit)
        except SqlIsDown as down:
            try:
                return await self._ask_journal(lambda journal: journal.commit(commit), down)
            except LeaseLost:
                if commit.lease.durability is not Durability.REDIS:
                    raise
                # Drained by a replica that reaches SQL, perhaps: the same token may hold there. Given up here, the customer
                # would wait until the lease runs out.
                for pause in _LOOKS_FOR_SQL_AFTER:
                    await self._clock.sleep(pause)
                    with suppress(*Unanswered):
                        await self.drain()
                        return await self._commit_to_sql(commit)
                raise

    async def _commit_to_sql(self, commit: TurnCommit) -> Lease | None:
        lease, copy = commit.lease, self._copy
        try:
            if lease.durability is Durability.REDIS:
                await self._draining.first(lease.tenant, lease.conversation_id)
            written = await self._ask_sql(lambda: self._record.write(commit))
        except LeaseLost:
            if lease.durability is Durability.REDIS:
                await self.release(lease)  # its token may hold in SQL, over a state that is newer
            raise
        if copy is not None:
            if written.state_version == lease.state_version + 1:
                await self._redis.quietly(lambda: copy.advance(commit, written))
            else:
                await self._redis.quietly(lambda: copy.forget(lease.tenant, lease.conversation_id))
        return written.next_lease

    async def renew(self, lease: Lease) -> None:
        """While SQL is down nobody can take its leases away either: they hold, and the turn goes on."""
        journal = self._journal
        if lease.durability is Durability.REDIS and journal is not None:
            try:
                await self._redis.insist(lambda: journal.renew(lease))
            except LeaseLost:
                # Drained by a replica that reaches SQL: the same token may hold there, but only SQL can say so.
                if self._outage.is_on:
                    raise
            except Unanswered as blip:
                self._redis.skip(blip)
                return
            else:
                return
        try:
            await self._ask_sql(lambda: self._record.renew(lease))
        except Unanswered:
            _log.warning("state.renewal_skipped", conversation_id=lease.conversation_id)

    async def release(self, lease: Lease) -> bool:
        journal, is_sqls = self._journal, True
        if lease.durability is Durability.REDIS and journal is not None:
            is_sqls = False  # what became of the journal's is not told
            await self._redis.quietly(lambda: journal.release(lease))
        try:
            return await self._ask_sql(lambda: self._record.release(lease)) and is_sqls
        except Unanswered:
            _log.warning("state.release_skipped", conversation_id=lease.conversation_id)
            return False

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        """While SQL is down, of those that the journal holds."""
        journal = self._journal
        if self._outage.is_on and journal is not None:
            return await self._redis.quietly(lambda: journal.claim_unanswered(limit=limit)) or ()
        try:
            await self.drain()
            return await self._ask_sql(lambda: self._record.claim_unanswered(limit=limit))
        except Unanswered:
            return ()

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        """What the journal held of this turn was drained before SQL leased it (`Draining.first`)."""
        try:
            return await self._ask_sql(lambda: self._record.begin_effect(effect))
        except SqlIsDown as down:
            return await self._ask_journal(lambda journal: journal.begin_effect(effect), down)

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        """In the order in which a drain moves it; of two, what counts for more."""
        journal, journaled = self._journal, None
        if journal is not None:
            journaled = await self._redis.quietly(lambda: journal.effect(tenant, key))
        try:
            recorded = await self._ask_sql(lambda: self._record.effect(tenant, key))
        except SqlIsDown:
            if journaled is None:
                raise
            return journaled
        return journaled if journaled is not None and counts_for_more(journaled, recorded) else recorded

    async def finish_effect(self, effect: EffectRecord) -> None:
        try:
            await self._ask_sql(lambda: self._record.finish_effect(effect))
        except SqlIsDown as down:
            await self._ask_journal(lambda journal: journal.finish_effect(effect), down)

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        journal = self._journal
        try:
            found = await self._ask_sql(lambda: self._record.turn(tenant, turn_id))
        except SqlIsDown as down:
            found = await self._ask_journal(lambda journal: journal.turn(tenant, turn_id), down)
            if found is None:
                raise _unavailable(down) from down
            return found
        if (found is None or found.result is None) and journal is not None:
            return await self._redis.quietly(lambda: journal.turn(tenant, turn_id)) or found
        return found

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        """As bounded in time as `intake`: whose a conversation is may have to be known before."""
        sql_deadline, deadline = self._intake_deadlines()
        try:
            found = await self._ask_sql(
                lambda: self._record.conversation(tenant, conversation_id), deadline=sql_deadline
            )
        except SqlIsDown as down:
            return await self._ask_journal(
                lambda journal: journal.conversation(tenant, conversation_id), down, deadline=deadline
            )
        journal = self._journal
        if found is None and journal is not None and await self._is_ahead(journal, tenant, conversation_id):
            return await self._redis.quietly(lambda: journal.conversation(tenant, conversation_id))
        return found

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        """What the journal alone holds comes behind SQL's: while a turn runs there, it is not drained."""
        journal = self._journal
        is_ahead = journal is not None and await self._is_ahead(journal, tenant, conversation_id)
        try:
            found = await self._ask_sql(
                lambda: self._record.messages(tenant, conversation_id, after=after, limit=limit)
            )
        except SqlIsDown as down:
            return await self._ask_journal(
                lambda journal: journal.messages(tenant, conversation_id, after=after, limit=limit), down
            )
        if journal is None or not is_ahead or len(found) == limit:
            return found
        last, room = found[-1].seq if found else after, limit - len(found)
        newer = await self._redis.quietly(
            lambda: journal.messages(tenant, conversation_id, after=last, limit=room)
        )
        return (*found, *(newer or ()))

    async def _is_ahead(self, journal: Journal, tenant: str, conversation_id: str) -> bool:
        return bool(await self._redis.quietly(lambda: journal.has_entries(tenant, conversation_id)))

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None:
        await self._ask_sql(
            lambda: self._record.append_note(tenant, conversation_id, key=key, text=text, at=at)
        )

    async def by_a_person(
        self,
        tenant: str,
        conversation_id: str,
        write: Callable[[], Awaitable[T]],
        *,
        changes_hands: Callable[[T], bool],
    ) -> T:
        """
        What a person says or decides: written to SQL behind all that the journal holds of the conversation. Where that
        `changes_hands`, the copy is given up: with SQL away, the journal would go on from it.

        `write` is idempotent. Raises DependencyUnavailable while SQL is down: the person is told, and nothing is kept.
        """
        copy = self._copy
        await self._draining.first(tenant, conversation_id)
        written = await self._ask_sql(write)
        if copy is not None and changes_hands(written):
            await self._redis.quietly(lambda: copy.forget(tenant, conversation_id))
        return written

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        await self._ask_sql(
            lambda: self._record.claim_conversation(
                tenant, conversation_id, visitor=visitor, customer=customer
            )
        )

    async def drain(self) -> int:
        """
        Bring what the journal holds into SQL, but for conversations in which a turn runs; returns how many entries were new.

        Raises:
            DependencyUnavailable, DependencyTimeout: SQL is still down. What is not drained stays in the journal.
        """
        return await self._draining.all()

    def _intake_deadlines(self) -> tuple[Deadline | None, Deadline | None]:
        """SQL's share of the time, and the whole of it. Alone, SQL has all the time that its guard gives it."""
        if self._journal is None:
            return None, None
        times = self._times
        return Deadline(self._clock, times.intake_sql_seconds), Deadline(self._clock, times.intake_seconds)

    async def _ask_sql(self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline | None = None) -> T:
        """Every call of the record may be repeated: each finds what its first try left."""
        return await self._outage.ask(attempt, deadline=deadline)

    async def _ask_journal(
        self,
        attempt: Callable[[Journal], Awaitable[T]],
        down: DependencyError,
        *,
        deadline: Deadline | None = None,
    ) -> T:
        """
        Raises:
            DependencyUnavailable: SQL is down, and there is no Redis that would keep what it is told.
        """
        journal = self._journal
        if journal is None:
            raise _unavailable(down) from down
        try:
            if not await self._redis.insist(journal.is_durable, deadline=deadline):
                raise _unavailable(down) from down
            return await self._redis.insist(lambda: attempt(journal), deadline=deadline)
        except Unanswered as error:
            raise _unavailable(down) from error


def _unavailable(down: DependencyError) -> DependencyUnavailable:
    return DependencyUnavailable(
        "sql", str(down), reason=down.reason, retry_after=down.retry_after or _RETRY_AFTER_SECONDS
    )
