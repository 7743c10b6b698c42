"""
What must hold of every world, whatever went wrong in it; nothing here knows how the service does it.
"""

from collections import Counter
from collections.abc import Callable

from core.messages import ActionStatus, Durability, Message, MessageRole
from tests.simulation.clients import Sent
from tests.simulation.outside import SEEN, SimulatedChannel, SimulatedDesk
from tests.simulation.record import Conversation, SqlTables, Turn
from tests.simulation.redis_server import TinyRedis

_JOURNAL = (b"careline:journal.entries", b"careline:journal.document", b"careline:journal.effect:")
_LONGEST_INTAKE_SECONDS = 1.0
_KEPT = (ActionStatus.SUCCEEDED, ActionStatus.QUEUED)
_JOURNAL_SETS = (b"careline:journal.pending:{journal}", b"careline:journal.effects:{journal}")


class Checker:
    """
    `forked` are conversations that two stores served, for replicas that could not ask both: the documented limit, exactly
    detected. They are counted, and excused from order, fold and the one answer; never from a lost or doubled message. With
    `is_strict` nothing is excused.
    """

    def __init__(
        self,
        tables: SqlTables,
        tiny: TinyRedis,
        desk: SimulatedDesk,
        channel: SimulatedChannel,
        sent: list[Sent],
        *,
        now: Callable[[], float],
        is_strict: bool = False,
    ) -> None:
        self._tables = tables
        self._tiny = tiny
        self._desk = desk
        self._channel = channel
        self._sent = sent
        self._is_strict = is_strict
        self._now = now
        self._journal_since: dict[str, float] = {}
        self._overtakers: set[str] = set()
        self._tokens: dict[str, int] = {}
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()

    # -- while it runs -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        journaled = {
            place.rpartition(b":")[2].decode()
            for place in self._tiny.keys
            if place.startswith(b"careline:journal.entries")
        }
        self._journal_since = {name: self._journal_since.get(name, self._now()) for name in journaled}
        for (_, name), row in self._tables.conversations.items():
            if row.token < self._tokens.get(name, 0):
                self._wrong(f"{name}: token {row.token} after {self._tokens[name]}")
            self._tokens[name] = row.token
            for place, fields in self._copies(name):
                if int(fields.get(b"version", b"0")) > row.version:
                    self._wrong(f"{name}: {place!r} is ahead of SQL's {row.version}")

    def is_quiet(self) -> bool:
        rows = self._tables.conversations.values()
        return (
            not any(row.waiting for row in rows)
            and not self._journaled()
            and not any(row.status == "due" for row in self._tables.outbox.values())
        )

    def overtakes(self, conversation_id: str, client_message_id: str, *, could_know: bool) -> None:
        """SQL takes a message; if the conversation's journal is ahead of it, only who cannot ask Redis may do that."""
        since = self._journal_since.get(conversation_id)
        if since is None:
            return
        if not could_know:
            self._overtakers.add(client_message_id)
        elif self._now() - since > _LONGEST_INTAKE_SECONDS:
            self._wrong(
                f"{conversation_id}: SQL took {client_message_id} past a journal that could be drained"
            )

    # -- in the end --------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        self.look()
        for place in self._journaled():
            self._wrong(f"left in the journal: {place!r}")
        for (_, key), item in self._tables.outbox.items():
            if item.status != "done" and not self._may_stay(key):
                self._wrong(f"{key}: outbox item {item.status}")
        for what in self._tables.seen.wrong:
            self._wrong(what)
        forked = self._forked()
        self.counts["conversations"] += len(self._tables.conversations)
        self.counts["limit: messages taken by two stores"] += len(self._tables.seen.taken_twice)
        self.counts["journaled messages"] += len(self._tables.seen.journaled_messages)
        self.counts["journaled turns"] += len(self._tables.seen.journaled_turns)
        self.counts["limit: second answers"] += len(self._tables.seen.second_answers)
        for (_, name), row in self._tables.conversations.items():
            self._check_log(name, row)
            if name not in forked:
                self._check_fold(name, row)
                self._check_order(name, row)
        self._check_promises(forked)
        self._check_effects()

    def _check_log(self, name: str, row: Conversation) -> None:
        seqs = [message.seq for message in row.messages]
        if seqs != list(range(1, len(seqs) + 1)):
            self._wrong(f"{name}: seqs {seqs}")
        customers = [m for m in row.messages if m.role is MessageRole.CUSTOMER]
        for client_id, times in Counter(m.client_message_id for m in customers).items():
            if times > 1:
                self._wrong(f"{name}: {client_id} is there {times} times")
        replies = Counter(m.turn_id for m in row.messages if m.role is MessageRole.AGENT)
        for message in customers:
            turn = row.turns.get(message.turn_id or "")
            if turn is None or turn.result is None:
                self._wrong(f"{name}: {message.client_message_id} is unanswered")
            elif replies[message.turn_id] != 1:
                self._wrong(f"{name}: {message.client_message_id} has {replies[message.turn_id]} replies")
        if row.record.answered != row.record.last_user:
            self._wrong(f"{name}: answered {row.record.answered} of {row.record.last_user}")

    def _check_fold(self, name: str, row: Conversation) -> None:
        by_turn: dict[str | None, list[Message]] = {}
        for message in row.messages:
            if message.role is MessageRole.CUSTOMER:
                by_turn.setdefault(message.turn_id, []).append(message)
        folded = [
            message.message_id
            for reply in row.messages
            if reply.role is MessageRole.AGENT
            for message in by_turn.get(reply.turn_id, ())
        ]
        if row.state.notes.get(SEEN, []) != folded:
            self._wrong(f"{name}: the state is not the fold of the log")

    def _check_order(self, name: str, row: Conversation) -> None:
        order = {sent.client_message_id: (sent.sender, sent.number) for sent in self._sent}
        last: dict[str, int] = {}
        for message in row.messages:
            if message.role is MessageRole.CUSTOMER:
                sender, number = order[message.client_message_id or ""]
                if number < last.get(sender, -1) and self._may_be_late(message, sender, last[sender]):
                    self.counts["limit: journaled message after a later one"] += 1
                elif number < last.get(sender, -1):
                    self._wrong(f"{name}: {message.client_message_id} after {sender}m{last[sender]}")
                last[sender] = max(number, last.get(sender, -1))

    def _may_be_late(self, message: Message, sender: str, later: int) -> bool:
        """It waited in a journal that the replica which took the later one could not ask."""
        is_journaled = message.message_id in self._tables.seen.journaled_messages
        was_overtaken = any(f"{sender}m{later}" == name for name in self._overtakers)
        return is_journaled and was_overtaken and not self._is_strict

    def _check_promises(self, forked: set[str]) -> None:
        seconds = set(self._tables.seen.second_answers)
        for sent in self._sent:
            if sent.acknowledged is None:
                continue
            conversation_id, _ = sent.acknowledged
            row = self._tables.conversations.get(("default", conversation_id))
            stored = None
            if row is not None:
                stored = next(
                    (m for m in row.messages if m.client_message_id == sent.client_message_id), None
                )
            if row is None or stored is None:
                self._wrong(f"{sent.client_message_id}: acknowledged and lost")
                continue
            turn = row.turns.get(stored.turn_id or "")
            result = None if turn is None else turn.result
            text = "" if result is None or result.reply is None else result.reply.text
            for turn_id, told in sent.told:
                is_excused = (turn_id, told) in seconds or conversation_id in forked
                if (turn_id, told) != (stored.turn_id, text) and not is_excused:
                    self._wrong(f"{sent.client_message_id}: told {told!r}, stored {text!r}")

    def _check_effects(self) -> None:
        """Nothing twice; and what the stored answer says was done, or will be, has been done once."""
        receipts = {ticket.receipt for ticket in self._desk.by_key.values()}
        for row in self._tables.conversations.values():
            for message in row.messages:
                if message.role is not MessageRole.CUSTOMER:
                    continue
                name, *orders = message.text.split()
                opened, mails = self._desk.subjects[f"Ticket {name}"], self._channel.sent[f"Mail {name}"]
                self.counts["tickets"] += opened
                self.counts["mails"] += mails
                if opened > ("ticket" in orders) or mails > ("notify" in orders):
                    self._wrong(f"{name}: {opened} tickets, {mails} mails")
            for turn in row.turns.values():
                self._check_kept(turn, row)
                for action in turn.result.actions if turn.result is not None else ():
                    is_kept = action.receipt in receipts
                    if action.tool == "open_ticket" and action.status in _KEPT and not is_kept:
                        self._wrong(f"{turn.turn_id}: {action.receipt} was promised and not opened")

    def _check_kept(self, turn: Turn, row: Conversation) -> None:
        """Each promise has a ticket of its own."""
        if turn.result is None:
            return
        promised = [a for a in turn.result.actions if a.tool == "open_ticket" and a.status in _KEPT]
        opened = sum(
            self._desk.subjects[f"Ticket {message.client_message_id}"]
            for message in row.messages
            if message.turn_id == turn.turn_id and message.role is MessageRole.CUSTOMER
        )
        if opened < len(promised):
            self._wrong(f"{turn.turn_id}: {len(promised)} tickets promised, {opened} opened")

    # -- looking things up -------------------------------------------------------------------------------------------

    def _forked(self) -> set[str]:
        """By the versions that commits met, and by messages that two stores took for new."""
        forked: set[str] = set()
        for name, built_on, met, durability in self._tables.seen.built_on:
            row = self._tables.conversations[("default", name)]
            if durability == Durability.SQL and (built_on > met or "sql" in row.sources[built_on:met]):
                self._wrong(f"{name}: a turn built on version {built_on} was committed over {met}")
            forked.add(name)
        for (_, name), row in self._tables.conversations.items():
            if any(message.message_id in self._tables.seen.taken_twice for message in row.messages):
                forked.add(name)
        self.counts["limit: conversations served by two stores"] += len(forked)
        return set() if self._is_strict else forked

    def _journaled(self) -> list[bytes]:
        """What the journal keeps for SQL; answers that it remembers for a day are not part of it."""
        return [
            place
            for place in self._tiny.keys
            if (place.startswith(_JOURNAL) or place in _JOURNAL_SETS) and self._tiny.keys[place]
        ]

    def _copies(self, name: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        ending = b":" + name.encode() + b"}"
        return [
            (place, fields)
            for place, fields in self._tiny.keys.items()
            if place.startswith(b"careline:copy") and place.endswith(ending) and isinstance(fields, dict)
        ]

    def _may_stay(self, key: str) -> bool:
        """A mail whose fate nobody knows is left to a person."""
        known = (self._tables.effects.get(("default", name)) for name in (key, f"{key}:outbox"))
        return any(e is not None and e.tool == "notify" and e.status in ("unknown", "intent") for e in known)

    def _wrong(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)
