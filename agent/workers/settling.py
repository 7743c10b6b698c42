"""
An operator's view of what was promised, and the operator's word on it, which the customer hears in the conversation.

What happened to an effect is decided by `state.sql.operator_queue`; here it is put into words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from core.clock import Clock
from core.errors import Conflict, InvalidInput, NotFound
from core.ids import receipt_for
from core.records import OutboxItem, OutboxKind
from core.telemetry.logging import get_logger
from state.sql.operator_queue import SqlOperatorQueue, UnknownEffect, Verdict
from state.sql.outbox import OutboxEntry, SqlOutbox
from tools.sentences import result_sentence

FATE_UNKNOWN = "fate_unknown"
FOR_TEAM = "handoff"
"""`Promise.kind` of what tells the team that a conversation was handed over: no customer hears of it."""
STATUSES = ("due", "unknown", "dead", "done", "dropped")

_KINDS = {"open_ticket": OutboxKind.TICKET, "notify": OutboxKind.NOTIFICATION}
"""The tools whose effects the outbox can carry out."""
_SENTENCES = {
    (OutboxKind.TICKET, Verdict.DONE): "ticket_opened_later",
    (OutboxKind.TICKET, Verdict.DROP): "ticket_given_up",
    (OutboxKind.NOTIFICATION, Verdict.DONE): "notification_sent_later",
    (OutboxKind.NOTIFICATION, Verdict.DROP): "notification_given_up",
}
_OF_ANY_TOOL = {Verdict.DONE: "effect_done", Verdict.DROP: "effect_dropped"}

_log = get_logger(__name__)


class Notes(Protocol):
    """Part of the conversation store."""

    async def append_note(
        self, tenant: str, conversation_id: str, *, key: str, text: str, at: datetime
    ) -> None: ...


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of `careline outbox list`. `status` is one of `STATUSES`: `unknown` and `dead` wait for a person. `kind` is an
    outbox's kind, else the tool's name. `check` says what to look for where the fate is unknown.
    """

    tenant: str
    key: str
    receipt: str
    kind: str
    status: str
    conversation_id: str
    attempts: int
    created_at: datetime | None
    due_at: datetime | None = None
    settled_at: datetime | None = None
    is_leased: bool = False
    reference: str | None = None
    error: str | None = None
    decision: str | None = None
    check: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    promise: Promise
    locale: str
    adopted: OutboxItem | None
    """What the outbox shall have, where it knows nothing of the effect yet."""
    in_outbox: bool


