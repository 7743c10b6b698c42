"""
Why turns were answered as they were, by what, and what customers thought of the answers: what operators read, and no turn needs.
"""

from collections.abc import Sequence
from typing import Self

import sqlalchemy as sa

from core.explanation import KeptExplanation
from core.records import Feedback
from state.sql.connection import Connection, Query
from state.sql.engine import Database
from state.sql.tables import feedback, turn_explanations, turn_recordings
from state.sql.types import database_in, database_now, insert

_FORGOTTEN_AT_ONCE = 1000


class SqlExplanations:
    """Implements `agent.workers.explanations.ExplanationStore`; as `of_recordings`, for what was answered to turns."""

    def __init__(self, database: Database, table: sa.Table = turn_explanations) -> None:
        self._database = database
        self._table = table
        self._keep = Query(
            lambda dialect: insert(dialect, table).values(at=database_now()).on_conflict_do_nothing()
        )

    @classmethod
    def of_recordings(cls, database: Database) -> Self:
        return cls(database, turn_recordings)

    async def keep(self, explanations: Sequence[KeptExplanation]) -> None:
        async def write(connection: Connection) -> None:
            for each in explanations:
                values = {"tenant": each.tenant, "turn_id": each.turn_id, "body": each.body}
                await connection.write(self._keep, values)

        await self._database.write(write)

    async def explanation(self, tenant: str, turn_id: str) -> bytes | None:
        table = self._table.c
        query = sa.select(table.body).where(table.tenant == tenant, table.turn_id == turn_id)

        async def read(connection: Connection) -> bytes | None:
            return (await connection.execute(query)).scalar_one_or_none()

        return await self._database.read(read)

    async def forget(self, *, kept_seconds: float) -> int:
        """Delete what is older, up to a thousand; returns how many."""
        table = self._table.c
        old = (
            sa.select(table.tenant, table.turn_id)
            .where(table.at < database_in(-kept_seconds))
            .limit(_FORGOTTEN_AT_ONCE)
        )

        async def write(connection: Connection) -> int:
            deleted = await connection.execute(
                sa.delete(self._table).where(sa.tuple_(table.tenant, table.turn_id).in_(old))
            )
            return deleted.rowcount

        return await self._database.write(write)


class SqlFeedback:
    """Implements `agent.turn.inputs.FeedbackStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, tenant: str, given: Feedback) -> None:
        values = {
            "score": given.score,
            "thumbs": given.thumbs,
            "comment": given.comment,
            "at": given.at,
        }

        async def write(connection: Connection) -> None:
            statement = insert(connection.dialect, feedback).values(
                tenant=tenant,
                conversation_id=given.conversation_id,
                turn_id=given.turn_id,
                given_by=given.given_by,
                **values,
            )
            await connection.execute(
                statement.on_conflict_do_update(index_elements=list(feedback.primary_key), set_=values)
            )

        await self._database.write(write)

    async def of_turn(self, tenant: str, conversation_id: str, turn_id: str) -> Sequence[Feedback]:
        table = feedback.c
        query = (
            sa.select(table.given_by, table.score, table.thumbs, table.comment, table.at)
            .where(table.tenant == tenant, table.conversation_id == conversation_id, table.turn_id == turn_id)
            .order_by(table.at)
        )

        async def read(connection: Connection) -> Sequence[Feedback]:
            return [
                Feedback(
                    conversation_id=conversation_id,
                    turn_id=turn_id,
                    given_by=row.given_by,
                    score=row.score,
                    thumbs=row.thumbs,
                    comment=row.comment,
                    at=row.at,
                )
                for row in await connection.execute(query)
            ]

        return await self._database.read(read)
