"""
Carry out the effects that turns have promised: claim what is due, do it under its own key, tell the customer.

The outbox knows what is due and who works on it; this loop decides only what becomes of each item.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from agent.workers.sending import NotificationSender
from agent.workers.ticket_fallback import FateUnknown, TicketFallback, is_outage
from agent.workers.tickets import TicketDelivery
from core.clock import Clock
from core.errors import (
    CallerError,
    CarelineError,
    DependencyError,
    DependencyRejectedInput,
    NotFound,
    RateLimited,
)
from core.ids import receipt_for
from core.records import EffectRecord, NewTicket, Notification, OutboxItem, OutboxKind
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from state.store import Outbox
from tools.classify import error_type_of, is_for_an_operator, said_of
from tools.ports import NotificationChannel, TicketDesk
from tools.sending import SendingRules
from tools.sentences import result_sentence

_CLAIMED_AT_ONCE = 20
_LONGEST_EXPONENT = 16
_GIVE_BACK_SECONDS = 0.5

_log = get_logger(__name__)


class Notes(Protocol):
    """
    Where the customer is told, and where a sending is noted before it begins. Part of the conversation store.
    """

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None: ...

    async def effect(self, tenant: str, key: str) -> EffectRecord | None: ...

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord: ...

    async def finish_effect(self, effect: EffectRecord) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchPolicy:
    """
    `most_attempts` counts for items that are refused for what they are. An outage alone gives up on nothing:
    such items are tried again, at most `longest_wait_seconds` apart, for as long as it lasts.
    """

    poll_seconds: float = 2.0
    lease_seconds: float = 60.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    most_attempts: int = 12
    settle_seconds: float = 10.0
    """After a call of unknown fate, before the desk is asked what became of it: what is late has arrived by then."""


class OutboxObserver(Protocol):
    """Hears what is left after each look. `core.telemetry.metrics` implements it."""

    def outbox_counted(self, *, waiting: int, dead: int) -> None: ...


class OutboxDispatcher:
    """Any number may run, in one process or many: the outbox gives no item to two of them."""

    def __init__(
        self,
        outbox: Outbox,
        store: Notes,
        *,
        desk: TicketDesk,
        channels: Mapping[str, NotificationChannel],
        guards: Mapping[str, Guard],
        clock: Clock,
        rng: random.Random,
        owner: str,
        policy: DispatchPolicy | None = None,
        observer: OutboxObserver | None = None,
        rules: SendingRules | None = None,
        fallback: TicketFallback | None = None,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._sender = NotificationSender(store, channels, guards, rules)
        self._clock = clock
        self._rng = rng
        self._owner = owner
        self._policy = policy if policy is not None else DispatchPolicy()
        self._tickets = TicketDelivery(
            desk,
            store,
            guard=guards["tickets"],
            clock=clock,
            settle_seconds=self._policy.settle_seconds,
            most_attempts=self._policy.most_attempts,
            fallback=fallback,
        )
        self._observer = observer
        self._woken = asyncio.Event()
        self._leaving = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._at_work = 0
        self._unsettled: list[OutboxItem] = []
        """Claimed here; what became of them could not be written down yet."""

    def wake(self) -> None:
        """Look now: a dependency is back, or a turn has just promised something."""
        self._woken.set()

    async def leave(self, seconds: float) -> None:
        """
        Begin nothing more and give back what has not been begun; what is under way has `seconds` to end, since a sending that is
        cut short leaves doubt. Asked again, it waits no longer.
        """
        if self._leaving.is_set():
            return
        self._leaving.set()
        self._woken.set()
        with contextlib.suppress(TimeoutError, CarelineError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
                await self._give_back()  # what a slow outbox did not take back at once

    async def run(self) -> None:
        """Until cancelled, or told to leave."""
        while not self._leaving.is_set():
            self._woken.clear()
            try:
                worked = await self.work_once()
                await self._count()
            except Exception as exc:  # the loop must outlive an outbox that cannot be asked
                _log.warning(
                    "outbox.unreachable", error_type=error_type_of(exc).value, error=type(exc).__name__
                )
                worked = 0
            if worked < _CLAIMED_AT_ONCE and not self._leaving.is_set():
                await self._rest()

    async def work_once(self) -> int:
        """Everything that is due, up to a handful; returns how many items were worked on."""
        await self._give_back()  # from the last time, when the outbox went away in the middle
        return await self._work(
            await self._outbox.claim(
                owner=self._owner, limit=_CLAIMED_AT_ONCE, lease_seconds=self._policy.lease_seconds
            )
        )

    async def work_on(self, tenant: str, key: str) -> int:
        """This item, if it is due and nobody has it; as many at a time as are asked for. Returns whether it was, as 0 or 1."""
        if self._leaving.is_set():
            return 0
        return await self._work(
            await self._outbox.claim_one(
                tenant, key, owner=self._owner, lease_seconds=self._policy.lease_seconds
            )
        )

    async def _work(self, items: Sequence[OutboxItem]) -> int:
        left = list(items)
        self._at_work += 1
        self._idle.clear()
        try:
            while left and not self._leaving.is_set():
                # Those before it may have taken longer than the lease: somebody else may be at it.
                if len(left) == len(items) or await self._is_still_ours(left[0]):
                    await self._settle(left[0])
                left.pop(0)
        finally:
            self._unsettled += left
            if left:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_GIVE_BACK_SECONDS):
                        await self._give_back()
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()
        return len(items)

    async def _is_still_ours(self, item: OutboxItem) -> bool:
        return await self._outbox.renew_claim(
            item, owner=self._owner, lease_seconds=self._policy.lease_seconds
        )

    async def _settle(self, item: OutboxItem) -> None:
        try:
            await self._deliver(item)
        except Exception as exc:  # one item must not hold up those behind it
            await self._postpone_or_give_up(item, exc)

    async def _give_back(self) -> None:
        """Nobody else gets them before the lease has run out."""
        items, self._unsettled = self._unsettled, []
        try:
            if items:
                await self._outbox.give_back(items, owner=self._owner)
        except BaseException:
            self._unsettled += items
            raise

    async def _count(self) -> None:
        if self._observer is not None:
            backlog = await self._outbox.backlog()
            self._observer.outbox_counted(waiting=backlog.waiting, dead=backlog.dead)

    async def _deliver(self, item: OutboxItem) -> None:
        match item.kind:
            case OutboxKind.TICKET:
                await self._open_ticket(item, msgspec.convert(item.payload, type=NewTicket))
            case OutboxKind.NOTIFICATION:
                await self._send(item, msgspec.convert(item.payload, type=Notification))

    async def _open_ticket(self, item: OutboxItem, wanted: NewTicket) -> None:
        """
        Each step may be repeated: the delivery opens a key once, the note is kept once, so a crash between
        them costs nothing.
        """
        try:
            delivered = await self._tickets.deliver(item, wanted)
        except FateUnknown as doubt:
            sentence = None if doubt.is_told else "ticket_unknown"
            await self._give_up(item, error="fate_unknown", sentence=sentence)
            return
        await self._tell(item, delivered.sentence, reference=delivered.reference)
        await self._done(item, delivered.reference)
        _log.info(
            "outbox.ticket_opened",
            receipt=receipt_for(item.key),
            reference=delivered.reference,
            attempts=item.attempts,
        )

    async def _send(self, item: OutboxItem, notification: Notification) -> None:
        outcome = await self._sender.send(item, notification)
        match outcome.answer:
            case "sent":
                await self._sent(item, outcome.reference)
            case "wait":
                await self._outbox.defer(item, wait_seconds=outcome.wait_seconds, why=outcome.why)
                _log.info(
                    "outbox.deferred",
                    receipt=receipt_for(item.key),
                    why=outcome.why,
                    wait_seconds=round(outcome.wait_seconds, 3),
                )
            case _:
                await self._give_up(item, error="fate_unknown", sentence="notification_unknown")

    async def _sent(self, item: OutboxItem, reference: str | None) -> None:
        await self._tell(item, "notification_sent_later")
        await self._done(item, reference)
        _log.info(
            "outbox.notification_sent",
            receipt=receipt_for(item.key),
            reference=reference,
            attempts=item.attempts,
        )

    async def _postpone_or_give_up(self, item: OutboxItem, exc: Exception) -> None:
        error_type = error_type_of(exc)
        if _is_hopeless(exc) or (_counts(item, exc) and item.attempts >= self._policy.most_attempts):
            sentence = "ticket_given_up" if item.kind is OutboxKind.TICKET else "notification_given_up"
            await self._give_up(item, error=said_of(exc), sentence=sentence, error_type=error_type.value)
            return
        wait_seconds = self._wait_seconds(item, exc)
        _log.warning(
            "outbox.retry_scheduled",
            receipt=receipt_for(item.key),
            kind=item.kind.value,
            attempts=item.attempts,
            wait_seconds=round(wait_seconds, 3),
            error_type=error_type.value,
            error=type(exc).__name__,
        )
        await self._outbox.retry(item, wait_seconds=wait_seconds, error=error_type)

    async def _give_up(
        self, item: OutboxItem, *, error: str, sentence: str | None, error_type: str | None = None
    ) -> None:
        """
        Loudly: from here on only a person can keep the promise. Without a `sentence` the customer knows already; `error_type` is
        for the log where `error` quotes somebody.
        """
        _log.error(
            "outbox.given_up",
            receipt=receipt_for(item.key),
            kind=item.kind.value,
            tenant=item.tenant,
            conversation_id=item.conversation_id,
            attempts=item.attempts,
            error_type=error_type or error,
        )
        if sentence is not None:
            await self._tell(item, sentence)
        if await self._outbox.dead(item, error=error):
            self.wake()

    async def _done(self, item: OutboxItem, reference: str | None) -> None:
        if await self._outbox.done(item, reference=reference):
            self.wake()

    async def _tell(self, item: OutboxItem, sentence: str, **facts: object) -> None:
        if item.is_for_team:
            return
        try:
            await self._store.append_note(
                item.tenant,
                item.conversation_id,
                key=f"{item.key}:{sentence}",
                text=result_sentence(sentence, item.locale, receipt=receipt_for(item.key), **facts),
                at=self._clock.now(),
            )
        except NotFound:
            _log.debug("outbox.conversation_gone", receipt=receipt_for(item.key))

    def _wait_seconds(self, item: OutboxItem, exc: Exception) -> float:
        policy = self._policy
        doubled = policy.first_wait_seconds * 2.0 ** min(max(item.attempts - 1, 0), _LONGEST_EXPONENT)
        wait_seconds = min(doubled, policy.longest_wait_seconds) * self._rng.uniform(0.5, 1.0)
        told = exc.retry_after if isinstance(exc, DependencyError | RateLimited) else None
        return max(wait_seconds, min(told or 0.0, policy.longest_wait_seconds))

    async def _rest(self) -> None:
        """Until the next look is due, or somebody calls `wake`."""
        timer = asyncio.ensure_future(self._clock.sleep(self._policy.poll_seconds))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait((timer, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()
            # Awaited one by one, they would swallow a cancellation of the loop itself that comes just now.
            await asyncio.gather(timer, woken, return_exceptions=True)


def _is_hopeless(exc: Exception) -> bool:
    """The item itself is wrong: no repeat and no recovery changes that."""
    return isinstance(
        exc, DependencyRejectedInput | CallerError | msgspec.ValidationError
    ) and not isinstance(exc, RateLimited)


def _counts(item: OutboxItem, exc: Exception) -> bool:
    """
    Whether the failure says something about the item, and not only that its dependency is away; or, for a ticket, that an
    operator has to let us in again: a ticket is as good on Monday, a notification is not.
    """
    return not is_outage(exc) and not (item.kind is OutboxKind.TICKET and is_for_an_operator(exc))
