"""
The record as an in-memory SQL server: docs/architecture.md's intake, lease and commit, written a second time and plainly.

Every method of `SqlTables` is one transaction: it runs at once, and decides before it writes. What it counts and remembers
beside the tables is for the checker.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import msgspec

from core.errors import Conflict, LeaseLost, NotFound
from core.messages import Durability, Message, MessageRole, TurnResult, TurnStatus
from core.records import EffectRecord, OutboxItem
from state.accepted import handed_over_result, message_from
from state.fencing import next_token
from state.identifiers import (
    conversation_id_of,
    message_id_of,
    note_id,
    reply_id_of,
    split_turn_id,
    turn_id_of,
)
from state.journal import (
    CommitEntry,
    EffectEntry,
    LeaseEntry,
    MessageEntry,
    counts_for_more,
    decode_entry,
)
from state.models import ConversationState, CustomerState
from state.selection import split
from state.store import (
    Basis,
    ConversationRecord,
    IncomingMessage,
    Intake,
    Lease,
    OutboxBacklog,
    Snapshot,
    TurnCommit,
    TurnRecord,
    Written,
)

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = tuple[str, str]


@dataclass(slots=True)
class Turn:
    turn_id: str
    message_id: str
    first_seq: int
    last_seq: int
    durability: Durability = Durability.SQL
    result: TurnResult | None = None
    token: int | None = None


@dataclass(slots=True)
class Conversation:
    record: ConversationRecord
    messages: list[Message] = field(default_factory=list)
    turns: dict[str, Turn] = field(default_factory=dict)
    state: ConversationState = field(default_factory=ConversationState)
    version: int = 0
    token: int = 0
    owner: str | None = None
    until: int | None = None
    running: str | None = None
    sources: list[str] = field(default_factory=list)
    """Where each version came from, for the checker."""

    @property
    def waiting(self) -> list[Turn]:
        return sorted((t for t in self.turns.values() if t.result is None), key=lambda t: t.first_seq)

    def find(self, message_id: str) -> Message | None:
        return next((m for m in self.messages if m.message_id == message_id), None)

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self.record = replace(self.record, head=message.seq)


@dataclass(slots=True)
class OutboxRow:
    item: OutboxItem
    status: str = "due"
    due: int = 0
    until: int | None = None
    owner: str | None = None
    attempts: int = 0


@dataclass(slots=True)
class Seen:
    """
    For the checker. `built_on` holds (conversation, version it was built on, version it met, whose lease) of commits where the
    versions differ; `taken_twice` messages that SQL and the journal, or two journals, each took for new, or
    grouped into other turns.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    built_on: list[tuple[str, int, int, str]] = field(default_factory=list)
    second_answers: list[tuple[str, str]] = field(default_factory=list)
    journaled_messages: set[str] = field(default_factory=set)
    journaled_turns: set[str] = field(default_factory=set)
    taken_at: dict[str, datetime] = field(default_factory=dict)
    taken_twice: set[str] = field(default_factory=set)


