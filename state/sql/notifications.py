"""
What was sent lately, how fast each channel may go on, and which addresses do not work.

Every question that two replicas may ask at once is answered in one transaction that holds the channel's row.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from core.notification_rules import SendingRate
from core.records import Admission
from state.sql.connection import Connection, Query
from state.sql.engine import Database
from state.sql.sending_order import A_REPEAT, BEHIND_ANOTHER, due_ahead_of
from state.sql.tables import paces, refused_addresses, sendings
from state.sql.types import insert, insert_or_ignore, insert_or_update, instant

_SETTLED_AFTER = timedelta(minutes=2)
"""Whoever began to send that long ago, and has not said what came of it, will not say it any more."""
_LATE = timedelta(seconds=10)
"""A slot that was not used by then is lost: after a stop, all the slots that went by would be used at once."""
_LOOK_AGAIN_SECONDS = 2.0
"""Whoever waits for another is let go when that is settled, if it is one of the outbox's; this is for all else."""
_LONGEST_LOOK_SECONDS = 60.0

_FIRST_PACE = insert_or_ignore(paces)
_PUT_PACE = insert_or_update(paces, paces.c.channel, over=("next_at",))
_PUT_SENDING = insert_or_update(
    sendings,
    sendings.c.tenant,
    sendings.c.key,
    over=("channel", "recipient", "text", "status", "at", "reference"),
)
_PUT_REFUSAL = Query(lambda dialect: insert(dialect, refused_addresses).on_conflict_do_nothing())


class SqlNotificationLog:
    """Implements `tools.ports.NotificationLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(
        self,
        tenant: str,
        key: str,
        *,
        channel: str,
        recipient: str,
        text: str,
        now: datetime,
        repeat_window: timedelta,
        rate: SendingRate,
    ) -> Admission:
        async def write(connection: Connection) -> Admission:
            next_at = await _locked_pace(connection, channel)
            own = (
                await connection.execute(
                    sa.select(sendings).where(sendings.c.tenant == tenant, sendings.c.key == key)
                )
            ).first()
            if own is not None and own.status == "sent":
                return Admission("sent", reference=own.reference)
            twin = await _twin(
                connection, tenant, key, recipient=recipient, text=text, since=now - repeat_window
            )
            if twin is not None:
                return _answer_of(twin, now=now)
            if (ahead := await due_ahead_of(connection, tenant, key, recipient=recipient)) is not None:
                seconds = (instant(ahead) - now).total_seconds()
                wait_seconds = min(max(seconds, _LOOK_AGAIN_SECONDS), _LONGEST_LOOK_SECONDS)
                return Admission("wait", wait_seconds, why=BEHIND_ANOTHER)
            status, at = "begun", now
            booked = own.at if own is not None and own.status == "booked" else None
            if rate.interval_seconds and not (booked is not None and booked <= now <= booked + _LATE):
                interval = timedelta(seconds=rate.interval_seconds)
                if booked is not None and now < booked:
                    return Admission("wait", (booked - now).total_seconds(), why="rate")
                slot = next_at - (rate.burst - 1) * interval
                await connection.write(
                    _PUT_PACE, {"channel": channel, "next_at": max(next_at, now) + interval}
                )
                if slot > now:
                    status, at = "booked", slot
            await connection.write(
                _PUT_SENDING,
                {
                    "tenant": tenant,
                    "key": key,
                    "channel": channel,
                    "recipient": recipient,
                    "text": text,
                    "status": status,
                    "at": at,
                    "reference": None,
                },
            )
            if status == "booked":
                return Admission("wait", (at - now).total_seconds(), why="rate")
            return Admission("go")

        return await self._database.write(write)

    async def settle(
        self,
        tenant: str,
        key: str,
        *,
        came_to: Literal["sent", "unknown", "not_sent"],
        reference: str | None = None,
    ) -> None:
        async def write(connection: Connection) -> None:
            mine = sa.and_(sendings.c.tenant == tenant, sendings.c.key == key, sendings.c.status != "sent")
            if came_to == "not_sent":
                await connection.execute(sa.delete(sendings).where(mine))
            else:
                await connection.execute(
                    sa.update(sendings).where(mine).values(status=came_to, reference=reference)
                )

        await self._database.write(write)

    async def refuse_address(
        self, tenant: str, *, channel: str, recipient: str, reason: str, at: datetime
    ) -> None:
        async def write(connection: Connection) -> None:
            await connection.write(
                _PUT_REFUSAL,
                {"tenant": tenant, "recipient": recipient, "channel": channel, "reason": reason, "at": at},
            )

        await self._database.write(write)

    async def refused_among(self, tenant: str, recipients: Collection[str]) -> frozenset[str]:
        async def read(connection: Connection) -> frozenset[str]:
            found = await connection.execute(
                sa.select(refused_addresses.c.recipient).where(
                    refused_addresses.c.tenant == tenant, refused_addresses.c.recipient.in_(recipients)
                )
            )
            return frozenset(row.recipient for row in found)

        return await self._database.read(read)

    async def allow_address(self, tenant: str, recipient: str) -> bool:
        async def write(connection: Connection) -> bool:
            gone = await connection.execute(
                sa.delete(refused_addresses).where(
                    refused_addresses.c.tenant == tenant, refused_addresses.c.recipient == recipient
                )
            )
            return bool(gone.rowcount)

        return await self._database.write(write)

    async def senders_to(self, recipient: str) -> Sequence[str]:
        async def read(connection: Connection) -> Sequence[str]:
            found = await connection.execute(
                sa.select(sendings.c.tenant)
                .where(sendings.c.recipient == recipient, sendings.c.status != "booked")
                .distinct()
            )
            return [row.tenant for row in found]

        return await self._database.read(read)

    async def forget(self, before: datetime) -> None:
        async def write(connection: Connection) -> None:
            await connection.execute(sa.delete(sendings).where(sendings.c.at < before))

        await self._database.write(write)


async def _locked_pace(connection: Connection, channel: str) -> datetime:
    await connection.write(_FIRST_PACE, {"channel": channel, "next_at": instant(0)})
    row = (
        await connection.execute(sa.select(paces).where(paces.c.channel == channel).with_for_update())
    ).one()
    next_at: datetime = row.next_at
    return next_at


async def _twin(
    connection: Connection, tenant: str, key: str, *, recipient: str, text: str, since: datetime
) -> "sa.Row[tuple[str, datetime, str | None]] | None":
    """The newest sending of the same text to the same address, but for those that only have a slot."""
    found = await connection.execute(
        sa.select(sendings.c.status, sendings.c.at, sendings.c.reference)
        .where(
            sendings.c.tenant == tenant,
            sendings.c.recipient == recipient,
            sendings.c.text == text,
            sendings.c.key != key,
            sendings.c.status != "booked",
            sendings.c.at > since,
        )
        .order_by(sendings.c.at.desc())
        .limit(1)
    )
    return found.first()


def _answer_of(twin: "sa.Row[tuple[str, datetime, str | None]]", *, now: datetime) -> Admission:
    if twin.status == "sent":
        return Admission("sent", reference=twin.reference)
    if twin.status == "begun" and twin.at > now - _SETTLED_AFTER:
        return Admission("wait", _LOOK_AGAIN_SECONDS, why=A_REPEAT)
    return Admission("doubtful")
