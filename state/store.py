"""
The ports of the state protocol (docs/architecture.md), and the values that cross them.

`ConversationStore` is the record (SQL), `StateCopy` the serving copy and `Journal` the stand-in while SQL is down (both Redis).
`state.recovery` puts the three together; nothing above it knows which one answered.

Every method may raise `DependencyUnavailable` or `DependencyTimeout`: the backend could not be asked. An empty answer always
means that there is nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self, TypeVar

from core.messages import Durability, Message, TurnResult, TurnStatus
from core.records import EffectRecord as EffectRecord  # noqa: PLC0414 (callers of this port find it here)
from core.records import OutboxItem
from core.resilience.deadline import Deadline
from state.fencing import run_of
from state.models import ConversationState, CustomerState

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMessage:
    """
    A customer's message on its way in.

    `conversation_id` None begins a conversation; its id is then derived from (tenant, principal, client_message_id), so that
    SQL, journal and replicas agree. `handed_over_reply` is stored as the answer when a person has the conversation. `email` is
    the sender's, from their credentials: whoever runs the turn later has none.
    """

    tenant: str
    principal: str
    customer_id: str
    conversation_id: str | None
    client_message_id: str
    text: str
    locale: str | None
    channel: str
    at: datetime
    metadata: dict[str, Any] | None = None
    handed_over_reply: str = ""
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Basis:
    """What a conversation stood at when its lease was given: all that a turn builds on, but for what was said before."""

    conversation: "ConversationRecord"
    state: ConversationState
    customer_state: CustomerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """
    The right to answer messages `after_seq` < seq ≤ `upto_seq` of a conversation as turn `turn_id`.

    Every commit is checked against `token`; `state_version` is the version of the state that the turn must build on. `fresh` are
    the messages to be answered, and with `head` and `customer_version` tell whether a copy is complete. `basis` comes along where
    it had to be read anyway; None says nothing.
    """

    tenant: str
    conversation_id: str
    turn_id: str
    token: int
    owner: str
    after_seq: int
    upto_seq: int
    state_version: int
    durability: Durability = Durability.SQL
    head: int = 0
    fresh: tuple[Message, ...] = ()
    customer_id: str = ""
    customer_version: int = 0
    basis: Basis | None = None

    @property
    def run(self) -> int:
        """Which run of the turn it is for: greater under each later lease, and small enough to number events by."""
        return run_of(self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """
    What became of an accepted message.

    `lease` is set when this replica must now run a turn: usually `turn_id`, but after a crash the interrupted turn comes first.
    `result` is set when the turn that covers the message is finished already (a duplicate, or a handed-over conversation).
    """

    conversation_id: str
    turn_id: str
    message_id: str
    seq: int
    durability: Durability
    lease: Lease | None = None
    result: TurnResult | None = None
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRecord:
    tenant: str
    conversation_id: str
    customer_id: str
    channel: str
    locale: str | None
    created_at: datetime
    updated_at: datetime
    head: int
    answered: int
    last_user: int
    handed_over_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a turn reads. `fresh` are the messages to be answered, `history` is what else was said so far."""

    conversation: ConversationRecord
    state: ConversationState
    state_version: int
    history: tuple[Message, ...]
    fresh: tuple[Message, ...]
    customer_state: CustomerState
    customer_version: int
    source: Literal["redis", "sql", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCommit:
    """What a turn writes, all or nothing. `hand_over_until` moves the conversation to a person."""

    lease: Lease
    result: TurnResult
    reply: Message
    state: ConversationState
    customer_id: str
    customer_state: CustomerState | None
    at: datetime
    outbox: tuple[OutboxItem, ...] = ()
    hand_over_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a commit came to in SQL: the reply with its seq, the versions that stand now, and the lease for what is left."""

    conversation: ConversationRecord
    reply: Message
    state_version: int
    customer_state: CustomerState
    customer_version: int
    next_lease: Lease | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """`result` is None until the turn is committed."""

    tenant: str
    turn_id: str
    conversation_id: str
    customer_id: str
    message_id: str
    status: TurnStatus
    durability: Durability
    result: TurnResult | None

    @classmethod
    def answered_by(cls, commit: "TurnCommit", durability: Durability) -> Self:
        """`durability` says where the answer is."""
        result = commit.result
        return cls(
            tenant=commit.lease.tenant,
            turn_id=result.turn_id,
            conversation_id=result.conversation_id,
            customer_id=commit.customer_id,
            message_id=result.message_id,
            status=result.status,
            durability=durability,
            result=result,
        )


class ConversationStore(Protocol):
    async def intake(self, message: IncomingMessage) -> Intake:
        """
        Store the message and, where the conversation is free, take its lease: one transaction.

        Raises:
            NotFound: `conversation_id` is unknown, or belongs to another customer or tenant.
            Conflict: the client_message_id was used before with another text or by another customer.
        """
        ...

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        """
        Raises:
            LeaseLost: the lease has moved on. Found out only for one without `basis`: what was just given needs no proof.
        """
        ...

    async def commit(self, commit: TurnCommit) -> Lease | None:
        """
        Write the turn where `lease.token` still holds; afterwards the state's version is `lease.state_version + 1`.

        Returns the lease for the messages that arrived meanwhile, None when all are answered (the lease is then free).

        Raises:
            LeaseLost: nothing was written.
        """
        ...

    async def renew(self, lease: Lease) -> None:
        """Raises LeaseLost."""
        ...

    async def release(self, lease: Lease) -> bool:
        """
        Let others take the lease over at once; nothing where it is not held any more. False where it may still be held, since
        not all that may hold it could be asked.
        """
        ...

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        """Take over conversations whose lease ran out (by the database's clock) with messages unanswered."""
        ...

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        """Store the plan, or return the one that stands under the key already."""
        ...

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        """What stands under the key, whether planned or finished."""
        ...

    async def finish_effect(self, effect: EffectRecord) -> None: ...

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None: ...

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None: ...

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        """Messages with seq > `after`, oldest first."""
        ...

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None:
        """Add a system message for the customer, once per key."""
        ...

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        """
        Give a visitor's conversation to the customer the visitor turned out to be; once only.

        Raises:
            NotFound: no such conversation of that visitor.
        """
        ...


class Record(ConversationStore, Protocol):
    """The authority, as `state.recovery` needs it."""

    async def write(self, commit: TurnCommit) -> Written:
        """`commit`, telling all that a copy has to know."""
        ...

    async def absorb(self, entries: Sequence[bytes]) -> int: ...


class StateCopy(Protocol):
    """The serving copy. Holds only what SQL has committed, and never moves backwards."""

    async def get(self, lease: Lease, *, history_messages: int) -> Snapshot | None:
        """
        The snapshot, if the copy lacks no message and, for a lease without `basis`, stands exactly at its version; else None.

        Raises:
            StateLoadFailed: reason "redis_ahead": the copy has seen what SQL does not know (any more).
        """
        ...

    async def put(self, snapshot: Snapshot) -> None:
        """Take what was read from SQL, unless the copy is at least as new."""
        ...

    async def advance(self, commit: TurnCommit, written: Written) -> None:
        """Add a committed turn to the copy it was built on; a copy that stands elsewhere is dropped, unless it is newer."""
        ...

    async def note(self, tenant: str, conversation_id: str, messages: Sequence[Message]) -> None:
        """Hear of messages that SQL has accepted into turns which this replica does not run."""
        ...

    async def forget(self, tenant: str, conversation_id: str) -> None: ...

    async def ping(self) -> None: ...


class Journal(Protocol):
    """
    Redis in SQL's place during an outage: same promises. A write that Redis has taken and not proven to keep is not acknowledged:
    DependencyUnavailable with `may_have_happened`, and the same call again finds it.

    Raises StateLoadFailed for a conversation that Redis does not know: it may exist in SQL, so it is never taken for new.
    """

    async def is_durable(self) -> bool:
        """Whether an acknowledged write survives a crash of Redis: synced, or proven to be kept, and never evicted."""
        ...

    async def intake(self, message: IncomingMessage) -> Intake: ...

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot: ...

    async def commit(self, commit: TurnCommit) -> Lease | None:
        """Also for a lease that SQL gave before it went down: then `turn_id` alone decides whether it counts."""
        ...

    async def renew(self, lease: Lease) -> None: ...

    async def release(self, lease: Lease) -> None: ...

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        """Take over journaled turns whose lease ran out, by Redis's clock."""
        ...

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        """Raises LeaseLost for a journaled turn whose conversation was drained meanwhile, or is another's."""
        ...

    async def finish_effect(self, effect: EffectRecord) -> None: ...

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        """The effect as it was journaled and not drained yet."""
        ...

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        """None means only that it was not journaled."""
        ...

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord: ...

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        """Raises StateLoadFailed when the page begins before the oldest message that Redis holds."""
        ...

    async def has_entries(self, tenant: str, conversation_id: str) -> bool:
        """Whether entries of this conversation, or effects of any, wait to be drained."""
        ...

    async def pending(self) -> Sequence[tuple[str, str]]:
        """(tenant, conversation_id) of every conversation with undrained entries."""
        ...

    async def drain(
        self, tenant: str, conversation_id: str, into: "JournalSink", *, spares_running: bool = False
    ) -> int:
        """
        Replay the conversation's entries into SQL in order, then delete them. Resumable; returns how many were written.

        `spares_running`: nothing, while a turn of the journal runs there. Its commit brings the entries into SQL itself, and
        finds them here if SQL has gone away again by then.
        """
        ...

    async def drain_effects(self, into: "JournalSink") -> int: ...


class JournalSink(Protocol):
    async def absorb(self, entries: Sequence[bytes]) -> int:
        """Write journal entries of one conversation in one transaction; entries already there are skipped."""
        ...

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        """With those that were absorbed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """
    Encoded events of one run of a turn, up to its `last`-th.

    `run` is the token of the lease under which the turn runs, so a later run has a greater one.
    """

    run: int
    last: int
    body: bytes


class TurnEvents(Protocol):
    """What turns that last tell listeners on other replicas. Nothing here is worth more than the turn's stored answer."""

    @property
    def place(self) -> str:
        """Where the next batch goes; what was shared in another place is not found there."""
        ...

    async def share(self, tenant: str, turn_id: str, batch: EventBatch) -> bool:
        """Whether the turn is asked to stop. A batch that is not after all others, by (run, last), is left out."""
        ...

    async def after(
        self, tenant: str, turn_id: str, *, run: int, last: int, seconds: float
    ) -> Sequence[EventBatch]:
        """The batches after (run, last), oldest first; empty when none came within about `seconds`, 1 s at most."""
        ...

    async def ask_to_stop(self, tenant: str, turn_id: str) -> None: ...

    async def is_stop_asked(self, tenant: str, turn_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """Items that wait to be carried out, and items that were given up."""

    waiting: int
    dead: int


class Outbox(Protocol):
    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> Sequence[OutboxItem]:
        """Due items, oldest first, leased to `owner`; no two claimers get the same item."""
        ...

    async def claim_one(
        self, tenant: str, key: str, *, owner: str, lease_seconds: float
    ) -> Sequence[OutboxItem]:
        """This one, if it is due and nobody has it."""
        ...

    async def renew_claim(self, item: OutboxItem, *, owner: str, lease_seconds: float) -> bool:
        """False where the item is not `owner`'s any more: it must be left alone."""
        ...

    async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
        """Returns whether another has become due by it: one to the same recipient, that waited for this one."""
        ...

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None: ...

    async def defer(self, item: OutboxItem, *, wait_seconds: float, why: str) -> None:
        """Its time has not come: it was not tried, so this attempt does not count."""
        ...

    async def dead(self, item: OutboxItem, *, error: str) -> bool:
        """As `done`."""
        ...

    async def give_back(self, items: Sequence[OutboxItem], *, owner: str) -> None:
        """Claimed and not worked on: whoever claims next gets them. Nothing where the lease has passed to another."""
        ...

    async def backlog(self) -> OutboxBacklog: ...


class CallGuard(Protocol):
    """What the state layer needs of `core.resilience.guard.Guard`."""

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        may_repeat: bool = True,
    ) -> T: ...
