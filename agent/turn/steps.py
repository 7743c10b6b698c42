"""
The parts of a turn that only compute: who it is for, what the brain reads, what is written at the end.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from agent.brain.base import BrainReply, Spent, TurnInput
from agent.turn.calling import TeamAddress, calls_for_a_person
from agent.turn.confirmation import pending_after
from agent.turn.effects import TurnTools
from agent.turn.language import language_of, spoken_locale
from core.identity import VISITOR_CUSTOMER_PREFIX, Caller, CallerKind
from core.messages import (
    AnsweringAgent,
    DegradedPart,
    Message,
    MessageRole,
    Reply,
    Timings,
    TurnResult,
    TurnStatus,
    Usage,
)
from core.records import OutboxItem
from core.resilience.deadline import Deadline
from state.identifiers import reply_id_of
from state.models import CustomerState
from state.store import ConversationRecord, Lease, Snapshot, TurnCommit

CONTEXT_MESSAGES = 3
"""Of the customer, and of replies, before those of this turn: what searches may lean on."""

_ANSWERED = frozenset({MessageRole.AGENT, MessageRole.OPERATOR})
_REMEMBERED_RECEIPTS = 20

_LANGUAGE_MESSAGES = 5
"""Of the customer, the newest: what was said before tells the language of an "ok"."""


def owner_of(conversation: ConversationRecord, fresh: Sequence[Message]) -> Caller:
    """
    In whose name a turn's tools run: the conversation's stored owner, whoever sent or resumed it.

    The request proved its right to the conversation at intake; a sweeper that runs the turn later has no request at all, so the
    e-mail address comes from the newest message that was stored with one.
    """
    is_visitor = conversation.customer_id.startswith(VISITOR_CUSTOMER_PREFIX)
    return Caller(
        kind=CallerKind.VISITOR if is_visitor else CallerKind.CUSTOMER,
        tenant=conversation.tenant,
        customer_id=conversation.customer_id,
        email=next((message.email for message in reversed(fresh) if message.email), None),
        locale=conversation.locale,
    )


def is_with_a_person(conversation: ConversationRecord, now: datetime) -> bool:
    return conversation.handed_over_until is not None and now < conversation.handed_over_until


def names_no_language(snapshot: Snapshot) -> bool:
    """Neither the request nor anything that the customer has said lately."""
    return snapshot.conversation.locale is None and not any(map(language_of, _newest_first(snapshot)))


def turn_input(
    snapshot: Snapshot, lease: Lease, *, now: datetime, deadline: Deadline, default_locale: str
) -> TurnInput:
    known = snapshot.customer_state
    given = snapshot.conversation.locale or known.locale_on_record or known.locale or default_locale
    locale = spoken_locale(_newest_first(snapshot), given)
    return TurnInput(
        caller=owner_of(snapshot.conversation, snapshot.fresh),
        conversation_id=lease.conversation_id,
        turn_id=lease.turn_id,
        locale=locale,
        history=snapshot.history,
        fresh=snapshot.fresh,
        state=snapshot.state,
        customer_state=snapshot.customer_state,
        now=now,
        deadline=deadline,
    )


def _newest_first(snapshot: Snapshot) -> Iterator[str]:
    said = [*snapshot.history, *snapshot.fresh]
    texts = (message.text for message in reversed(said) if message.role is MessageRole.CUSTOMER)
    return itertools.islice(texts, _LANGUAGE_MESSAGES)


def search_context(snapshot: Snapshot) -> tuple[str, ...]:
    """What the customer said before, for searches: the answer's own words would only find themselves again."""
    said = (message.text for message in snapshot.history if message.role is MessageRole.CUSTOMER)
    return tuple(said)[-CONTEXT_MESSAGES:]


def earlier_replies(snapshot: Snapshot) -> tuple[str, ...]:
    """What was answered before, by whoever: "do they have parking?" asks about the hotel that was named there."""
    said = (message.text for message in snapshot.history if message.role in _ANSWERED)
    return tuple(said)[-CONTEXT_MESSAGES:]


def turn_commit(
    turn: TurnInput,
    lease: Lease,
    brain: BrainReply,
    tools: TurnTools,
    *,
    degraded: tuple[DegradedPart, ...],
    timings: Timings,
    handoff_timeout: timedelta,
    knew: CustomerState,
    team: Sequence[TeamAddress] = (),
    agent: AnsweringAgent | None = None,
) -> TurnCommit:
    """`knew` is the customer's state as it is stored; the turn may have begun with more."""
    reply_id = reply_id_of(lease.tenant, lease.conversation_id, lease.turn_id)
    until = turn.now + handoff_timeout
    calls: tuple[OutboxItem, ...] = ()
    if tools.handed_over is not None:
        calls = calls_for_a_person(turn, tools.handed_over, team, reply=brain.text, until=until)
    result = TurnResult(
        conversation_id=lease.conversation_id,
        turn_id=lease.turn_id,
        message_id=turn.fresh[0].message_id,
        status=TurnStatus.HANDED_OVER if tools.hands_over else brain.status,
        reply=Reply(
            message_id=reply_id,
            text=brain.text,
            citations=brain.citations,
            quick_replies=() if tools.hands_over else brain.quick_replies,
        ),
        actions=tools.actions,
        degraded=degraded,
        brain=brain.brain,
        model=brain.model,
        durability=lease.durability,
        timings_ms=timings,
        agent=agent,
        usage=_usage(brain.spent),
    )
    return TurnCommit(
        lease=lease,
        result=result,
        reply=Message(
            message_id=reply_id,
            seq=0,
            role=MessageRole.AGENT,
            text=brain.text,
            at=turn.now,
            turn_id=lease.turn_id,
            citations=brain.citations,
            degraded=degraded,
        ),
        state=msgspec.structs.replace(brain.state, pending=pending_after(turn, tools, brain.text)),
        customer_id=turn.caller.customer_id or "",
        customer_state=_remember(turn, tools, knew),
        at=turn.now,
        outbox=(*tools.outbox, *calls),
        hand_over_until=until if tools.hands_over else None,
    )


def _usage(spent: Spent | None) -> Usage | None:
    if spent is None or not spent.is_reported:
        return None
    return Usage(prompt_tokens=spent.prompt_tokens, completion_tokens=spent.completion_tokens)


def _remember(turn: TurnInput, tools: TurnTools, knew: CustomerState) -> CustomerState | None:
    """What the customer's state becomes; None when nothing is worth a write."""
    receipts = tuple(action.receipt for action in tools.actions if action.receipt)
    known = turn.customer_state
    updated = msgspec.structs.replace(
        known,
        locale=turn.locale,
        last_conversation_id=turn.conversation_id,
        receipts=(*reversed(receipts), *(r for r in known.receipts if r not in receipts))[
            :_REMEMBERED_RECEIPTS
        ],
    )
    return updated if updated != knew else None
