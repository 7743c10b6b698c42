"""
What a person does to a conversation: find those that wait, speak in one, give it back to the agent.

Each change is one transaction on the conversation's locked row, and finds what its first try left. It adds a message, so no copy
from before is complete any more. Goes through `state.recovery`, which puts it behind what the journal holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from core.errors import NotFound
from core.messages import Message, MessageRole
from state.identifiers import note_id, operator_message_id
from state.sql import rows
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.rows import Row
from state.sql.tables import conversations, messages
from state.sql.types import microseconds
from state.store import ConversationRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """A conversation that is with a person, with the customer's last words; `is_answered`: a person has written since."""

    conversation: ConversationRecord
    last_words: str
    said_at: datetime
    is_answered: bool


@dataclass(frozen=True, slots=True)
class Said:
    """
    `is_new` is False where the same words were said to the same message before; `took_over`: until now, the agent had the
    conversation.
    """

    message: Message
    is_new: bool
    took_over: bool = False


class SqlHandoffs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, *, now: datetime, tenant: str | None = None, limit: int) -> Sequence[Handoff]:
        """
        Those without an answer first, and of these whoever waits longest. Reads all conversations: for a person, not for a turn.
        """
        later = messages.alias()
        is_answered = sa.exists().where(
            later.c.tenant == conversations.c.tenant,
            later.c.conversation_id == conversations.c.conversation_id,
            later.c.seq > conversations.c.last_user,
            later.c.role == MessageRole.OPERATOR,
        )
        query = (
            sa.select(
                conversations,
                messages.c.text.label("last_words"),
                messages.c.at.label("said_at"),
                is_answered.label("is_answered"),
            )
            .join(
                messages,
                (messages.c.tenant == conversations.c.tenant)
                & (messages.c.conversation_id == conversations.c.conversation_id)
                & (messages.c.seq == conversations.c.last_user),
            )
            .where(conversations.c.handed_over_until > now)
            .order_by("is_answered", "said_at")
            .limit(limit)
        )
        if tenant is not None:
            query = query.where(conversations.c.tenant == tenant)

        async def read(connection: Connection) -> Sequence[Handoff]:
            return tuple(_handoff(row) for row in await connection.execute(query))

        return await self._database.scan(read)

    async def say(
        self, tenant: str, conversation_id: str, *, text: str, until: datetime, at: datetime
    ) -> Said:
        """
        Once for the same words to the same message of the customer. The conversation is with the person for no less than `until`,
        also where the agent had it.

        Raises:
            NotFound: no such conversation.
        """

        async def write(connection: Connection) -> Said:
            row = await _locked(connection, tenant, conversation_id)
            message_id = operator_message_id(tenant, conversation_id, text, last_user=row.last_user)
            stored = await rows.stored_message(connection, tenant, conversation_id, message_id)
            if stored is not None:
                return Said(stored, is_new=False)
            said = Message(
                message_id=message_id, seq=row.head + 1, role=MessageRole.OPERATOR, text=text, at=at
            )
            await rows.insert_message(connection, row, said)
            known, took_over = row.handed_over_until, not _is_with_a_person(row)
            await rows.update_conversation(
                connection,
                row,
                head=said.seq,
                updated_at=at,
                handed_over_until=until if known is None else max(known, until),
            )
            return Said(said, is_new=True, took_over=took_over)

        return await self._database.write(write)

    async def give_back(
        self, tenant: str, conversation_id: str, *, at: datetime, note: Callable[[str | None], str]
    ) -> bool:
        """
        The agent answers again, and the customer reads the `note` for their language. False where the agent has it already.

        Raises:
            NotFound: no such conversation.
        """

        async def write(connection: Connection) -> bool:
            row = await _locked(connection, tenant, conversation_id)
            if not _is_with_a_person(row):
                return False
            seq = row.head + 1
            said = Message(
                message_id=note_id(tenant, conversation_id, f"given_back:{seq}"),
                seq=seq,
                role=MessageRole.SYSTEM,
                text=note(_locale_of(row)),
                at=at,
            )
            await rows.insert_message(connection, row, said)
            await rows.update_conversation(
                connection,
                row,
                head=seq,
                updated_at=at,
                handed_over_until=None,
            )
            return True

        return await self._database.write(write)


async def _locked(connection: Connection, tenant: str, conversation_id: str) -> Row:
    row = await rows.conversation_row(connection, tenant, conversation_id, lock=True)
    if row is None:
        raise NotFound(f"no conversation {conversation_id} of tenant {tenant}")
    return row


def _is_with_a_person(row: Row) -> bool:
    return row.handed_over_until is not None and microseconds(row.handed_over_until) > row.now


def _locale_of(row: Row) -> str | None:
    """The language of the last turn, where that was in this conversation; else what the conversation began with."""
    known = rows.customer_state_of(row)
    if known.last_conversation_id == row.conversation_id and known.locale is not None:
        return known.locale
    locale: str | None = row.locale
    return locale or known.locale


def _record(row: sa.Row[Any]) -> ConversationRecord:
    """SQLAlchemy's row has the same attributes as the driver's."""
    return rows.record_of(cast("Row", row))


def _handoff(row: sa.Row[Any]) -> Handoff:
    return Handoff(
        conversation=_record(row),
        last_words=row.last_words,
        said_at=row.said_at,
        is_answered=bool(row.is_answered),
    )