class SqlTables:
    """`now` is this server's clock in microseconds since 1970."""

    def __init__(self, *, now: Callable[[], int]) -> None:
        self.now = now
        self.conversations: dict[Key, Conversation] = {}
        self.customers: dict[Key, tuple[int, CustomerState]] = {}
        self.effects: dict[Key, EffectRecord] = {}
        self.outbox: dict[Key, OutboxRow] = {}
        self.seen = Seen()
        self.on_new_message: Callable[[str, str, str], None] = lambda *_: None
        """Hears (conversation, client's message id, replica) of each message that intake stores."""

    # -- intake ------------------------------------------------------------------------------------------------------

    def intake(self, message: IncomingMessage, owner: str, lease_microseconds: int) -> Intake:
        conversation_id = conversation_id_of(message)
        row = self.conversations.get((message.tenant, conversation_id))
        if row is None:
            if message.conversation_id is not None:
                raise NotFound(f"no conversation {conversation_id}")
            row = self._created(message, conversation_id)
        if row.record.customer_id != message.customer_id:
            if message.conversation_id is None:
                raise Conflict("this client_message_id belongs to another customer")
            raise NotFound(f"no conversation {conversation_id} of this customer")
        message_id = message_id_of(message, conversation_id)
        stored = self.stored(row, message_id)
        if stored is not None:
            return self._again(row, message, stored, owner, lease_microseconds)
        until = row.record.handed_over_until
        if until is not None and microseconds(until) > self.now() and not row.waiting:
            return self._kept_for_a_person(row, message, message_id)
        self.on_new_message(conversation_id, message.client_message_id, owner)
        seq = row.record.head + 1
        joinable = [turn for turn in row.waiting if turn.turn_id != row.running]
        if joinable:
            turn = joinable[-1]
            turn.last_seq = seq
        else:
            turn = Turn(turn_id_of(message.tenant, conversation_id, message_id), message_id, seq, seq)
            row.turns[turn.turn_id] = turn
        row.add(message_from(message, message_id=message_id, turn_id=turn.turn_id, seq=seq))
        row.record = replace(row.record, last_user=seq, updated_at=message.at)
        lease = self._leased(row, owner, lease_microseconds) if self.is_free(row) else None
        return Intake(
            conversation_id=conversation_id,
            turn_id=turn.turn_id,
            message_id=message_id,
            seq=seq,
            durability=Durability.SQL,
            lease=lease,
        )

    def stored(self, row: Conversation, message_id: str) -> Message | None:
        return row.find(message_id)

    def _again(
        self, row: Conversation, message: IncomingMessage, stored: Message, owner: str, microseconds_: int
    ) -> Intake:
        if stored.text != message.text:
            raise Conflict("this client_message_id was used for another text")
        turn = row.turns[stored.turn_id or ""]
        lease = None
        if turn.result is None and self.is_free(row):
            lease = self._leased(row, owner, microseconds_)
        return Intake(
            conversation_id=row.record.conversation_id,
            turn_id=turn.turn_id,
            message_id=stored.message_id,
            seq=stored.seq,
            durability=Durability.SQL,
            lease=lease,
            result=turn.result,
            is_duplicate=True,
        )

    def _kept_for_a_person(self, row: Conversation, message: IncomingMessage, message_id: str) -> Intake:
        record = row.record
        seq = record.head + 1
        turn_id = turn_id_of(record.tenant, record.conversation_id, message_id)
        result = handed_over_result(
            message,
            conversation_id=record.conversation_id,
            turn_id=turn_id,
            message_id=message_id,
            durability=Durability.SQL,
        )
        row.turns[turn_id] = Turn(turn_id, message_id, seq, seq, result=result)
        row.add(message_from(message, message_id=message_id, turn_id=turn_id, seq=seq))
        row.record = replace(row.record, last_user=seq, answered=seq, updated_at=message.at)
        return Intake(
            conversation_id=record.conversation_id,
            turn_id=turn_id,
            message_id=message_id,
            seq=seq,
            durability=Durability.SQL,
            result=result,
        )

    def _created(self, message: IncomingMessage, conversation_id: str) -> Conversation:
        row = Conversation(
            ConversationRecord(
                tenant=message.tenant,
                conversation_id=conversation_id,
                customer_id=message.customer_id,
                channel=message.channel,
                locale=message.locale,
                created_at=message.at,
                updated_at=message.at,
                head=0,
                answered=0,
                last_user=0,
            )
        )
        self.conversations[(message.tenant, conversation_id)] = row
        return row

    # -- leases ------------------------------------------------------------------------------------------------------

    def is_free(self, row: Conversation) -> bool:
        return row.until is None or row.until < self.now()

    def holds(self, row: Conversation, lease: Lease) -> bool:
        return row.token == lease.token and row.running == lease.turn_id

    def _leased(self, row: Conversation, owner: str, lease_microseconds: int) -> Lease:
        """The interrupted turn first, else the one that waits longest."""
        if row.running is not None and row.until is not None and row.until >= self.now():
            self.seen.wrong.append(f"{row.record.conversation_id}: leased to {owner}, held by {row.owner}")
        waiting = row.waiting
        turn = next((t for t in waiting if t.turn_id == row.running), waiting[0])
        row.token = next_token(row.token)
        row.owner, row.until, row.running = owner, self.now() + lease_microseconds, turn.turn_id
        return self._lease_of(row, turn)

    def _lease_of(self, row: Conversation, turn: Turn) -> Lease:
        record = row.record
        version, customer = self._customer(row)
        return Lease(
            tenant=record.tenant,
            conversation_id=record.conversation_id,
            turn_id=turn.turn_id,
            token=row.token,
            owner=row.owner or "",
            after_seq=turn.first_seq - 1,
            upto_seq=turn.last_seq,
            state_version=row.version,
            head=record.head,
            fresh=tuple(m for m in row.messages if m.turn_id == turn.turn_id and _is_customers(m)),
            customer_id=record.customer_id,
            customer_version=version,
            basis=Basis(conversation=record, state=row.state, customer_state=customer),
        )

    def renew(self, lease: Lease, lease_microseconds: int) -> None:
        row = self.conversations.get((lease.tenant, lease.conversation_id))
        if row is None or not self.holds(row, lease):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
        row.until = self.now() + lease_microseconds

    def release(self, lease: Lease) -> None:
        row = self.conversations.get((lease.tenant, lease.conversation_id))
        if row is not None and self.holds(row, lease):
            row.until = self.now() - 1

    def claim_unanswered(self, limit: int, owner: str, lease_microseconds: int) -> Sequence[Lease]:
        found = [row for row in self.conversations.values() if row.waiting and self.is_free(row)]
        found.sort(key=lambda row: row.until or 0)
        return [self._leased(row, owner, lease_microseconds) for row in found[:limit]]

    def load(self, lease: Lease, history_messages: int) -> Snapshot:
        row = self.conversations.get((lease.tenant, lease.conversation_id))
        if row is None or not self.holds(row, lease):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
        window = [m for m in row.messages if m.seq > lease.after_seq - history_messages]
        history, fresh = split(window, lease, history_messages=history_messages)
        version, customer = self._customer(row)
        return Snapshot(
            conversation=row.record,
            state=row.state,
            state_version=row.version,
            history=history,
            fresh=fresh,
            customer_state=customer,
            customer_version=version,
            source="sql",
        )

    # -- commit ------------------------------------------------------------------------------------------------------

    def write(self, commit: TurnCommit, lease_microseconds: int) -> Written:
        lease = commit.lease
        row = self.conversations.get((lease.tenant, lease.conversation_id))
        if row is None:
            raise LeaseLost(f"{lease.conversation_id} is gone")
        turn = row.turns.get(lease.turn_id)
        if not self.holds(row, lease):
            return self._written_before(row, turn, commit)
        if turn is None or turn.result is not None:
            raise LeaseLost(f"{lease.turn_id} is answered already")
        asked = {m.message_id for m in row.messages if _is_customers(m) and m.turn_id == lease.turn_id}
        is_whole = asked == {m.message_id for m in lease.fresh} and lease.state_version == row.version
        if lease.durability is Durability.REDIS and not is_whole:
            raise LeaseLost(f"{lease.turn_id} was built on less than SQL has")
        return self._apply(row, turn, commit, lease_microseconds, is_fenced=True)

    def _written_before(self, row: Conversation, turn: Turn | None, commit: TurnCommit) -> Written:
        lease = commit.lease
        reply = row.find(commit.reply.message_id)
        if turn is None or turn.result is None or turn.token != lease.token or reply is None:
            self.seen.counts["fenced commits"] += 1
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
        self.seen.counts["repeated commits"] += 1
        following = None
        if row.token == next_token(lease.token) and row.owner == lease.owner and row.running is not None:
            following = self._lease_of(row, row.turns[row.running])
        version, customer = self._customer(row)
        return Written(
            conversation=row.record,
            reply=reply,
            state_version=row.version,
            customer_state=customer,
            customer_version=version,
            next_lease=following,
        )

    def _apply(
        self, row: Conversation, turn: Turn, commit: TurnCommit, lease_microseconds: int, *, is_fenced: bool
    ) -> Written:
        lease = commit.lease
        if lease.state_version != row.version:
            self.seen.built_on.append(
                (lease.conversation_id, lease.state_version, row.version, lease.durability.value)
            )
        reply = msgspec.structs.replace(commit.reply, seq=row.record.head + 1)
        row.add(reply)
        turn.result, turn.token = commit.result, lease.token
        turn.durability = commit.result.durability
        customer_version, customer = self._save_customer(row, commit)
        for item in commit.outbox:
            self.put_outbox(item)
        waiting = row.waiting
        if is_fenced or lease.state_version >= row.version:
            row.state = commit.state
        row.version += 1
        row.sources.append("sql" if is_fenced else "journal")
        record = row.record
        row.record = replace(
            record,
            answered=waiting[0].first_seq - 1 if waiting else record.last_user,
            updated_at=commit.at,
            handed_over_until=commit.hand_over_until or record.handed_over_until,
        )
        following = None
        if row.running in (None, turn.turn_id):
            row.running, row.until = None, None
            if waiting and is_fenced:
                following = self._leased(row, lease.owner, lease_microseconds)
        return Written(
            conversation=row.record,
            reply=reply,
            state_version=row.version,
            customer_state=customer,
            customer_version=customer_version,
            next_lease=following,
        )

    def _customer(self, row: Conversation) -> tuple[int, CustomerState]:
        return self.customers.get((row.record.tenant, row.record.customer_id), (0, CustomerState()))

    def _save_customer(self, row: Conversation, commit: TurnCommit) -> tuple[int, CustomerState]:
        version, stored = self._customer(row)
        state = commit.customer_state
        if state is None:
            return version, stored
        if version != commit.lease.customer_version:
            state = state.with_receipts_of(stored)
        self.customers[(row.record.tenant, row.record.customer_id)] = (version + 1, state)
        return version + 1, state

    # -- from the journal --------------------------------------------------------------------------------------------

    def absorb(self, entries: Sequence[bytes], lease_microseconds: int) -> int:
        decoded = [decode_entry(entry) for entry in entries]
        written = 0
        for entry in decoded:
            if isinstance(entry, MessageEntry):
                written += self._absorb_message(entry)
            elif isinstance(entry, LeaseEntry):
                written += self._absorb_lease(entry, lease_microseconds)
            elif isinstance(entry, CommitEntry):
                written += self._absorb_commit(entry.commit, lease_microseconds)
            elif isinstance(entry, EffectEntry):
                written += self._absorb_effect(entry.effect)
        return written

    def _absorb_message(self, entry: MessageEntry) -> int:
        message = entry.message
        row = self.conversations.get((message.tenant, entry.conversation_id))
        if row is None:
            row = self._created(message, entry.conversation_id)
        if row.find(entry.message_id) is not None:
            if self.seen.taken_at.get(entry.message_id) != message.at:
                self.seen.taken_twice.add(entry.message_id)
            return 0
        self.seen.journaled_messages.add(entry.message_id)
        self.seen.taken_at[entry.message_id] = message.at
        seq = row.record.head + 1
        turn_id = entry.turn_id
        turn = row.turns.get(turn_id)
        is_past = turn is not None and (turn.result is not None or row.running == turn_id)
        if is_past and entry.result is None:
            self.seen.taken_twice.add(entry.message_id)
            turn_id = split_turn_id(message.tenant, entry.conversation_id, entry.message_id)
            turn = None
        if turn is None:
            row.turns[turn_id] = Turn(turn_id, entry.message_id, seq, seq, Durability.REDIS, entry.result)
        else:
            turn.last_seq = seq
        answered = row.record.answered
        if entry.result is not None and answered >= row.record.last_user:
            answered = seq
        row.add(message_from(message, message_id=entry.message_id, turn_id=turn_id, seq=seq))
        row.record = replace(row.record, last_user=seq, answered=answered, updated_at=message.at)
        return 1

    def _absorb_lease(self, entry: LeaseEntry, lease_microseconds: int) -> int:
        row = self.conversations.get((entry.tenant, entry.conversation_id))
        turn = None if row is None else row.turns.get(entry.turn_id)
        if row is None or turn is None or turn.result is not None or entry.token <= row.token:
            return 0
        if row.running not in (None, entry.turn_id):
            return 0
        row.token, row.owner, row.running = entry.token, entry.owner, entry.turn_id
        row.until = self.now() + lease_microseconds
        return 1

    def _absorb_commit(self, commit: TurnCommit, lease_microseconds: int) -> int:
        lease = commit.lease
        row = self.conversations.get((lease.tenant, lease.conversation_id))
        if row is None:
            return 0
        turn = row.turns.get(lease.turn_id)
        settled = self._regrouped(row, lease)
        if settled is not None:
            turn = settled
            commit = _renamed(commit, turn.turn_id)
        if turn is None or turn.result is not None:
            if turn is not None and turn.result is not None and _text(turn.result) != _text(commit.result):
                self.seen.second_answers.append((lease.turn_id, _text(commit.result)))
            for item in commit.outbox:
                effect = self.effects.get((item.tenant, item.key))
                if effect is None or effect.status != "confirmed":
                    self.put_outbox(item)
            if turn is not None and not is_the_same_answer(turn.result, commit.result):
                row.version += 1
                row.sources.append("dropped")
            return 0
        self.seen.journaled_turns.add(lease.turn_id)
        self._apply(row, turn, commit, lease_microseconds, is_fenced=False)
        return 1

    def _regrouped(self, row: Conversation, lease: Lease) -> Turn | None:
        """The journaled answer's own turn, which asks what it answers and nothing else."""
        waiting = {turn.turn_id for turn in row.waiting}
        asked = [m for m in row.messages if _is_customers(m) and m.turn_id in waiting]
        answered = {m.message_id for m in lease.fresh}
        settled = [m.message_id for m in asked if m.message_id in answered]
        if not settled:
            return None
        place = (row.record.tenant, row.record.conversation_id)
        chosen = lease.turn_id
        if chosen not in waiting and chosen in row.turns:
            chosen = split_turn_id(*place, settled[0])
        left = [m for m in asked if m.turn_id == chosen and m.message_id not in answered]
        for message in asked:
            name = message.turn_id
            if message.message_id in answered:
                name = chosen
            elif left and name == chosen:
                name = split_turn_id(*place, left[0].message_id)
            if name != message.turn_id:
                self.seen.taken_twice.add(message.message_id)
            row.messages[message.seq - 1] = msgspec.structs.replace(message, turn_id=name)
        for name in {m.turn_id for m in row.messages if _is_customers(m)} | waiting:
            members = [m for m in row.messages if _is_customers(m) and m.turn_id == name]
            if not members and name in waiting:
                del row.turns[name or ""]
                if row.running == name:
                    row.running, row.until = None, None
            elif members and (name in waiting or name not in row.turns):
                first, last = members[0], members[-1]
                turn = row.turns.setdefault(
                    name or "", Turn(name or "", first.message_id, first.seq, last.seq)
                )
                turn.first_seq, turn.last_seq = first.seq, last.seq
        return row.turns[chosen]

    def _absorb_effect(self, effect: EffectRecord) -> int:
        if not counts_for_more(effect, self.effects.get((effect.tenant, effect.key))):
            return 0
        self.effects[(effect.tenant, effect.key)] = effect
        return 1

    # -- the rest ----------------------------------------------------------------------------------------------------

    def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        return self.effects.setdefault((effect.tenant, effect.key), effect)

    def finish_effect(self, effect: EffectRecord) -> None:
        self._absorb_effect(effect)

    def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        for (owner, _), row in self.conversations.items():
            turn = row.turns.get(turn_id)
            if owner == tenant and turn is not None:
                return TurnRecord(
                    tenant=tenant,
                    turn_id=turn_id,
                    conversation_id=row.record.conversation_id,
                    customer_id=row.record.customer_id,
                    message_id=turn.message_id,
                    status=TurnStatus.ACCEPTED if turn.result is None else turn.result.status,
                    durability=turn.durability,
                    result=turn.result,
                )
        return None

    def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        row = self.conversations.get((tenant, conversation_id))
        return None if row is None else row.record

    def messages(self, tenant: str, conversation_id: str, after: int, limit: int) -> Sequence[Message]:
        row = self.conversations.get((tenant, conversation_id))
        return () if row is None else tuple(m for m in row.messages if m.seq > after)[:limit]

    def append_note(self, tenant: str, conversation_id: str, key: str, text: str, at: datetime) -> None:
        row = self.conversations.get((tenant, conversation_id))
        if row is None:
            raise NotFound(f"no conversation {conversation_id}")
        message_id = note_id(tenant, conversation_id, key)
        if row.find(message_id) is None:
            row.add(Message(message_id, row.record.head + 1, MessageRole.SYSTEM, text, at))
            row.record = replace(row.record, updated_at=at)

    def claim_conversation(self, tenant: str, conversation_id: str, visitor: str, customer: str) -> None:
        row = self.conversations.get((tenant, conversation_id))
        if row is None or row.record.customer_id != visitor:
            raise NotFound(f"no conversation {conversation_id} of this visitor")
        row.record = replace(row.record, customer_id=customer)
        row.version += 1
        row.sources.append("claim")

    def put_outbox(self, item: OutboxItem) -> None:
        self.outbox.setdefault((item.tenant, item.key), OutboxRow(item, due=self.now()))

    def claim_outbox(
        self, owner: str, limit: int, lease_seconds: float, *, only: tuple[str, str] | None = None
    ) -> Sequence[OutboxItem]:
        now = self.now()
        rows = [row for key, row in self.outbox.items() if only in (None, key)]
        due = [row for row in rows if row.status == "due" and row.due <= now]
        due = [row for row in due if row.until is None or row.until < now]
        due.sort(key=lambda row: row.due)
        for row in due[:limit]:
            row.until = now + int(lease_seconds * 1_000_000)
            row.owner = owner
            row.attempts += 1
        return tuple(msgspec.structs.replace(row.item, attempts=row.attempts) for row in due[:limit])

    def change_outbox(self, item: OutboxItem, status: str | None, wait_seconds: float) -> None:
        row = self.outbox.get((item.tenant, item.key))
        if row is None or row.status == "done":
            return
        row.until = row.owner = None
        row.status = status or row.status
        if status is None:
            row.due = self.now() + int(wait_seconds * 1_000_000)

    def renew_outbox(self, item: OutboxItem, owner: str, lease_seconds: float) -> bool:
        row = self.outbox.get((item.tenant, item.key))
        if row is None or row.status != "due" or row.owner != owner:
            return False
        row.until = self.now() + int(lease_seconds * 1_000_000)
        return True

    def give_back_outbox(self, items: Sequence[OutboxItem], owner: str) -> None:
        for item in items:
            row = self.outbox.get((item.tenant, item.key))
            if row is not None and row.owner == owner:
                row.until = row.owner = None


