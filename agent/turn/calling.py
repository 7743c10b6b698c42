"""
Call a person to a conversation that was handed over: one promised message for each way in which the team is reached.

Written in the commit of the turn that hands over, and carried out by the outbox, so nobody is called twice and no call is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from agent.brain.base import TurnInput
from core.identity import DEFAULT_TENANT
from core.ids import derived_id, receipt_for
from core.messages import Message
from core.records import Notification, OutboxItem, OutboxKind, TeamChannel

_EARLIER_MESSAGES = 10
_LONGEST_QUOTE = 2000


@dataclass(frozen=True, slots=True)
class TeamAddress:
    """`address` is None where the channel is told the conversation's id in its place."""

    channel: TeamChannel
    address: str | None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """By which effect, and why, as the brain put it."""

    key: str
    reason: str


def calls_for_a_person(
    turn: TurnInput, handed_over: HandedOver, team: Sequence[TeamAddress], *, reply: str, until: datetime
) -> tuple[OutboxItem, ...]:
    """Once for the effect that handed over, on each way to the team."""
    return tuple(
        OutboxItem(
            key=(key := derived_id("call", turn.caller.tenant, handed_over.key, each.channel)),
            kind=OutboxKind.NOTIFICATION,
            tenant=turn.caller.tenant,
            conversation_id=turn.conversation_id,
            payload=msgspec.to_builtins(
                Notification(
                    key=key,
                    channel=each.channel,
                    address=each.address or turn.conversation_id,
                    subject=f"[{receipt_for(key)}] A customer waits for a person",
                    body="\n".join(_lines(turn, handed_over.reason, reply=reply, until=until)),
                )
            ),
            locale=turn.locale,
        )
        for each in team
    )


def _lines(turn: TurnInput, reason: str, *, reply: str, until: datetime) -> Iterator[str]:
    conversation, tenant = turn.conversation_id, turn.caller.tenant
    where = conversation if tenant == DEFAULT_TENANT else f"{conversation} --tenant {tenant}"
    yield f"The agent has passed a conversation to your team, and is silent in it until {until:%Y-%m-%d %H:%M} UTC."
    yield ""
    yield f"Conversation: {conversation}"
    yield f"Tenant: {tenant}"
    yield f"Customer: {turn.caller.customer_id}"
    yield f"Language: {turn.locale}"
    yield f"Reason: {' '.join(reason.split())}"
    yield ""
    yield "The customer wrote:"
    for message in turn.fresh:
        yield from _quoted(message.text)
    yield ""
    yield "The agent answered:"
    yield from _quoted(reply)
    earlier = turn.history[-_EARLIER_MESSAGES:]
    if earlier:
        yield ""
        yield "Before that, oldest first:"
        for message in earlier:
            yield from _said(message)
    yield ""
    yield "Read all of it:             careline handoff show " + where
    yield f'Answer the customer:        careline handoff reply {where} "…"'
    yield "Give it back to the agent:  careline handoff return " + where
    yield "An answer to this message does not reach the customer."


def _said(message: Message) -> Iterator[str]:
    yield f"{message.role.value}:"
    yield from _quoted(message.text)


def _quoted(text: str) -> Iterator[str]:
    short = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + " …"
    for line in short.splitlines():
        yield f"> {line}"
