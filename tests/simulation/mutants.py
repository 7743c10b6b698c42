"""
The protocol with one part broken at a time: what the simulation must notice.

Each is a context manager that patches the real code, or the record where the part is SQL's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any
from unittest.mock import patch

from agent.turn import effects
from agent.turn.effects import TurnTools
from agent.turn.inputs import ChatRequest, Submission
from agent.turn.pipeline import TurnPipeline
from agent.workers.sweeper import Sweeper
from core.errors import DependencyError
from core.ids import derived_id
from core.messages import Durability, Message
from core.resilience.deadline import Deadline
from state.draining import Draining
from state.models import ConversationState, CustomerState
from state.recovery import StateRecoveryHandler
from state.redis import journal, journal_store
from state.redis.copy import RedisStateCopy
from state.redis.journal import RedisJournal
from state.redis.journal_drain import JournalDrainage
from state.store import (
    ConversationRecord,
    EffectRecord,
    JournalSink,
    Lease,
    Snapshot,
    TurnCommit,
    Written,
)
from tests.simulation import record
from tests.simulation.record import Conversation, SqlTables
from tests.simulation.world import run_seed, silence
from tools.notify import Notify

Mutant = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Focus:
    """Worlds in which only these faults happen; `is_strict` where they excuse nothing, `is_eager` with more to do."""

    faults: tuple[str, ...] = ()
    is_strict: bool = False
    is_eager: bool = False


MUTANTS: dict[str, Mutant] = {}
FOCUS: dict[str, Focus] = {
    "a_forgetful_redis_is_trusted": Focus(("kill sql", "kill redis")),
    "the_journal_is_written_without_comparing": Focus(("kill sql",), is_strict=True, is_eager=True),
    "intake_without_a_look_at_the_journal": Focus(("cut from sql", "kill replica"), is_eager=True),
    "an_effects_key_of_its_turn_alone": Focus(("stall sql", "dual partition")),
    "a_mail_planned_in_the_journal_is_sent_at_once": Focus(("dual partition", "kill sql")),
    "the_last_word_on_an_effect_stands": Focus(("stall sql", "dual partition"), is_eager=True),
    "nothing_is_handed_on_to_the_copy": Focus(("kill sql",), is_strict=True),
    "the_same_answer_is_taken_for_another": Focus(("stall sql",), is_strict=True),
}
"""For those that any world is unlikely to find out: the worlds that do."""


def _mutant(make: Callable[[], Iterator[None]]) -> Mutant:
    made = contextmanager(make)
    MUTANTS[make.__name__.removeprefix("_")] = made
    return made


def judged(seed: int, focus: Focus) -> list[str]:
    with silence():
        report = run_seed(seed, faults=focus.faults, is_strict=focus.is_strict, is_eager=focus.is_eager)
    return report.violations


def first_kill(name: str, *, seeds: Sequence[int]) -> tuple[int, str] | None:
    """
    The first seed in which the broken protocol is found out and the whole one is not, and what was wrong; None if there is none.

    Where nothing is excused, a few seeds break the whole protocol, too (docs/reliability.md): those prove nothing.
    """
    focus = FOCUS.get(name, Focus())
    for seed in seeds:
        with MUTANTS[name]():
            violations = judged(seed, focus)
        if violations and not judged(seed, focus):
            return seed, violations[0]
    return None


@_mutant
def _no_idempotency_key_at_intake() -> Iterator[None]:
    with patch.object(SqlTables, "stored", lambda *_: None):
        yield


@_mutant
def _no_fence_at_commit() -> Iterator[None]:
    def write(tables: SqlTables, commit: TurnCommit, lease_microseconds: int) -> Written:
        row = tables.conversations[(commit.lease.tenant, commit.lease.conversation_id)]
        turn = row.turns[commit.lease.turn_id]
        return tables._apply(row, turn, commit, lease_microseconds, is_fenced=True)

    with patch.object(SqlTables, "write", write):
        yield


@_mutant
def _leases_are_taken_before_they_run_out() -> Iterator[None]:
    def is_free(_: SqlTables, row: Conversation) -> bool:
        return True

    with patch.object(SqlTables, "is_free", is_free):
        yield


@_mutant
def _acknowledged_before_it_is_stored() -> Iterator[None]:
    submit = TurnPipeline.submit

    async def submit_early(turns: TurnPipeline, request: ChatRequest) -> Submission:
        try:
            return await submit(turns, request)
        except DependencyError:
            conversation_id = request.conversation_id or derived_id(
                "conv", "default", request.caller.principal, request.client_message_id or ""
            )
            return Submission(
                conversation_id=conversation_id,
                turn_id="turn_early",
                message_id="msg_early",
                durability=Durability.SQL,
            )

    with patch.object(TurnPipeline, "submit", submit_early):
        yield


@_mutant
def _no_version_check_of_the_copy() -> Iterator[None]:
    async def get(copy: RedisStateCopy, lease: Lease, *, history_messages: int) -> Snapshot | None:
        copied = await copy.read(lease.tenant, lease.conversation_id)
        if copied is None:
            return None
        return Snapshot(
            conversation=copied.conversation,
            state=copied.state,
            state_version=lease.state_version,
            history=copied.messages[-history_messages:],
            fresh=lease.fresh,
            customer_state=copied.customer_state,
            customer_version=lease.customer_version,
            source="redis",
        )

    with _whatever_the_lease_brings(), patch.object(RedisStateCopy, "get", get):
        yield


@_mutant
def _a_missing_copy_is_taken_for_a_new_customer() -> Iterator[None]:
    async def get(copy: RedisStateCopy, lease: Lease, *, history_messages: int) -> Snapshot | None:
        return await read(copy, lease, history_messages=history_messages) or _empty(lease)

    read = RedisStateCopy.get
    with _whatever_the_lease_brings(), patch.object(RedisStateCopy, "get", get):
        yield


@_mutant
def _could_not_ask_is_taken_for_empty() -> Iterator[None]:
    async def load(store: StateRecoveryHandler, lease: Lease, *, history_messages: int) -> Snapshot:
        try:
            return await ask(store, lease, history_messages=history_messages)
        except Exception:  # whatever it was, it is swallowed: that is the defect
            return _empty(lease)

    ask = StateRecoveryHandler.load
    with patch.object(StateRecoveryHandler, "load", load):
        yield


@_mutant
def _deleted_from_the_journal_before_sql_has_it() -> Iterator[None]:
    class Later:
        def __init__(self) -> None:
            self.batches: list[Sequence[bytes]] = []

        async def absorb(self, entries: Sequence[bytes]) -> int:
            self.batches.append(entries)
            return len(entries)

        async def messages(
            self, tenant: str, conversation_id: str, *, after: int, limit: int
        ) -> Sequence[Message]:
            return ()

    async def drain(journal: RedisJournal, tenant: str, conversation_id: str, into: JournalSink) -> int:
        later = Later()
        await drained(journal, tenant, conversation_id, later)
        return sum([await into.absorb(entries) for entries in later.batches])

    drained = RedisJournal.drain
    with patch.object(RedisJournal, "drain", drain):
        yield


@_mutant
def _drained_out_of_order() -> Iterator[None]:
    class Backwards:
        def __init__(self, into: JournalSink) -> None:
            self._into = into

        async def absorb(self, entries: Sequence[bytes]) -> int:
            return await self._into.absorb(list(reversed(entries)))

        async def messages(
            self, tenant: str, conversation_id: str, *, after: int, limit: int
        ) -> Sequence[Message]:
            return await self._into.messages(tenant, conversation_id, after=after, limit=limit)

    async def drain(journal: RedisJournal, tenant: str, conversation_id: str, into: JournalSink) -> int:
        return await drained(journal, tenant, conversation_id, Backwards(into))

    drained = RedisJournal.drain
    with patch.object(RedisJournal, "drain", drain):
        yield


@_mutant
def _a_forgetful_redis_is_trusted() -> Iterator[None]:
    async def is_durable(_: RedisJournal) -> bool:
        return True

    with patch.object(RedisJournal, "is_durable", is_durable):
        yield


@_mutant
def _the_journal_is_never_drained() -> Iterator[None]:
    async def drain(_: StateRecoveryHandler) -> int:
        return 0

    with patch.object(StateRecoveryHandler, "drain", drain):
        yield


@_mutant
def _an_effects_key_without_the_turn() -> Iterator[None]:
    def key(prefix: str, *parts: str) -> str:
        return derived_id(prefix, *(part for part in parts if not part.startswith("turn_")))

    with patch.object(effects, "derived_id", key):
        yield


@_mutant
def _an_effects_key_for_each_run() -> Iterator[None]:
    runs = count()

    def key(prefix: str, *parts: str) -> str:
        return derived_id(prefix, *parts, str(next(runs)))

    with patch.object(effects, "derived_id", key):
        yield


@_mutant
def _an_effects_key_of_its_turn_alone() -> Iterator[None]:
    def keys(tools: TurnTools, tool: str, asking: Message, step: int) -> list[str]:
        return [derived_id("effect", "default", tools._turn_id, tool, str(step))]

    with patch.object(TurnTools, "_keys", keys):
        yield


@_mutant
def _a_mail_planned_in_the_journal_is_sent_at_once() -> Iterator[None]:
    async def begin_effect(redis: RedisJournal, effect: EffectRecord) -> EffectRecord:
        return replace(await begin(redis, effect), is_journaled=False)

    begin = RedisJournal.begin_effect
    with patch.object(RedisJournal, "begin_effect", begin_effect):
        yield


@_mutant
def _the_last_word_on_an_effect_stands() -> Iterator[None]:
    def always(new: EffectRecord, known: EffectRecord | None) -> bool:
        return True

    with patch.object(record, "counts_for_more", always), patch.object(journal, "counts_for_more", always):
        yield


@_mutant
def _the_journal_is_written_without_comparing() -> Iterator[None]:
    compared, blind = "~= ARGV[1] then return 0 end\nredis.call('HSET'", "== 0 then end\nredis.call('HSET'"
    assert compared in journal_store._WRITE
    with patch.object(journal_store, "_WRITE", journal_store._WRITE.replace(compared, blind)):
        yield


@_mutant
def _nothing_is_handed_on_to_the_copy() -> Iterator[None]:
    async def hand_on(*_: object) -> None:
        return

    with patch.object(JournalDrainage, "_hand_on", hand_on):
        yield


@_mutant
def _the_same_answer_is_taken_for_another() -> Iterator[None]:
    with patch.object(record, "is_the_same_answer", lambda *_: False):
        yield


@_mutant
def _intake_without_a_look_at_the_journal() -> Iterator[None]:
    async def first(draining: Draining, *place: str, deadline: Deadline | None = None) -> bool:
        is_intake = deadline is not None
        return is_intake or await drain(draining, *place, deadline=deadline)

    drain = Draining.first
    with patch.object(Draining, "first", first):
        yield


@_mutant
def _a_mail_is_repeated_blindly() -> Iterator[None]:
    with patch.object(Notify, "is_repeatable", True):
        yield


@_mutant
def _no_plan_is_stored_before_an_effect() -> Iterator[None]:
    async def begin_effect(_: StateRecoveryHandler, effect: EffectRecord) -> EffectRecord:
        return effect

    with patch.object(StateRecoveryHandler, "begin_effect", begin_effect):
        yield


@_mutant
def _nobody_sweeps() -> Iterator[None]:
    async def run(_: Sweeper) -> None:
        return

    with patch.object(Sweeper, "run", run):
        yield


@contextmanager
def _whatever_the_lease_brings() -> Iterator[None]:
    """Leases without their basis, so that the copy is what a turn builds on."""
    leased = SqlTables._lease_of

    def without_basis(tables: SqlTables, *args: Any) -> Lease:
        lease = leased(tables, *args)
        object.__setattr__(lease, "basis", None)
        return lease

    with patch.object(SqlTables, "_lease_of", without_basis):
        yield


def _empty(lease: Lease) -> Snapshot:
    at = lease.fresh[0].at
    return Snapshot(
        conversation=ConversationRecord(
            tenant=lease.tenant,
            conversation_id=lease.conversation_id,
            customer_id=lease.customer_id,
            channel="api",
            locale=None,
            created_at=at,
            updated_at=at,
            head=lease.head,
            answered=lease.after_seq,
            last_user=lease.upto_seq,
        ),
        state=ConversationState(),
        state_version=lease.state_version,
        history=(),
        fresh=lease.fresh,
        customer_state=CustomerState(),
        customer_version=lease.customer_version,
        source="redis",
    )
