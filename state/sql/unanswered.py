"""
Questions that customers asked and that no article answered, from the recorded turns.

Reads every turn of a time: for an operator, not for a turn.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from core.messages import ActionStatus, MessageRole, TurnResult
from state.codec import decode
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import messages, turns

_SEARCH = "search_knowledge"


class UnansweredTurn(NamedTuple):
    question: str
    asked_at: datetime
    conversation_id: str


class SqlUnansweredTurns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, tenant: str, moment: datetime | None, *, limit: int) -> Sequence[UnansweredTurn]:
        """The newest `limit` turns that searched the articles, cited none, and came to nothing else; newest first."""
        query = (
            sa.select(turns.c.result, messages.c.text, messages.c.at, turns.c.conversation_id)
            .join(
                messages,
                (messages.c.tenant == turns.c.tenant)
                & (messages.c.conversation_id == turns.c.conversation_id)
                & (messages.c.seq >= turns.c.first_seq)
                & (messages.c.seq <= turns.c.last_seq),
            )
            .where(
                turns.c.tenant == tenant,
                turns.c.result.is_not(None),
                messages.c.role == MessageRole.CUSTOMER.value,
            )
            .order_by(messages.c.at.desc())
        )
        if moment is not None:
            query = query.where(messages.c.at >= moment)

        async def read(connection: Connection) -> Sequence[UnansweredTurn]:
            found = []
            for row in await connection.execute(query):
                if is_unanswered(decode(row.result, TurnResult)):
                    found.append(UnansweredTurn(row.text, row.at, row.conversation_id))
                    if len(found) == limit:
                        break
            return found

        return await self._database.scan(read)


def is_unanswered(result: TurnResult) -> bool:
    """A ticket that was opened, or an order that was looked up, is an answer of another kind."""
    if result.reply is None or result.reply.citations:
        return False
    searched = [action for action in result.actions if action.tool == _SEARCH]
    done = any(
        action.tool != _SEARCH and action.status in (ActionStatus.SUCCEEDED, ActionStatus.QUEUED)
        for action in result.actions
    )
    return any(action.status is ActionStatus.SUCCEEDED for action in searched) and not done
