"""
What is known of the pages of a site that was read, so that the next visit asks only for what is new.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import fetched_pages
from state.sql.types import insert

_BATCH = 200


class SqlPages:
    """What is known of fetched pages, by source and address; opaque here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, tenant: str, source: str) -> Mapping[str, bytes]:
        async def read(connection: Connection) -> Mapping[str, bytes]:
            query = sa.select(fetched_pages.c.url, fetched_pages.c.record).where(
                fetched_pages.c.tenant == tenant, fetched_pages.c.source == source
            )
            return {row.url: row.record for row in await connection.execute(query)}

        return await self._database.scan(read)

    async def keep(self, tenant: str, source: str, pages: Mapping[str, bytes]) -> None:
        async def write(connection: Connection) -> None:
            statement = insert(connection.dialect, fetched_pages)
            statement = statement.on_conflict_do_update(
                index_elements=[fetched_pages.c.tenant, fetched_pages.c.source, fetched_pages.c.url],
                set_={"record": statement.excluded.record},
            )
            await connection.execute(
                statement,
                [
                    {"tenant": tenant, "source": source, "url": url, "record": record}
                    for url, record in pages.items()
                ],
            )

        if pages:
            await self._database.write(write)

    async def forget(self, tenant: str, source: str, urls: Sequence[str]) -> None:
        async def write(connection: Connection) -> None:
            for start in range(0, len(urls), _BATCH):
                await connection.execute(
                    sa.delete(fetched_pages).where(
                        fetched_pages.c.tenant == tenant,
                        fetched_pages.c.source == source,
                        fetched_pages.c.url.in_(urls[start : start + _BATCH]),
                    )
                )

        if urls:
            await self._database.write(write)
