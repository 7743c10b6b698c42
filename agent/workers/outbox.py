"""
Carry out the effects that turns have promised: claim what is due, do it under its own key, tell the customer.

The outbox knows what is due and who works on it; this loop decides only what becomes of each item.
"""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from core.clock import Clock
from core.errors import (
    CallerError,
    DependencyError,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    NetworkFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.ids import new_id, receipt_for
from core.records import EffectRecord, NewTicket, Notification, OutboxItem, OutboxKind
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from state.store import Outbox
from tools.classify import error_type_of, fate_is_unknown
from tools.ports import NotificationChannel, TicketDesk
from tools.sentences import result_sentence

_CLAIMED_AT_ONCE = 20
_LONGEST_EXPONENT = 16
_GIVE_BACK_SECONDS = 0.3

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
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._desk = desk
        self._channels = dict(channels)
        self._ticket_guard = guards["tickets"]
        self._notification_guard = guards["notifications"]
        self._clock = clock
        self._rng = rng
        self._owner = owner
        self._policy = policy if policy is not None else DispatchPolicy()
        self._observer = observer
        self._woken = asyncio.Event()
        self._unsettled: list[OutboxItem] = []
        """Claimed here; what became of them could not be written down yet."""

    def wake(self) -> None:
        """Look now: a dependency is back, or a turn has just promised something."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            try:
                worked = await self.work_once()
                await self._count()
            except Exception as exc:  # the loop must outlive an outbox that cannot be asked
                _log.warning(
                    "outbox.unreachable", error_type=error_type_of(exc).value, error=type(exc).__name__
                )
                worked = 0
            if worked < _CLAIMED_AT_ONCE:
                await self._rest()

    async def work_once(self) -> int:
        """Everything that is due, up to a handful; returns how many items were worked on."""
        await self._give_back()  # from the last time, when the outbox went away in the middle
        items = await self._outbox.claim(
            owner=self._owner, limit=_CLAIMED_AT_ONCE, lease_seconds=self._policy.lease_seconds
        )
        self._unsettled = list(items)
        for item in items:
            try:
                await self._deliver(item)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_GIVE_BACK_SECONDS):
                        await self._give_back()
                raise
            except Exception as exc:  # one item must not hold up those behind it
                await self._postpone_or_give_up(item, exc)
            self._unsettled.remove(item)
        return len(items)

    async def _give_back(self) -> None:
        """Nobody else gets them before the lease has run out."""
        if self._unsettled:
            await self._outbox.give_back(self._unsettled, owner=self._owner)
            self._unsettled = []

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
        Each step may be repeated: the desk knows the key, the note is kept once, so a crash between them
        costs nothing.
        """
        ticket = await self._ticket_guard.run(lambda: self._desk.open_ticket(item.tenant, wanted))
        await self._tell(item, "ticket_opened_later", reference=ticket.reference)
        await self._outbox.done(item, reference=ticket.reference)
        _log.info(
            "outbox.ticket_opened",
            receipt=receipt_for(item.key),
            reference=ticket.reference,
            attempts=item.attempts,
        )

    async def _send(self, item: OutboxItem, notification: Notification) -> None:
        """
        A channel does not know keys, so the ledger remembers that a sending began.

        One that began in an earlier life of this item and never ended is not begun again. Nor is one that a
        turn began: it was put off by another, which could not ask the ledger.
        """
        asked = await self._store.effect(item.tenant, item.key)
        if asked is not None and asked.status == "confirmed":
            await self._sent(item, asked.reference)
            return
        if asked is not None and (
            asked.status == "unknown" or (asked.status == "intent" and not asked.is_journaled)
        ):
            await self._give_up(item, error="fate_unknown", sentence="notification_unknown")
            return
        run = new_id("run")
        plan = EffectRecord(
            tenant=item.tenant,
            key=f"{item.key}:outbox",
            turn_id=item.key,
            step=item.attempts,
            tool="notify",
            arguments={"run": run},
        )
        begun = await self._store.begin_effect(plan)
        if begun.status == "confirmed":
            await self._sent(item, begun.reference)
            return
        if begun.status == "unknown" or (begun.status == "intent" and begun.arguments.get("run") != run):
            await self._give_up(item, error="fate_unknown", sentence="notification_unknown")
            return
        if begun.status == "failed":
            await self._store.finish_effect(dataclasses.replace(begun, status="intent"))
        try:
            reference = await self._notification_guard.run(
                lambda: self._channel(notification).send(notification), may_repeat=False
            )
        except Exception as exc:  # noted in the ledger, then raised again
            status: Literal["unknown", "failed"] = "unknown" if fate_is_unknown(exc) else "failed"
            await self._store.finish_effect(dataclasses.replace(begun, status=status))
            if status == "unknown":
                await self._give_up(item, error="fate_unknown", sentence="notification_unknown")
                return
            raise
        await self._store.finish_effect(dataclasses.replace(begun, status="confirmed", reference=reference))
        await self._sent(item, reference)

    async def _sent(self, item: OutboxItem, reference: str | None) -> None:
        await self._tell(item, "notification_sent_later")
        await self._outbox.done(item, reference=reference)
        _log.info(
            "outbox.notification_sent",
            receipt=receipt_for(item.key),
            reference=reference,
            attempts=item.attempts,
        )

    async def _postpone_or_give_up(self, item: OutboxItem, exc: Exception) -> None:
        error_type = error_type_of(exc)
        if _is_hopeless(exc) or (_counts(exc) and item.attempts >= self._policy.most_attempts):
            sentence = "ticket_given_up" if item.kind is OutboxKind.TICKET else "notification_given_up"
            await self._give_up(item, error=error_type, sentence=sentence)
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

    async def _give_up(self, item: OutboxItem, *, error: str, sentence: str) -> None:
        """Loudly: from here on only a person can keep the promise."""
        _log.error(
            "outbox.given_up",
            receipt=receipt_for(item.key),
            kind=item.kind.value,
            tenant=item.tenant,
            conversation_id=item.conversation_id,
            attempts=item.attempts,
            error_type=error,
        )
        await self._tell(item, sentence)
        await self._outbox.dead(item, error=error)

    async def _tell(self, item: OutboxItem, sentence: str, **facts: object) -> None:
        try:
            await self._store.append_note(
                item.tenant,
                item.conversation_id,
                key=f"{item.key}:{sentence}",
                text=result_sentence(sentence, item.locale, receipt=receipt_for(item.key), **facts),
                at=self._clock.now(),
            )
        except NotFound:
            _log.info("outbox.conversation_gone", receipt=receipt_for(item.key))

    def _channel(self, notification: Notification) -> NotificationChannel:
        channel = self._channels.get(notification.channel)
        if channel is None:
            raise ToolMisconfigured("a promised notification names a channel that is not set up any more")
        return channel

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
            for task in (timer, woken):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _is_hopeless(exc: Exception) -> bool:
    """The item itself is wrong: no repeat and no recovery changes that."""
    return isinstance(
        exc, DependencyRejectedInput | CallerError | msgspec.ValidationError
    ) and not isinstance(exc, RateLimited)


def _counts(exc: Exception) -> bool:
    """Whether the failure says something about the item, and not only that its dependency is away."""
    return not isinstance(
        exc, DependencyUnavailable | DependencyTimeout | NetworkFailed | RateLimited | OSError
    )