class OutboxDesk:
    def __init__(self, outbox: SqlOutbox, queue: SqlOperatorQueue, notes: Notes, *, clock: Clock) -> None:
        self._outbox = outbox
        self._queue = queue
        self._notes = notes
        self._clock = clock

    async def promises(
        self, *, status: str | None = None, kind: str | None = None, tenant: str | None = None, limit: int
    ) -> Sequence[Promise]:
        """Newest first; those that nobody waits for any more (`done`, `dropped`) only where `status` asks for them."""
        found = [each.promise for each in await self._all(tenant)]
        wanted = (status,) if status is not None else ("due", "unknown", "dead")
        return [each for each in found if each.status in wanted and kind in (None, each.kind)][:limit]

    async def done(self, named: str, reference: str, *, tenant: str | None = None) -> tuple[Promise, bool]:
        """It has happened, as somebody has found out, under this reference. As `drop`."""
        return await self._decide(named, Verdict.DONE, tenant, reference=reference, reason="found done")

    async def retry(self, named: str, *, tenant: str | None = None) -> Promise:
        """
        It has not happened, and shall be tried again: now, with its attempts forgotten.

        Raises:
            InvalidInput: a tool's effect that the outbox cannot carry out.
            NotFound, Conflict: as `drop`.
        """
        promise, _ = await self._decide(named, Verdict.RETRY, tenant)
        return promise

    async def drop(self, named: str, reason: str, *, tenant: str | None = None) -> tuple[Promise, bool]:
        """
        It shall not happen. `named` is a key or a receipt number. Returns what was decided on, and whether the customer was
        told: False where the conversation is gone, or was only the team to be told.

        Raises:
            NotFound: there is no such promise.
            Conflict: it is done, somebody works on it now, or two tenants have one of that name.
        """
        return await self._decide(named, Verdict.DROP, tenant, reason=reason)

    async def _decide(
        self,
        named: str,
        verdict: Verdict,
        tenant: str | None,
        *,
        reference: str | None = None,
        reason: str | None = None,
    ) -> tuple[Promise, bool]:
        found = await self._one(named, tenant)
        promise = found.promise
        if verdict is Verdict.RETRY and found.adopted is None and not found.in_outbox:
            raise InvalidInput(f"{promise.kind} is carried out by turns only: do it by hand, or drop it")
        await self._queue.decide(
            promise.tenant, promise.key, verdict, reference=reference, reason=reason, adopted=found.adopted
        )
        _log.info("outbox.decided", receipt=promise.receipt, kind=promise.kind, verdict=verdict.value)
        return promise, verdict is Verdict.RETRY or await self._tell(found, verdict, reference)

    async def _tell(self, found: _Found, verdict: Verdict, reference: str | None) -> bool:
        """Once for each outcome: a decision that is said again, because this failed, says nothing twice."""
        promise = found.promise
        if promise.kind == FOR_TEAM:
            return False
        known = [kind for kind in OutboxKind if kind == promise.kind]
        sentence = _SENTENCES[known[0], verdict] if known else _OF_ANY_TOOL[verdict]
        try:
            await self._notes.append_note(
                promise.tenant,
                promise.conversation_id,
                key=f"{promise.key}:{sentence}",
                text=result_sentence(sentence, found.locale, receipt=promise.receipt, reference=reference),
                at=self._clock.now(),
            )
        except NotFound:
            return False
        return True

    async def _one(self, named: str, tenant: str | None) -> _Found:
        same = [each for each in await self._all(tenant) if named in (each.promise.key, each.promise.receipt)]
        if not same:
            raise NotFound(f"nothing was promised under {named}")
        if len(same) > 1:
            raise Conflict(f"{named} names several: {', '.join(each.promise.tenant for each in same)}")
        return same[0]

    async def _all(self, tenant: str | None) -> Sequence[_Found]:
        entries = [_of_entry(each) for each in await self._outbox.entries(tenant=tenant, limit=None)]
        unknown = [_of_effect(each) for each in await self._queue.unknown(tenant=tenant)]
        return sorted(
            (*entries, *unknown),
            key=lambda each: (at.timestamp() if (at := each.promise.created_at) else 0.0, each.promise.key),
            reverse=True,
        )


def _of_entry(entry: OutboxEntry) -> _Found:
    item = entry.item
    is_unknown = entry.status == "dead" and entry.error == FATE_UNKNOWN
    promise = Promise(
        tenant=item.tenant,
        key=item.key,
        receipt=receipt_for(item.key),
        kind=FOR_TEAM if item.is_for_team else item.kind.value,
        status="unknown" if is_unknown else entry.status,
        conversation_id=item.conversation_id,
        attempts=item.attempts,
        created_at=entry.created_at,
        due_at=entry.due_at if entry.status == "due" else None,
        settled_at=entry.settled_at,
        is_leased=entry.is_leased,
        reference=entry.reference,
        error=entry.error,
        decision=entry.decision,
        check=_check(item.kind.value, item.payload) if is_unknown else None,
    )
    return _Found(promise, item.locale, None, in_outbox=True)


def _of_effect(found: UnknownEffect) -> _Found:
    effect = found.effect
    kind = _KINDS.get(effect.tool)
    intent = effect.arguments.get("intent", {})
    name = kind.value if kind is not None else effect.tool
    promise = Promise(
        tenant=effect.tenant,
        key=effect.key,
        receipt=receipt_for(effect.key),
        kind=name,
        status="unknown",
        conversation_id=found.conversation_id,
        attempts=1,
        created_at=found.asked_at,
        error=FATE_UNKNOWN,
        check=_check(name, intent),
    )
    adopted = None
    if kind is not None:
        adopted = OutboxItem(
            key=effect.key,
            kind=kind,
            tenant=effect.tenant,
            conversation_id=found.conversation_id,
            payload=intent,
            locale=found.locale,
        )
    return _Found(promise, found.locale, adopted, in_outbox=False)


def _check(kind: str, payload: object) -> str:
    """What to look for, and where. Names the address: an operator cannot look without it."""
    known = payload if isinstance(payload, dict) else {}
    if kind == OutboxKind.NOTIFICATION:
        return (
            f"Look in the sent messages of the channel {known.get('channel')!r} for one to {known.get('address')!r} "
            f"with the subject {known.get('subject')!r}."
        )
    if kind == OutboxKind.TICKET:
        return (
            "Look in the ticket desk, and in the mailbox where tickets go by e-mail, for one with the subject "
            f"{known.get('subject')!r}."
        )
    return f"Look in the system behind the tool {kind!r} whether this has happened: {known!r}"
