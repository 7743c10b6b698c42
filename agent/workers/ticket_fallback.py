"""
The e-mail that stands in for a ticket desk: when it does, and that it goes out once per key.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal, Protocol

from core.errors import DependencyError, DependencyTimeout, DependencyUnavailable, NetworkFailed, RateLimited
from core.ids import new_id, receipt_for
from core.records import EffectRecord, NewTicket, OutboxItem
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from tools.classify import error_type_of, fate_is_unknown, is_refused_for_good
from tools.ports import TicketDesk

SETTLING = "settling"
"""`DependencyError.reason` of a ticket that waits until there is more to see at the desk."""

_SAYS_NOTHING = frozenset({SETTLING, "bulkhead_full", "retry_budget"})
"""Reasons for which the desk was not asked, although it may be there."""

_log = get_logger(__name__)


class Ledger(Protocol):
    """Part of the conversation store."""

    async def effect(self, tenant: str, key: str) -> EffectRecord | None: ...

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord: ...

    async def finish_effect(self, effect: EffectRecord) -> None: ...


class FateUnknown(Exception):
    """Whether the ticket is there, nobody but a person can see. `is_told` says that the turn has told the customer so."""

    def __init__(self, *, is_told: bool) -> None:
        super().__init__("the fate of a ticket is not known")
        self.is_told = is_told


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFallback:
    """
    E-mail in place of a desk. It stands in when that refuses for good, or was away at each of `attempts` tries.
    """

    desk: TicketDesk
    guard: Guard
    attempts: int


def is_outage(exc: Exception) -> bool:
    """Whether the failure says that the dependency is away, and nothing about what was asked of it."""
    return isinstance(exc, DependencyUnavailable | DependencyTimeout | NetworkFailed | RateLimited | OSError)


class StandInMail:
    def __init__(self, fallback: TicketFallback, ledger: Ledger, *, most_attempts: int) -> None:
        """`most_attempts` is after how many the outbox gives up on what is no outage."""
        self._fallback = fallback
        self._ledger = ledger
        self._most_attempts = most_attempts

    async def has_begun(self, item: OutboxItem) -> bool:
        """In an earlier life of this item; from then on the desk is out of it, unless an operator puts the item back."""
        begun = await self._ledger.effect(item.tenant, _key(item))
        return begun is not None and begun.status != "failed"

    def is_due(self, item: OutboxItem, exc: Exception) -> bool:
        if is_refused_for_good(exc):
            return True
        if isinstance(exc, DependencyError) and exc.reason in _SAYS_NOTHING:
            return False
        if is_outage(exc):
            return item.attempts >= self._fallback.attempts
        return item.attempts >= min(self._fallback.attempts, self._most_attempts)

    def is_overdue(self, item: OutboxItem) -> bool:
        """The desk answers questions and takes nothing: its last word was a silence, at one of the tries that count."""
        return item.attempts > self._fallback.attempts

    def announce(self, item: OutboxItem, exc: Exception) -> None:
        _log.warning(
            "outbox.ticket_falls_back",
            receipt=receipt_for(item.key),
            attempts=item.attempts,
            error_type=error_type_of(exc).value,
            error=type(exc).__name__,
        )

    async def send(self, item: OutboxItem, wanted: NewTicket) -> str:
        """
        The reference, given now or in an earlier life of this item.

        Raises:
            FateUnknown: it may be on its way, and nobody can see whether it is.
            Exception: it proves that nothing was sent.
        """
        run = new_id("run")
        plan = EffectRecord(
            tenant=item.tenant,
            key=_key(item),
            turn_id=item.key,
            step=item.attempts,
            tool="open_ticket",
            arguments={"run": run},
        )
        begun = await self._ledger.begin_effect(plan)
        if begun.status == "failed":
            await self._ledger.finish_effect(plan)
            begun = await self._ledger.effect(item.tenant, plan.key) or plan
        if begun.status == "confirmed":
            return begun.reference or _reference(wanted)
        if begun.status == "unknown" or begun.arguments.get("run") != run:
            raise FateUnknown(is_told=False)
        try:
            await self._fallback.guard.run(
                lambda: self._fallback.desk.open_ticket(item.tenant, wanted), may_repeat=False, is_repeat=True
            )
        except Exception as exc:  # noted in the ledger, then raised again
            status: Literal["unknown", "failed"] = "unknown" if fate_is_unknown(exc) else "failed"
            await self._ledger.finish_effect(dataclasses.replace(begun, status=status))
            if status == "unknown":
                raise FateUnknown(is_told=False) from exc
            raise
        reference = _reference(wanted)
        await self._ledger.finish_effect(dataclasses.replace(begun, status="confirmed", reference=reference))
        _log.error("outbox.ticket_mailed", receipt=wanted.receipt)
        return reference


def _reference(wanted: NewTicket) -> str:
    return f"e-mail {wanted.receipt}"


def _key(item: OutboxItem) -> str:
    """One that an operator's word reaches, too (`state.sql.operator_queue`)."""
    return f"{item.key}:outbox"
