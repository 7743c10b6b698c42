"""
Conversations as they were, for whoever takes them out of the record: page by page, in the order of their keys.

Each page is a transaction of its own, and no statement reads more than a page, however many conversations or messages there are.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from core.messages import Message, TurnResult
from state.sql import rows
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import conversations, turn_explanations, turn_recordings, turns

_CONVERSATIONS = 200
_MESSAGES = 500


class Wanted(NamedTuple):
    """Which conversations: None does not narrow. `since` and `until` are the times between which one was spoken in."""

    tenant: str | None = None
    conversation_id: str | None = None
    customer_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class PastConversation(NamedTuple):
    tenant: str
    conversation_id: str
    customer_id: str
    channel: str
    locale: str | None


class PastTurn(NamedTuple):
    """`explanation` and `recording` are for whoever wrote them; None where none is kept."""

    result: TurnResult | None
    explanation: bytes | None
    recording: bytes | None


class SqlHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversations(self, wanted: Wanted) -> AsyncIterator[PastConversation]:
        after: tuple[str, str] | None = None
        while page := await self._page(wanted, after):
            for each in page:
                yield each
            after = (page[-1].tenant, page[-1].conversation_id)

    async def messages(
        self, tenant: str, conversation_id: str
    ) -> AsyncIterator[tuple[Sequence[Message], Mapping[str, PastTurn]]]:
        """Oldest first, some at a time, each time with the turns that they belong to."""
        after = 0
        while True:
            found, turns_of = await self._messages(tenant, conversation_id, after)
            if not found:
                return
            yield found, turns_of
            after = found[-1].seq

    async def _page(self, wanted: Wanted, after: tuple[str, str] | None) -> Sequence[PastConversation]:
        table = conversations.c
        query = sa.select(
            table.tenant, table.conversation_id, table.customer_id, table.channel, table.locale
        ).order_by(table.tenant, table.conversation_id)
        for column, value in (
            (table.tenant, wanted.tenant),
            (table.conversation_id, wanted.conversation_id),
            (table.customer_id, wanted.customer_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if wanted.since is not None:
            query = query.where(table.updated_at >= wanted.since)
        if wanted.until is not None:
            query = query.where(table.created_at < wanted.until)
        if after is not None:
            query = query.where(sa.tuple_(table.tenant, table.conversation_id) > sa.tuple_(*after))

        async def read(connection: Connection) -> Sequence[PastConversation]:
            found = await connection.execute(query.limit(_CONVERSATIONS))
            return [PastConversation(*row) for row in found]

        return await self._database.scan(read)

    async def _messages(
        self, tenant: str, conversation_id: str, after: int
    ) -> tuple[Sequence[Message], Mapping[str, PastTurn]]:
        async def read(connection: Connection) -> tuple[Sequence[Message], Mapping[str, PastTurn]]:
            # seq has no gaps, so a range of it is a limit.
            found = await rows.messages_between(
                connection, tenant, conversation_id, after=after, upto=after + _MESSAGES
            )
            ids = {message.turn_id for message in found if message.turn_id is not None}
            return found, await _turns(connection, tenant, ids)

        return await self._database.scan(read)


async def _turns(connection: Connection, tenant: str, ids: set[str]) -> Mapping[str, PastTurn]:
    query = (
        sa.select(
            turns.c.turn_id,
            turns.c.result,
            turn_explanations.c.body.label("explanation"),
            turn_recordings.c.body.label("recording"),
        )
        .outerjoin(
            turn_explanations,
            (turn_explanations.c.tenant == turns.c.tenant) & (turn_explanations.c.turn_id == turns.c.turn_id),
        )
        .outerjoin(
            turn_recordings,
            (turn_recordings.c.tenant == turns.c.tenant) & (turn_recordings.c.turn_id == turns.c.turn_id),
        )
        .where(turns.c.tenant == tenant, turns.c.turn_id.in_(sorted(ids)))
    )
    return {
        row.turn_id: PastTurn(rows.result_of(row.result), row.explanation, row.recording)
        for row in await connection.execute(query)
    }
