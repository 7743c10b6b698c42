"""
Bring one promised ticket to its desk exactly once, whatever the desk can recognise.

A desk that knows the key is simply asked. For any other the ledger holds each attempt before it begins; where one may have
succeeded, the next is made only after the desk was looked at, and where it cannot be looked at, none is: that is for a person.
Where the desk is no way, an e-mail stands in for it. When the item is tried again is left to `agent.workers.outbox`.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.workers.ticket_fallback import SETTLING, FateUnknown, Ledger, StandInMail, TicketFallback
from core.clock import Clock
from core.errors import DependencyUnavailable
from core.ids import new_id
from core.records import EffectRecord, NewTicket, OutboxItem, Recognition, Ticket
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from tools.classify import fate_is_unknown
from tools.ports import TicketDesk
from tools.tickets import put_on_desk

_TOOL = "open_ticket"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """`sentence` (`tools.sentences`) is what the customer reads."""

    reference: str
    sentence: str


class TicketDelivery:
    """
    `settle_seconds`, or what the desk itself needs where that is more, pass between a call of unknown fate and the look at what
    became of it, so that a call which is carried out late is not missed. A desk that carries out a call even later, and knows no
    key, can be given a ticket twice. `most_attempts` is after how many the outbox gives up on what is no outage.
    """

    def __init__(
        self,
        desk: TicketDesk,
        ledger: Ledger,
        *,
        guard: Guard,
        clock: Clock,
        settle_seconds: float,
        most_attempts: int,
        fallback: TicketFallback | None = None,
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._guard = guard
        self._clock = clock
        self._settle_seconds = max(settle_seconds, desk.settles_after_seconds)
        self._mail = (
            StandInMail(fallback, ledger, most_attempts=most_attempts) if fallback is not None else None
        )

    async def deliver(self, item: OutboxItem, wanted: NewTicket) -> Delivered:
        """
        Any number of times, by any number of workers.

        Raises:
            FateUnknown: it may be there, and neither desk nor mailbox can be asked.
            DependencyUnavailable: `retry_after` says when there is more to see, or the desk is away.
            Exception: whatever the desk said else; nothing was opened.
        """
        mail = self._mail
        if mail is not None and await mail.has_begun(item):
            return Delivered(reference=await mail.send(item, wanted), sentence="ticket_mailed")
        try:
            reference = await self._at_desk(item, wanted)
        except FateUnknown:
            raise
        except Exception as exc:
            if mail is None or not mail.is_due(item, exc):
                raise
            mail.announce(item, exc)
            return Delivered(reference=await mail.send(item, wanted), sentence="ticket_mailed")
        if wanted.adds_to is not None:
            return Delivered(reference=reference, sentence="ticket_added_to")
        # A mailbox gives no number of its own.
        is_mail = reference == wanted.receipt
        return Delivered(reference=reference, sentence="ticket_mailed" if is_mail else "ticket_opened_later")

    async def _at_desk(self, item: OutboxItem, wanted: NewTicket) -> str:
        if self._desk.recognition is Recognition.KEY or wanted.adds_to is not None:
            return (
                await self._guard.run(lambda: put_on_desk(self._desk, item.tenant, wanted), is_repeat=True)
            ).reference
        asked = await self._ledger.effect(item.tenant, item.key)
        if asked is not None and asked.status == "confirmed" and asked.reference is not None:
            return asked.reference
        last, number = await self._last_attempt(item)
        if last is None and _is_in_doubt(asked):
            last = await self._ledger.begin_effect(self._attempt(item, number, status="unknown"))
            number += 1
            if self._desk.recognition is Recognition.NONE:
                raise FateUnknown(is_told=asked is not None and asked.status == "unknown")
        if last is not None and last.status == "confirmed" and last.reference is not None:
            return last.reference
        if last is not None and last.status in ("intent", "unknown"):
            found = await self._looked_up(item, last, asked)
            if found is not None:
                await self._reconcile(last, asked, found)
                return found.reference
            if self._mail is not None and self._mail.is_overdue(item):
                raise DependencyUnavailable(
                    self._guard.name, "it answers questions and takes nothing", reason="not_taken"
                )
        return await self._open(item, wanted, last, number, asked)

    async def _last_attempt(self, item: OutboxItem) -> tuple[EffectRecord | None, int]:
        """The newest attempt of the outbox, and the number of the next; each doubtful one is followed by a new one."""
        last: EffectRecord | None = None
        number = 1
        while (known := await self._ledger.effect(item.tenant, _key(item, number))) is not None:
            last = known
            number += 1
        return last, number

    async def _looked_up(
        self, item: OutboxItem, last: EffectRecord, asked: EffectRecord | None
    ) -> Ticket | None:
        if self._desk.recognition is Recognition.NONE:
            if item.attempts == 0:  # an operator has looked, and wants it opened
                return None
            raise FateUnknown(is_told=asked is not None and asked.status == "unknown")
        began_at = datetime.fromisoformat(last.arguments["at"])
        # Another worker, whose lease ran out, may be in the middle of its call.
        longest_seconds = self._guard.policy.attempt_seconds + self._settle_seconds
        early_seconds = longest_seconds - (self._clock.now() - began_at).total_seconds()
        if early_seconds > 0:
            raise DependencyUnavailable(
                self._guard.name, "too early to look", reason=SETTLING, retry_after=early_seconds
            )
        return await self._guard.run(lambda: self._desk.ticket_of(item.tenant, item.key), is_repeat=True)

    async def _open(
        self,
        item: OutboxItem,
        wanted: NewTicket,
        last: EffectRecord | None,
        number: int,
        asked: EffectRecord | None,
    ) -> str:
        plan = self._attempt(item, number, status="intent")
        begun: EffectRecord | None
        if last is not None and last.status == "failed":
            await self._ledger.finish_effect(dataclasses.replace(plan, key=last.key, step=last.step))
            begun = await self._ledger.effect(item.tenant, last.key)
        else:
            begun = await self._ledger.begin_effect(plan)
        if begun is None or begun.arguments["run"] != plan.arguments["run"]:
            # Its lease ran out while it worked on others: of two that begin, the ledger takes one.
            raise DependencyUnavailable(
                self._guard.name, "another worker is at it", reason=SETTLING, retry_after=1.0
            )
        try:
            ticket = await self._guard.run(
                lambda: put_on_desk(self._desk, item.tenant, wanted), may_repeat=False, is_repeat=True
            )
        except Exception as exc:  # noted in the ledger, then raised again
            is_unknown = fate_is_unknown(exc)
            status: Literal["unknown", "failed"] = "unknown" if is_unknown else "failed"
            await self._ledger.finish_effect(dataclasses.replace(begun, status=status))
            if not is_unknown:
                raise
            _log.warning("outbox.ticket_in_doubt", tenant=item.tenant, attempts=item.attempts)
            if self._desk.recognition is Recognition.NONE:
                raise FateUnknown(is_told=False) from exc
            raise DependencyUnavailable(
                self._guard.name, str(exc), reason=SETTLING, retry_after=self._settle_seconds
            ) from exc
        await self._reconcile(begun, asked, ticket)
        return ticket.reference

    async def _reconcile(self, own: EffectRecord, asked: EffectRecord | None, ticket: Ticket) -> None:
        """The turn's own record learns of it too, so that an operator finds no doubt that is settled."""
        await self._ledger.finish_effect(
            dataclasses.replace(own, status="confirmed", reference=ticket.reference)
        )
        if asked is not None and asked.status in ("queued", "unknown"):
            settled = dataclasses.replace(asked, status="confirmed", reference=ticket.reference)
            await self._ledger.finish_effect(settled)

    def _attempt(
        self, item: OutboxItem, number: int, *, status: Literal["intent", "unknown"]
    ) -> EffectRecord:
        return EffectRecord(
            tenant=item.tenant,
            key=_key(item, number),
            turn_id=item.key,
            step=number,
            tool=_TOOL,
            arguments={"run": new_id("run"), "at": self._clock.now().isoformat()},
            status=status,
        )


def _key(item: OutboxItem, number: int) -> str:
    return f"{item.key}:outbox:{number}"


def _is_in_doubt(asked: EffectRecord | None) -> bool:
    """Of the turn's own call. One that was planned in the journal alone was put off, and made by nobody."""
    return asked is not None and (
        asked.status == "unknown" or (asked.status == "intent" and not asked.is_journaled)
    )
