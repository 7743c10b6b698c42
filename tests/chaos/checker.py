"""
What must hold of every history, whatever went wrong in it; nothing here knows how the service does it.

`violations` is empty for a good one. What a conversation's state must be is folded from its log and its stored answers:
`answered` and `head` from the messages and turns, the customer's receipts from all that the customer was
promised, and the open dialogue from the last answer's status.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from core.messages import ActionStatus, TurnStatus
from tests.chaos.history import Sent, Stored, StoredConversation, StoredMessage, StoredTurn

_KEPT = (ActionStatus.SUCCEEDED, ActionStatus.QUEUED)
_RECEIPTS_KEPT = 20


def violations(sent: list[Sent], stored: Stored) -> list[str]:
    """What nothing excuses."""
    return [
        *(f"still waiting: {what}" for what in stored.waiting),
        *_promises(sent, stored),
        *_logs(stored),
        *_order(sent, stored),
        *_tickets(sent, stored),
    ]


def forks(sent: list[Sent], stored: Stored) -> list[str]:
    """
    Answers that were told and are not the stored ones, and states that are not the fold of their logs: in a dual partition
    documented limits, else violations.
    """
    return [*_told_otherwise(sent, stored), *_folds(stored)]


def _told_otherwise(sent: list[Sent], stored: Stored) -> list[str]:
    turns = {turn.turn_id: turn for turn in stored.turns}
    covering = {m.client_message_id: m.turn_id for m in stored.messages if m.role == "customer"}
    wrong = []
    for each in sent:
        for told in each.told:
            turn = turns.get(covering.get(each.client_message_id) or "")
            if turn is None or (told.turn_id, told.text) != (turn.turn_id, _text(turn)):
                wrong.append(f"{each.client_message_id}: told {told.turn_id} {told.text!r}, stored {turn}")
    return wrong


def _promises(sent: list[Sent], stored: Stored) -> Iterator[str]:
    known = {message.client_message_id for message in stored.messages}
    for each in sent:
        if each.acknowledged_at is not None and each.client_message_id not in known:
            yield f"{each.client_message_id}: acknowledged and lost"
        if each.answered_at is None:
            yield f"{each.client_message_id}: never answered"


def _logs(stored: Stored) -> Iterator[str]:
    turns = {turn.turn_id: turn for turn in stored.turns}
    for name, log in _by_conversation(stored).items():
        seqs = [message.seq for message in log]
        if seqs != list(range(1, len(log) + 1)):
            yield f"{name}: seqs {seqs}"
        customers = [message for message in log if message.role == "customer"]
        for client_id, times in Counter(m.client_message_id for m in customers).items():
            if times > 1:
                yield f"{name}: {client_id} stands there {times} times"
        replies: dict[str | None, list[str]] = defaultdict(list)
        for message in log:
            if message.role == "agent":
                replies[message.turn_id].append(message.text)
        for message in customers:
            turn = turns.get(message.turn_id or "")
            if turn is None or turn.result is None:
                yield f"{name}: {message.client_message_id} has no answered turn"
            elif replies[turn.turn_id] != [_text(turn)]:
                yield f"{name}: {turn.turn_id} has the replies {replies[turn.turn_id]}, its answer is {_text(turn)!r}"
        for turn_id in replies.keys() - {message.turn_id for message in customers}:
            yield f"{name}: the reply of {turn_id} answers nothing"


def _folds(stored: Stored) -> Iterator[str]:
    logs = _by_conversation(stored)
    answered_turns: dict[str, list[StoredTurn]] = defaultdict(list)
    promised: dict[str, set[str]] = defaultdict(set)
    customer_of = {row.conversation_id: row.customer_id for row in stored.conversations}
    for turn in stored.turns:
        if turn.result is not None:
            answered_turns[turn.conversation_id].append(turn)
            promised[customer_of[turn.conversation_id]] |= _receipts(turn)
    for row in stored.conversations:
        name, log = row.conversation_id, logs.get(row.conversation_id, [])
        last_user = max((m.seq for m in log if m.role == "customer"), default=0)
        folded = {
            "head": len(log),
            "last_user": last_user,
            "answered": last_user,
            "running_turn": None,
        }
        for what, value in folded.items():
            if getattr(row, what) != value:
                yield f"{name}: {what} is {getattr(row, what)}, and the log says {value}"
        # A drain that finds an answer void moves the version on, so that no copy which knows that answer is used again.
        if row.state_version < len(answered_turns[name]):
            yield f"{name}: state_version is {row.state_version} after {len(answered_turns[name])} turns"
        yield from _open_flow(row, log, answered_turns[name])
    for customer, receipts in promised.items():
        kept = set(stored.receipts.get(customer, ()))
        if kept != receipts and len(receipts) <= _RECEIPTS_KEPT:
            yield f"{customer}: the state holds {sorted(kept)}, promised were {sorted(receipts)}"


def _open_flow(row: StoredConversation, log: list[StoredMessage], turns: list[StoredTurn]) -> Iterator[str]:
    """A dialogue is open exactly where the last reply asks for something, or offers to try again what could not be done."""
    last = next((message.turn_id for message in reversed(log) if message.role == "agent"), None)
    for turn in turns:
        if turn.turn_id == last and turn.result is not None and turn.result.brain == "embedded":
            asks = turn.result.status is TurnStatus.NEEDS_CUSTOMER
            failed = any(action.status is ActionStatus.FAILED for action in turn.result.actions)
            if (asks or failed) != (row.state.get("flow") is not None):
                yield f"{row.conversation_id}: the last reply is {turn.result.status}, the state {row.state}"


def _order(sent: list[Sent], stored: Stored) -> Iterator[str]:
    place = {each.client_message_id: each for each in sent}
    for name, log in _by_conversation(stored).items():
        last: dict[str, int] = {}
        for message in log:
            each = place.get(message.client_message_id or "")
            if message.role != "customer" or each is None:
                continue
            if each.order < last.get(each.sender, -1):
                yield f"{name}: {each.client_message_id} stands after {each.sender}'s number {last[each.sender]}"
            last[each.sender] = max(each.order, last.get(each.sender, -1))


def _tickets(sent: list[Sent], stored: Stored) -> Iterator[str]:
    """Every promise is kept once, and nothing else is done: a subject names the one message that ordered it."""
    for key, times in Counter(ticket.key for ticket in stored.tickets).items():
        if times > 1:
            yield f"{key}: {times} tickets"
    opened = {ticket.receipt for ticket in stored.tickets}
    promised = {receipt for turn in stored.turns if turn.result is not None for receipt in _receipts(turn)}
    for receipt in promised - opened:
        yield f"{receipt}: promised and not opened"
    for receipt in opened - promised:
        yield f"{receipt}: opened and promised to nobody"
    refused = {turn.conversation_id for turn in stored.turns if _says_that_it_failed(turn)}
    for each in sent:
        if (order := ordered(each)) and each.answered_at is not None:
            tickets = sum(order in ticket.subject for ticket in stored.tickets)
            if tickets > 1 or (tickets == 0 and each.conversation_id not in refused):
                yield f"{each.client_message_id}: {tickets} tickets for {order}"


def ordered(sent: Sent) -> str | None:
    """The word that names what a message wants a ticket for."""
    return next((word for word in sent.text.split() if word.startswith("lamp-")), None)


def _receipts(turn: StoredTurn) -> set[str]:
    assert turn.result is not None
    actions = turn.result.actions
    return {a.receipt for a in actions if a.tool == "open_ticket" and a.status in _KEPT and a.receipt}


def _says_that_it_failed(turn: StoredTurn) -> bool:
    """The customer was told that no ticket could be opened, and can ask again."""
    actions = turn.result.actions if turn.result is not None else ()
    return any(a.tool == "open_ticket" and a.status is ActionStatus.FAILED for a in actions)


def _text(turn: StoredTurn) -> str:
    return turn.result.reply.text if turn.result is not None and turn.result.reply is not None else ""


def _by_conversation(stored: Stored) -> dict[str, list[StoredMessage]]:
    logs: dict[str, list[StoredMessage]] = defaultdict(list)
    for message in sorted(stored.messages, key=lambda each: each.seq):
        logs[message.conversation_id].append(message)
    return logs
