"""
What must hold of every world, whatever went wrong in it; nothing here knows how the service does it.
"""

from collections import Counter

from core.messages import ActionStatus, Durability, Message, MessageRole
from tests.simulation.clients import Sent
from tests.simulation.outside import SEEN, SimulatedChannel, SimulatedDesk
from tests.simulation.record import Conversation, SqlTables
from tests.simulation.redis_server import TinyRedis

_JOURNAL = (b"careline:journal.entries", b"careline:journal.document", b"careline:journal.effect:")
_KEPT = (ActionStatus.SUCCEEDED, ActionStatus.QUEUED)
_JOURNAL_SETS = (b"careline:journal.pending", b"careline:journal.effects")


class Checker:
    """
    `forked` are conversations that SQL and the journal served at once, for replicas that could not reach both: the documented
    limit. They are found by their versions, counted, and excused from order and fold, never from loss or doubling.
    """

    def __init__(
        self,
        tables: SqlTables,
        tiny: TinyRedis,
        desk: SimulatedDesk,
        channel: SimulatedChannel,
        sent: list[Sent],
    ) -> None:
        self._tables = tables
        self._tiny = tiny
        self._desk = desk
        self._channel = channel
        self._sent = sent
        self._tokens: dict[str, int] = {}
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()

    # -- while it runs -----------------------------------------------------------------------------------------------

    def look(self) -> None:
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

    # -- in the end --------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        self.look()
        for place in self._journaled():
            self._wrong(f"left in the journal: {place!r}")
        for (_, key), item in self._tables.outbox.items():
            if item.status != "done" and not self._may_stay(key):
                self._wrong(f"{key}: outbox item {item.status}")
        forked = self._forked()
        self.counts["conversations"] += len(self._tables.conversations)
        self.counts["forked (dual partition)"] += len(forked)
        self.counts["taken by two stores"] += len(self._tables.seen.taken_twice)
        self.counts["journaled messages"] += len(self._tables.seen.journaled_messages)
        self.counts["journaled turns"] += len(self._tables.seen.journaled_turns)
        self.counts["second answers (dual partition)"] += len(self._tables.seen.second_answers)
        for (_, name), row in self._tables.conversations.items():
            self._check_log(name, row)
            if name not in forked:
                self._check_fold(name, row)
                self._check_order(name, row)
        self._check_promises(forked)
        self._check_effects(forked)

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
                if number < last.get(sender, -1):
                    self._wrong(f"{name}: {message.client_message_id} after {sender}m{last[sender]}")
                last[sender] = number

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

    def _check_effects(self, forked: set[str]) -> None:
        """Nothing twice; and what the stored answer says was done, or will be, has been done once."""
        for (_, conversation_id), row in self._tables.conversations.items():
            tickets: Counter[str] = Counter()
            for message in row.messages:
                if message.role is not MessageRole.CUSTOMER:
                    continue
                name, *orders = message.text.split()
                opened, mails = self._desk.subjects[f"Ticket {name}"], self._channel.sent[f"Mail {name}"]
                tickets[message.turn_id or ""] += opened
                self.counts["tickets"] += opened
                self.counts["mails"] += mails
                is_doubled = opened > ("ticket" in orders) or mails > ("notify" in orders)
                if is_doubled and conversation_id in forked:
                    self.counts["effects doubled (taken by two stores)"] += 1
                elif is_doubled:
                    self._wrong(f"{name}: {opened} tickets, {mails} mails")
            for turn_id, turn in row.turns.items():
                promised = sum(
                    action.tool == "open_ticket" and action.status in _KEPT
                    for action in (turn.result.actions if turn.result is not None else ())
                )
                if tickets[turn_id] < promised:
                    self._wrong(f"{turn_id}: {promised} tickets promised, {tickets[turn_id]} opened")

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
        return forked

    def _journaled(self) -> list[bytes]:
        """What the journal keeps for SQL; answers that it remembers for a day are not part of it."""
        return [
            place
            for place in self._tiny.keys
            if (place.startswith(_JOURNAL) or place in _JOURNAL_SETS) and self._tiny.keys[place]
        ]

    def _copies(self, name: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        ending = b":" + name.encode()
        return [
            (place, fields)
            for place, fields in self._tiny.keys.items()
            if place.startswith(b"careline:copy") and place.endswith(ending) and isinstance(fields, dict)
        ]

    def _may_stay(self, key: str) -> bool:
        """A mail whose fate nobody knows is left to a person."""
        effect = self._tables.effects.get(("default", f"{key}:outbox"))
        return effect is not None and effect.tool == "notify" and effect.status in ("unknown", "intent")

    def _wrong(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)
