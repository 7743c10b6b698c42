"""
What must hold of a whole replayed conversation: what is stored of it is what was said, and what was told as done was done once.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.replay.log import RecordedConversation
from agent.replay.rows import Finding, ReplayedTurn
from agent.replay.rules import Rule, shortened
from core.messages import ActionStatus, Message, MessageRole, TurnStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something that was really done outside, as the desk or the log of sendings has it; `what` names it, e.g. `ticket T-4`."""

    receipt: str
    what: str


def check_end(
    recorded: RecordedConversation,
    rows: Sequence[ReplayedTurn],
    *,
    messages: Sequence[Message] | None = None,
    effects: Sequence[Effect] | None = None,
) -> tuple[Finding, ...]:
    """
    What is wrong with a conversation that has ended: `messages` as they are stored, oldest first, and the `effects` that were
    done in its name; None where they cannot be read.
    """
    findings = list(_all_replayed(recorded, rows))
    if messages is not None:
        findings += _stored_once(rows, messages)
    if effects is not None:
        findings += _done_once(rows, effects)
    return tuple(findings)


def _all_replayed(recorded: RecordedConversation, rows: Sequence[ReplayedTurn]) -> Iterator[Finding]:
    turns = sum(message.role == "customer" for message in recorded.messages)
    broke_off = any(row.error is not None for row in rows)
    if len(rows) != turns and not broke_off:
        yield Finding(Rule.LOST_OR_DOUBLED, f"{turns} customer messages, {len(rows)} rows")


def _stored_once(rows: Sequence[ReplayedTurn], messages: Sequence[Message]) -> Iterator[Finding]:
    numbers = [message.seq for message in messages]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding(Rule.LOST_OR_DOUBLED, f"the stored messages are numbered {numbers}")
    seen = [row for row in rows if row.error is None]
    unknown = len(rows) - len(seen)  # whether the turn that broke off was stored, nobody heard
    for role, expected in (
        (MessageRole.CUSTOMER, [row.customer for row in seen]),
        (MessageRole.AGENT, _stored_replies(seen, messages)),
    ):
        stored = [message.text for message in messages if message.role is role]
        stored = stored[: len(expected)] + stored[len(expected) + unknown :]
        missing, more = Counter(expected) - Counter(stored), Counter(stored) - Counter(expected)
        for text in missing:
            yield Finding(Rule.LOST_OR_DOUBLED, f"not stored: {role.value}: {shortened(text)}")
        for text in more:
            yield Finding(Rule.LOST_OR_DOUBLED, f"stored and not seen: {role.value}: {shortened(text)}")
        if not missing and not more and stored != expected:
            yield Finding(Rule.LOST_OR_DOUBLED, f"stored in another order: {role.value}")


def _stored_replies(rows: Sequence[ReplayedTurn], messages: Sequence[Message]) -> list[str]:
    """While a person has the conversation, a message is acknowledged, which nobody need keep."""
    stored = Counter(message.text for message in messages if message.role is MessageRole.AGENT)
    replies: list[str] = []
    is_with_a_person = False
    for row in rows:
        is_handed_over = row.status == TurnStatus.HANDED_OVER
        if not (is_handed_over and is_with_a_person) or stored[row.reply] > 0:
            replies.append(row.reply)
            stored[row.reply] -= 1
        is_with_a_person = is_handed_over
    return replies


def _done_once(rows: Sequence[ReplayedTurn], effects: Sequence[Effect]) -> Iterator[Finding]:
    done = Counter(effect.receipt for effect in effects)
    told = {tool.receipt: tool for row in rows for tool in row.tools if tool.receipt is not None}
    for effect in dict.fromkeys(effects):
        if done[effect.receipt] > 1:
            yield Finding(
                Rule.EFFECT_TWICE, f"{effect.receipt} was done {done[effect.receipt]} times: {effect.what}"
            )
        if effect.receipt not in told and not any(row.error is not None for row in rows):
            yield Finding(
                Rule.EFFECT_TWICE, f"{effect.what} ({effect.receipt}) was done, and no turn told of it"
            )
    for receipt, tool in told.items():
        if receipt is not None and tool.status == ActionStatus.SUCCEEDED and receipt not in done:
            yield Finding(Rule.EFFECT_LOST, f"{tool.tool} was told as done ({receipt}), and was not")
