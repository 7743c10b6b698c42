"""
The parts of a turn that only compute: who it is for, what the brain reads, what is written at the end.
"""

from datetime import datetime, timedelta

import msgspec

from agent.brain.base import BrainReply, TurnInput
from agent.turn.effects import TurnTools
from core.identity import VISITOR_CUSTOMER_PREFIX, Caller, CallerKind
from core.messages import DegradedPart, Message, MessageRole, Reply, Timings, TurnResult, TurnStatus
from core.resilience.deadline import Deadline
from state.identifiers import reply_id_of
from state.models import CustomerState
from state.store import ConversationRecord, Lease, Snapshot, TurnCommit

CONTEXT_MESSAGES = 3
"""Of the customer, before those of this turn: what searches may lean on."""

_REMEMBERED_RECEIPTS = 20


def owner_of(conversation: ConversationRecord) -> Caller:
    """
    In whose name a turn's tools run: the conversation's stored owner, whoever sent or resumed it.

    The request proved its right to the conversation at intake; a sweeper that runs the turn later has no request at all.
    """
    is_visitor = conversation.customer_id.startswith(VISITOR_CUSTOMER_PREFIX)
    return Caller(
        kind=CallerKind.VISITOR if is_visitor else CallerKind.CUSTOMER,
        tenant=conversation.tenant,
        customer_id=conversation.customer_id,
        locale=conversation.locale,
    )


def is_with_a_person(conversation: ConversationRecord, now: datetime) -> bool:
    return conversation.handed_over_until is not None and now < conversation.handed_over_until


def turn_input(snapshot: Snapshot, lease: Lease, *, now: datetime, deadline: Deadline) -> TurnInput:
    locale = snapshot.conversation.locale or snapshot.customer_state.locale or "en"
    return TurnInput(
        caller=owner_of(snapshot.conversation),
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


def search_context(snapshot: Snapshot) -> tuple[str, ...]:
    """What the customer said before, for searches: the answer's own words would only find themselves again."""
    said = (message.text for message in snapshot.history if message.role is MessageRole.CUSTOMER)
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
) -> TurnCommit:
    reply_id = reply_id_of(lease.tenant, lease.conversation_id, lease.turn_id)
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
        state=brain.state,
        customer_id=turn.caller.customer_id or "",
        customer_state=_remember(turn, tools),
        at=turn.now,
        outbox=tools.outbox,
        hand_over_until=turn.now + handoff_timeout if tools.hands_over else None,
    )


def _remember(turn: TurnInput, tools: TurnTools) -> CustomerState | None:
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
    return updated if updated != known else None