class Way(Protocol):
    """To the server: `tests.simulation.network.Link`, or nothing in between."""

    async def call(self, name: str, work: Callable[[], T], *, is_read: bool = False) -> T: ...


class SimulatedRecord:
    """Implements `state.store.Record` and `state.store.Outbox` over a link. `owner` names the replica in its leases."""

    def __init__(self, tables: SqlTables, link: Way, *, owner: str, lease_seconds: float) -> None:
        self._tables = tables
        self._link = link
        self._owner = owner
        self._lease = int(lease_seconds * 1_000_000)

    async def intake(self, message: IncomingMessage) -> Intake:
        return await self._link.call(
            f"intake {message.client_message_id}",
            lambda: self._tables.intake(message, self._owner, self._lease),
        )

    async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
        return await self._link.call("load", lambda: self._tables.load(lease, history_messages), is_read=True)

    async def commit(self, commit: TurnCommit) -> Lease | None:
        return (await self.write(commit)).next_lease

    async def write(self, commit: TurnCommit) -> Written:
        return await self._link.call(
            f"commit {commit.lease.turn_id[5:11]}/{commit.lease.token}",
            lambda: self._tables.write(commit, self._lease),
        )

    async def absorb(self, entries: Sequence[bytes]) -> int:
        return await self._link.call(
            f"absorb {len(entries)}", lambda: self._tables.absorb(entries, self._lease)
        )

    async def renew(self, lease: Lease) -> None:
        await self._link.call("renew", lambda: self._tables.renew(lease, self._lease))

    async def release(self, lease: Lease) -> bool:
        await self._link.call("release", lambda: self._tables.release(lease))
        return True

    async def claim_unanswered(self, *, limit: int) -> Sequence[Lease]:
        return await self._link.call(
            "claim", lambda: self._tables.claim_unanswered(limit, self._owner, self._lease)
        )

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        return await self._link.call("begin_effect", lambda: self._tables.begin_effect(effect))

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        return await self._link.call("effect", lambda: self._tables.effects.get((tenant, key)), is_read=True)

    async def finish_effect(self, effect: EffectRecord) -> None:
        await self._link.call("finish_effect", lambda: self._tables.finish_effect(effect))

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        return await self._link.call("turn", lambda: self._tables.turn(tenant, turn_id), is_read=True)

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        return await self._link.call(
            "conversation", lambda: self._tables.conversation(tenant, conversation_id), is_read=True
        )

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return await self._link.call(
            "messages", lambda: self._tables.messages(tenant, conversation_id, after, limit), is_read=True
        )

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None:
        await self._link.call(
            "note", lambda: self._tables.append_note(tenant, conversation_id, key, text, at)
        )

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        await self._link.call(
            "claim_conversation",
            lambda: self._tables.claim_conversation(tenant, conversation_id, visitor, customer),
        )

    async def ping(self) -> None:
        await self._link.call("ping", lambda: None, is_read=True)

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> Sequence[OutboxItem]:
        return await self._link.call("outbox", lambda: self._tables.claim_outbox(owner, limit, lease_seconds))

    async def claim_one(
        self, tenant: str, key: str, *, owner: str, lease_seconds: float
    ) -> Sequence[OutboxItem]:
        def claim() -> Sequence[OutboxItem]:
            return self._tables.claim_outbox(owner, 1, lease_seconds, only=(tenant, key))

        return await self._link.call("outbox", claim)

    async def renew_claim(self, item: OutboxItem, *, owner: str, lease_seconds: float) -> bool:
        return await self._link.call(
            "outbox_renewed", lambda: self._tables.renew_outbox(item, owner, lease_seconds)
        )

    async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
        await self._link.call("outbox_done", lambda: self._tables.change_outbox(item, "done", 0.0))
        return False

    async def give_back(self, items: Sequence[OutboxItem], *, owner: str) -> None:
        await self._link.call("outbox_given_back", lambda: self._tables.give_back_outbox(items, owner))

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
        await self._link.call("outbox_retry", lambda: self._tables.change_outbox(item, None, wait_seconds))

    async def defer(self, item: OutboxItem, *, wait_seconds: float, why: str) -> None:
        await self._link.call("outbox_retry", lambda: self._tables.change_outbox(item, None, wait_seconds))

    async def dead(self, item: OutboxItem, *, error: str) -> bool:
        await self._link.call("outbox_dead", lambda: self._tables.change_outbox(item, "dead", 0.0))
        return False

    async def backlog(self) -> OutboxBacklog:
        def count() -> OutboxBacklog:
            states = Counter(row.status for row in self._tables.outbox.values())
            return OutboxBacklog(waiting=states["due"], dead=states["dead"])

        return await self._link.call("backlog", count, is_read=True)


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _is_customers(message: Message) -> bool:
    return message.role is MessageRole.CUSTOMER


def _text(result: TurnResult) -> str:
    return "" if result.reply is None else result.reply.text


def is_the_same_answer(stored: TurnResult | None, told: TurnResult) -> bool:
    return stored is not None and msgspec.structs.replace(stored, durability=told.durability) == told


def _renamed(commit: TurnCommit, turn_id: str) -> TurnCommit:
    """The same answer, given to another turn."""
    reply_id = reply_id_of(commit.lease.tenant, commit.lease.conversation_id, turn_id)
    shown = commit.result.reply
    return replace(
        commit,
        reply=msgspec.structs.replace(commit.reply, message_id=reply_id, turn_id=turn_id),
        result=msgspec.structs.replace(
            commit.result,
            turn_id=turn_id,
            reply=None if shown is None else msgspec.structs.replace(shown, message_id=reply_id),
        ),
    )
