"""
How an effect stands in the ledger: what a client's key stands for, and what came of it, for a turn that is run again.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from core.errors import Conflict
from core.ids import derived_id
from core.messages import ActionStatus
from core.records import EffectRecord, OutboxItem
from tools.protocol import KEY_CONFLICT, ToolCall, ToolResult

_ASKED = "asked"
_LEDGER_STATUS: Mapping[ActionStatus, Literal["confirmed", "queued", "unknown", "failed"]] = {
    ActionStatus.SUCCEEDED: "confirmed",
    ActionStatus.QUEUED: "queued",
    ActionStatus.UNKNOWN: "unknown",
    ActionStatus.FAILED: "failed",
    ActionStatus.REFUSED: "failed",
}


class _StoredOutcome(msgspec.Struct, frozen=True):
    """How a finished effect stands in the ledger: all that a re-run of the turn must say and do again."""

    status: ActionStatus
    value: dict[str, Any]
    summary: str
    receipt: str | None = None
    reference: str | None = None
    reason: str | None = None
    hands_over: bool = False
    outbox: tuple[OutboxItem, ...] = ()
    degraded: tuple[tuple[str, str], ...] = ()


def finished(plan: EffectRecord, result: ToolResult) -> EffectRecord:
    return dataclasses.replace(
        plan,
        status=_LEDGER_STATUS[result.status],
        reference=result.reference,
        value=msgspec.to_builtins(
            _StoredOutcome(
                status=result.status,
                value=dict(result.value),
                summary=result.summary,
                receipt=result.receipt,
                reference=result.reference,
                reason=result.reason,
                hands_over=result.hands_over,
                outbox=result.outbox,
                degraded=result.degraded,
            )
        ),
    )


def recalled(effect: EffectRecord) -> ToolResult:
    stored = msgspec.convert(effect.value, type=_StoredOutcome)
    return ToolResult(
        value=stored.value,
        summary=stored.summary,
        status=stored.status,
        receipt=stored.receipt,
        reference=stored.reference,
        reason=stored.reason,
        hands_over=stored.hands_over,
        outbox=stored.outbox,
        degraded=stored.degraded,
    )


def bound(arguments: msgspec.Struct, call: ToolCall) -> Mapping[str, str]:
    """What a key that a client has given stands for."""
    return {_ASKED: _digest(arguments)} if call.key_is_given else {}


def check_bound(stored: EffectRecord | None, arguments: msgspec.Struct) -> None:
    if stored is not None and stored.arguments.get(_ASKED) not in (None, _digest(arguments)):
        raise Conflict("the key stands for other arguments", reason=KEY_CONFLICT)


def _digest(arguments: msgspec.Struct) -> str:
    return derived_id("asked", msgspec.json.encode(arguments, order="sorted").decode())
