"""
What only a person can decide: effects whose fate is unknown, and the decision on them and on items of the outbox.

A decision changes the outbox's row and the ledger's plans in one transaction; the customer is told by whoever asks for it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.records import EffectRecord, OutboxItem
from state.codec import decode, encode
from state.sql.commit import put_outbox
from state.sql.connection import Connection
from state.sql.effects import stored_effect
from state.sql.engine import Database
from state.sql.sending_order import let_next_go
from state.sql.tables import conversations, effects, messages, outbox, turns
from state.sql.types import database_now, instant

OF_A_SENDING = ":outbox"
"""Ends the key under which the outbox's dispatcher notes that it began to carry out an item."""
_DECIDED = "decision"


class Verdict(StrEnum):
    DONE = "done"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEffect:
    """A tool call of a turn that may or may not have happened, and that no item of the outbox stands for."""

    effect: EffectRecord
    conversation_id: str
    locale: str
    asked_at: datetime | None


class SqlOperatorQueue:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def unknown(self, *, tenant: str | None = None) -> Sequence[UnknownEffect]:
        """Newest first. Reads the whole ledger: for an operator, not for a turn."""
        query = (
            sa.select(effects.c.record, turns.c.conversation_id, conversations.c.locale, messages.c.at)
            .join(turns, (turns.c.tenant == effects.c.tenant) & (turns.c.turn_id == effects.c.turn_id))
            .join(
                conversations,
                (conversations.c.tenant == turns.c.tenant)
                & (conversations.c.conversation_id == turns.c.conversation_id),
            )
            .outerjoin(
                messages,
                (messages.c.tenant == turns.c.tenant)
                & (messages.c.conversation_id == turns.c.conversation_id)
                & (messages.c.seq == turns.c.first_seq),
            )
            .where(
                effects.c.status == "unknown",
                ~sa.exists().where(outbox.c.tenant == effects.c.tenant, outbox.c.key == effects.c.key),
            )
            .order_by(messages.c.at.desc())
        )
        if tenant is not None:
            query = query.where(effects.c.tenant == tenant)

        async def read(connection: Connection) -> Sequence[UnknownEffect]:
            found = [
                UnknownEffect(
                    effect=decode(row.record, EffectRecord),
                    conversation_id=row.conversation_id,
                    locale=row.locale or "en",
                    asked_at=row.at,
                )
                for row in await connection.execute(query)
            ]
            return [each for each in found if _DECIDED not in each.effect.value]

        return await self._database.scan(read)

    async def decide(
        self,
        tenant: str,
        key: str,
        verdict: Verdict,
        *,
        reference: str | None = None,
        reason: str | None = None,
        adopted: OutboxItem | None = None,
    ) -> None:
        """
        `adopted` is the item that the outbox shall have for an effect that it knows nothing of. The same decision again
        changes nothing.

        Raises:
            NotFound: nothing stands under the key.
            Conflict: it is done already, or somebody works on it now.
        """

        async def write(connection: Connection) -> None:
            if adopted is not None:
                await put_outbox(connection, adopted)
            row = (
                await connection.execute(
                    sa.select(outbox, (outbox.c.lease_until > database_now()).label("leased"))
                    .where(outbox.c.tenant == tenant, outbox.c.key == key)
                    .with_for_update()
                )
            ).one_or_none()
            plan = await stored_effect(connection, tenant=tenant, key=key)
            if row is None and plan is None:
                raise NotFound(f"nothing stands under {key}")
            if row is not None:
                _refuse_what_cannot_be(row, verdict, reference)
                await _settle(connection, row, verdict, reference=reference, reason=reason)
            for noted in (plan, await stored_effect(connection, tenant=tenant, key=key + OF_A_SENDING)):
                if noted is not None:
                    await _correct(connection, noted, verdict, reference=reference, reason=reason)

        await self._database.write(write)


def _refuse_what_cannot_be(row: sa.Row[Any], verdict: Verdict, reference: str | None) -> None:
    if row.status == "due" and row.leased:
        until = instant(row.lease_until).isoformat(timespec="seconds")
        raise Conflict(f"a worker has it until {until}; look again then", reason="leased")
    if row.status == "done" and not (verdict is Verdict.DONE and row.reference == reference):
        raise Conflict(f"it is done already, reference {row.reference or '(none)'}", reason="done")


async def _settle(
    connection: Connection,
    row: sa.Row[Any],
    verdict: Verdict,
    *,
    reference: str | None,
    reason: str | None,
) -> None:
    if verdict is Verdict.DROP and row.status == "dropped":
        return  # with the reason that was given first
    values: Mapping[str, Any]
    match verdict:
        case Verdict.DONE:
            values = {"status": "done", "reference": reference, "settled_at": database_now()}
        case Verdict.RETRY:
            values = {
                "status": "due",
                "due_at": database_now(),
                "attempts": -1,
                "settled_at": None,
                "decision": None,
            }
        case Verdict.DROP:
            values = {"status": "dropped", "settled_at": database_now()}
    said = {} if reason is None else {"decision": reason}
    await connection.execute(
        sa.update(outbox)
        .where(outbox.c.tenant == row.tenant, outbox.c.key == row.key)
        .values(lease_owner=None, lease_until=None, **values, **said)
    )
    if verdict is not Verdict.RETRY:
        await let_next_go(connection, row.tenant, row.recipient)


async def _correct(
    connection: Connection,
    noted: EffectRecord,
    verdict: Verdict,
    *,
    reference: str | None,
    reason: str | None,
) -> None:
    """What an operator has found out stands above what a run could tell, so the usual order of outcomes does not hold here."""
    if noted.status not in ("unknown", "intent"):
        return
    told = {**noted.value, _DECIDED: reason or verdict.value}
    match verdict:
        case Verdict.DONE:
            told |= {"status": "succeeded", "reference": reference} if noted.value else {}
            corrected = dataclasses.replace(noted, status="confirmed", reference=reference, value=told)
        case Verdict.RETRY:
            is_sending = noted.key.endswith(OF_A_SENDING)
            corrected = dataclasses.replace(noted, status="failed" if is_sending else "queued")
        case Verdict.DROP:
            corrected = dataclasses.replace(noted, value=told)
    await connection.execute(
        sa.update(effects)
        .where(effects.c.tenant == noted.tenant, effects.c.key == noted.key)
        .values(status=corrected.status, record=encode(corrected), at=database_now())
    )
