"""
A conversation as the journal carries it on while SQL is down: the rules of `state.sql.conversations`, on one document.

Pure values and decisions; `state.redis.journal` reads and writes them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from core.errors import Conflict, DataIntegrityFailed, LeaseLost, NotFound, StateLoadFailed
from core.messages import Durability, Message, MessageRole, TurnResult, TurnStatus
from state.accepted import handed_over_result, message_from
from state.codec import StateChange, change_by, decode, encode_over
from state.fencing import next_token
from state.identifiers import turn_id_of
from state.journal import CommitEntry, Entry, LeaseEntry, MessageEntry
from state.models import ConversationState, CustomerState
from state.redis.copy import MESSAGES_KEPT, Copied
from state.selection import split
from state.store import ConversationRecord, IncomingMessage, Intake, Lease, Snapshot, TurnCommit, TurnRecord


class WaitingTurn(msgspec.Struct):
    """One that SQL made may be running there by now: no message joins it."""

    turn_id: str
    message_id: str
    first_seq: int
    last_seq: int
    is_of_sql: bool = False


class Document(msgspec.Struct):
    """
    Lease times are microseconds of Redis's clock, and lease tokens begin there: larger than any that SQL counted, so a journaled
    lease goes on holding when SQL has absorbed it. States are bytes of `state.codec.encode_over`, as in SQL, because replicas of
    two versions may carry on one conversation.
    """

    conversation: ConversationRecord
    state: bytes
    state_version: int
    messages: list[Message]
    customer_state: bytes
    customer_version: int
    turns: list[WaitingTurn] = []
    running_turn: str | None = None
    lease_token: int = 0
    lease_until: int = 0


class Change:
    """A document being changed, with the entries that say so and the turns whose fate it settles."""

    def __init__(
        self,
        document: Document,
        *,
        now: int,
        owner: str,
        lease_microseconds: int,
        stored: bytes | None = None,
    ) -> None:
        self.document = document
        self._stored = stored
        self.entries: list[Entry] = []
        self.turns: list[TurnRecord] = []
        self._now = now
        self._owner = owner
        self._lease_microseconds = lease_microseconds

    def encoded(self) -> bytes:
        """The document for Redis, over the one that was read there."""
        return encode_over(self.document, self._stored)

    def take(self, message: IncomingMessage, message_id: str, known: TurnRecord | None) -> Intake:
        """`known` is the stored record of the turn that this message joined before, if there is one."""
        record = self.document.conversation
        if record.customer_id != message.customer_id:
            if message.conversation_id is None:
                raise Conflict("this client_message_id belongs to another customer")
            raise NotFound(f"no conversation {record.conversation_id} of this customer")
        stored = next((m for m in self.document.messages if m.message_id == message_id), None)
        if stored is not None:
            return self._again(message, stored, known)
        if self._is_with_a_person(message.at):
            return self._keep_for_a_person(message, message_id)
        seq = record.head + 1
        joinable = [
            turn
            for turn in self.document.turns
            if turn.turn_id != self.document.running_turn and not turn.is_of_sql
        ]
        if joinable:
            turn = joinable[-1]
            turn.last_seq = seq
        else:
            turn_id = turn_id_of(record.tenant, record.conversation_id, message_id)
            turn = WaitingTurn(turn_id, message_id, seq, seq)
            self.document.turns.append(turn)
        self._append_message(message, message_id, turn.turn_id)
        self._settle(turn, None)
        self.entries.append(MessageEntry(message, record.conversation_id, message_id, turn.turn_id))
        return Intake(
            conversation_id=record.conversation_id,
            turn_id=turn.turn_id,
            message_id=message_id,
            seq=seq,
            durability=Durability.REDIS,
            lease=self._lease_if_free(),
        )

    def commit(self, commit: TurnCommit) -> Lease | None:
        lease = commit.lease
        if lease.durability is Durability.REDIS and not holds(self.document, lease):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
        document = self.document
        known = {message.seq for message in document.messages}
        document.messages.extend(message for message in lease.fresh if message.seq not in known)
        record = document.conversation
        head = max(record.head, lease.head) + 1
        document.messages.append(msgspec.structs.replace(commit.reply, seq=head))
        document.messages = sorted(document.messages, key=lambda m: m.seq)[-MESSAGES_KEPT:]
        turn = next((turn for turn in document.turns if turn.turn_id == lease.turn_id), None)
        document.turns = [other for other in document.turns if other.turn_id != lease.turn_id]
        result = msgspec.structs.replace(commit.result, durability=Durability.REDIS)
        settled = turn or WaitingTurn(lease.turn_id, result.message_id, lease.after_seq + 1, lease.upto_seq)
        self._settle(settled, result)
        last_user = max(record.last_user, lease.upto_seq)
        document.conversation = replace(
            record,
            head=head,
            last_user=last_user,
            answered=document.turns[0].first_seq - 1 if document.turns else last_user,
            updated_at=commit.at,
            handed_over_until=commit.hand_over_until or record.handed_over_until,
        )
        change = change_by(commit.state, document.state)
        document.state = change.after
        document.state_version += 1
        learned: StateChange | None = None
        if commit.customer_state is not None:
            learned = change_by(commit.customer_state, document.customer_state)
            document.customer_state = learned.after
            document.customer_version += 1
        journaled = replace(commit, result=result, lease=replace(lease, basis=None))
        self.entries.append(CommitEntry(journaled, change, learned))
        if document.running_turn in (None, lease.turn_id):
            document.running_turn = None
            document.lease_until = 0
            return self._lease_if_free()
        return None

    def renew(self, lease: Lease) -> None:
        if not holds(self.document, lease):
            raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
        self.document.lease_until = self._now + self._lease_microseconds

    def release(self, lease: Lease) -> None:
        if holds(self.document, lease):
            self.document.lease_until = 0

    @property
    def is_running(self) -> bool:
        """A replica works on a turn, or died so lately that its lease still holds."""
        return self.document.running_turn is not None and self.document.lease_until >= self._now

    def take_over(self) -> Lease | None:
        """The lease of a turn that nobody runs any more."""
        return self._lease_if_free()

    def note_waiting(self) -> None:
        """Turns that SQL accepted can be asked for by their ids."""
        for turn in self.document.turns:
            self._settle(turn, None)

    def _again(self, message: IncomingMessage, stored: Message, known: TurnRecord | None) -> Intake:
        if stored.text != message.text:
            raise Conflict("this client_message_id was used for another text")
        is_waiting = any(turn.turn_id == stored.turn_id for turn in self.document.turns)
        if not is_waiting and known is None:
            raise StateLoadFailed("answered before SQL went down; the answer is there")
        return Intake(
            conversation_id=self.document.conversation.conversation_id,
            turn_id=stored.turn_id or "",
            message_id=stored.message_id,
            seq=stored.seq,
            durability=Durability.REDIS,
            lease=self._lease_if_free() if is_waiting else None,
            result=None if known is None else known.result,
            is_duplicate=True,
        )

    def _is_with_a_person(self, at: datetime) -> bool:
        until = self.document.conversation.handed_over_until
        return until is not None and until > at and not self.document.turns

    def _keep_for_a_person(self, message: IncomingMessage, message_id: str) -> Intake:
        record = self.document.conversation
        turn_id = turn_id_of(record.tenant, record.conversation_id, message_id)
        result = handed_over_result(
            message,
            conversation_id=record.conversation_id,
            turn_id=turn_id,
            message_id=message_id,
            durability=Durability.REDIS,
        )
        self._append_message(message, message_id, turn_id)
        seq = self.document.conversation.head
        self.document.conversation = replace(self.document.conversation, answered=seq)
        self._settle(WaitingTurn(turn_id, message_id, seq, seq), result)
        self.entries.append(MessageEntry(message, record.conversation_id, message_id, turn_id, result))
        return Intake(
            conversation_id=record.conversation_id,
            turn_id=turn_id,
            message_id=message_id,
            seq=seq,
            durability=Durability.REDIS,
            result=result,
        )

    def _append_message(self, message: IncomingMessage, message_id: str, turn_id: str) -> None:
        record = self.document.conversation
        seq = record.head + 1
        self.document.messages.append(message_from(message, message_id=message_id, turn_id=turn_id, seq=seq))
        del self.document.messages[:-MESSAGES_KEPT]
        self.document.conversation = replace(record, head=seq, last_user=seq, updated_at=message.at)

    def _settle(self, turn: WaitingTurn, result: TurnResult | None) -> None:
        record = self.document.conversation
        self.turns.append(
            TurnRecord(
                tenant=record.tenant,
                turn_id=turn.turn_id,
                conversation_id=record.conversation_id,
                customer_id=record.customer_id,
                message_id=turn.message_id,
                status=TurnStatus.ACCEPTED if result is None else result.status,
                durability=Durability.REDIS,
                result=result,
            )
        )

    def _lease_if_free(self) -> Lease | None:
        document = self.document
        if not document.turns or document.lease_until >= self._now:
            return None
        interrupted = [turn for turn in document.turns if turn.turn_id == document.running_turn]
        turn = interrupted[0] if interrupted else document.turns[0]
        document.lease_token = next_token(document.lease_token, now=self._now)
        document.lease_until = self._now + self._lease_microseconds
        document.running_turn = turn.turn_id
        record = document.conversation
        self.entries.append(
            LeaseEntry(record.tenant, record.conversation_id, turn.turn_id, document.lease_token, self._owner)
        )
        return Lease(
            tenant=record.tenant,
            conversation_id=record.conversation_id,
            turn_id=turn.turn_id,
            token=document.lease_token,
            owner=self._owner,
            after_seq=turn.first_seq - 1,
            upto_seq=turn.last_seq,
            state_version=document.state_version,
            durability=Durability.REDIS,
            head=record.head,
            fresh=tuple(
                m for m in document.messages if m.turn_id == turn.turn_id and m.role is MessageRole.CUSTOMER
            ),
            customer_id=record.customer_id,
            customer_version=document.customer_version,
        )


def begun_with(copied: Copied, *, now: int, fresh: Sequence[Message] = ()) -> Document:
    """
    `now` in microseconds of Redis's clock: a turn that SQL leased before it went away keeps its time. `fresh` are messages that a
    running turn brings along.

    Where a message is missing between those that are known, SQL's turns are left to SQL: they may ask more than is known here.
    """
    waiting = [message for message in copied.waiting if message.seq > copied.conversation.answered]
    messages = {message.seq: message for message in (*copied.messages, *waiting)}
    newest = max((message.seq for message in waiting), default=0)
    known = messages.keys() | {message.seq for message in fresh}
    turns: dict[str, WaitingTurn] = {}
    if all(seq in known for seq in range(copied.conversation.head + 1, newest + 1)):
        for message in waiting:
            turn_id = message.turn_id or ""
            begun = WaitingTurn(turn_id, message.message_id, message.seq, message.seq, is_of_sql=True)
            turns.setdefault(turn_id, begun).last_seq = message.seq
    is_running = copied.running_turn in turns
    return Document(
        conversation=replace(
            copied.conversation,
            head=max(copied.conversation.head, newest),
            last_user=max(copied.conversation.last_user, newest),
        ),
        state=encode_over(copied.state, None),
        state_version=copied.version,
        messages=[messages[seq] for seq in sorted(messages)],
        customer_state=encode_over(copied.customer_state, None),
        customer_version=copied.customer_version,
        turns=list(turns.values()),
        running_turn=copied.running_turn if is_running else None,
        lease_until=now + copied.running_milliseconds * 1000 if is_running else 0,
    )


def begun_by(message: IncomingMessage, conversation_id: str) -> Document:
    record = ConversationRecord(
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
    return Document(
        record, encode_over(ConversationState(), None), 0, [], encode_over(CustomerState(), None), 0
    )


def snapshot_of(document: Document, lease: Lease, *, history_messages: int) -> Snapshot:
    if not holds(document, lease):
        raise LeaseLost(f"{lease.conversation_id}: token {lease.token} is not the current one")
    history, fresh = split(document.messages, lease, history_messages=history_messages)
    if not fresh:
        raise DataIntegrityFailed(f"{lease.turn_id} has no message to answer")
    return Snapshot(
        conversation=document.conversation,
        state=decode(document.state, ConversationState),
        state_version=document.state_version,
        history=history,
        fresh=fresh,
        customer_state=decode(document.customer_state, CustomerState),
        customer_version=document.customer_version,
        source="journal",
    )


def copyable(document: Document) -> Snapshot:
    """All of a document that was drained, as of the version that its last turn came to."""
    return Snapshot(
        conversation=document.conversation,
        state=decode(document.state, ConversationState),
        state_version=document.state_version,
        history=tuple(document.messages),
        fresh=(),
        customer_state=decode(document.customer_state, CustomerState),
        customer_version=document.customer_version,
        source="journal",
    )


def page_of(messages: Sequence[Message], *, after: int, limit: int) -> tuple[Message, ...]:
    """
    Raises:
        StateLoadFailed: the page begins before the oldest message that Redis holds.
    """
    if messages and after + 1 < messages[0].seq:
        raise StateLoadFailed("older messages can be read when SQL is back", retry_after=5.0)
    return tuple(message for message in messages if message.seq > after)[:limit]


def holds(document: Document, lease: Lease) -> bool:
    return document.lease_token == lease.token and document.running_turn == lease.turn_id
