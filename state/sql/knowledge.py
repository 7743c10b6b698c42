"""
Articles as ingested, the vectors of their texts, and a counter that tells replicas when an index has to be built again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from core.records import Article
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import articles, embeddings, knowledge_versions
from state.sql.types import insert

T = TypeVar("T")

_BATCH = 200


class SqlArticles:
    """Every change of a tenant's articles moves its version by one, in the same transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, tenant: str, changed: Sequence[Article]) -> None:
        """Write articles over those with the same id; all or nothing."""

        async def write(connection: Connection) -> None:
            await _put(connection, tenant, changed)
            await _next_version(connection, tenant)

        if changed:
            await self._database.write(write)

    async def remove(self, tenant: str, article_ids: Sequence[str]) -> None:
        async def write(connection: Connection) -> None:
            for batch in _batches(article_ids):
                await connection.execute(
                    sa.delete(articles).where(articles.c.tenant == tenant, articles.c.article_id.in_(batch))
                )
            await _next_version(connection, tenant)

        if article_ids:
            await self._database.write(write)

    async def replace_source(self, tenant: str, source: str, current: Sequence[Article]) -> None:
        """Make `current` all that there is of a source: what is missing from it is removed."""

        async def write(connection: Connection) -> None:
            await connection.execute(
                sa.delete(articles).where(articles.c.tenant == tenant, articles.c.source == source)
            )
            await _put(connection, tenant, current)
            await _next_version(connection, tenant)

        await self._database.write(write)

    async def hashes(self, tenant: str, *, source: str | None = None) -> Mapping[str, str]:
        """article_id → content_hash."""

        async def read(connection: Connection) -> Mapping[str, str]:
            query = sa.select(articles.c.article_id, articles.c.content_hash).where(
                articles.c.tenant == tenant
            )
            if source is not None:
                query = query.where(articles.c.source == source)
            return {row.article_id: row.content_hash for row in await connection.execute(query)}

        return await self._database.scan(read)

    async def all(self, tenant: str) -> Sequence[Article]:
        """By article_id."""

        async def read(connection: Connection) -> Sequence[Article]:
            found = await connection.execute(
                sa.select(articles).where(articles.c.tenant == tenant).order_by(articles.c.article_id)
            )
            return tuple(_article(row) for row in found)

        return await self._database.scan(read)

    async def version(self, tenant: str) -> int:
        """0 as long as nothing was ever ingested."""

        async def read(connection: Connection) -> int:
            query = sa.select(knowledge_versions.c.version).where(knowledge_versions.c.tenant == tenant)
            return (await connection.execute(query)).scalar_one_or_none() or 0

        return await self._database.read(read)

    async def tenants(self) -> Sequence[str]:
        """Every tenant that ever ingested something."""

        async def read(connection: Connection) -> Sequence[str]:
            query = sa.select(knowledge_versions.c.tenant).order_by(knowledge_versions.c.tenant)
            return tuple((await connection.execute(query)).scalars())

        return await self._database.scan(read)


class SqlEmbeddings:
    """Vectors by model and hash of the embedded text, so that the same text is never embedded twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_many(self, model: str, content_hashes: Sequence[str]) -> Mapping[str, bytes]:
        """content_hash → vector; those not known are left out."""

        async def read(connection: Connection) -> Mapping[str, bytes]:
            found: dict[str, bytes] = {}
            for batch in _batches(content_hashes):
                query = sa.select(embeddings.c.content_hash, embeddings.c.vector).where(
                    embeddings.c.model == model, embeddings.c.content_hash.in_(batch)
                )
                found.update({row.content_hash: row.vector for row in await connection.execute(query)})
            return found

        return await self._database.scan(read)

    async def put_many(self, model: str, vectors: Mapping[str, bytes]) -> None:
        for batch in _batches(list(vectors)):
            await self._database.write(_writing_vectors(model, {key: vectors[key] for key in batch}))


def _writing_vectors(model: str, vectors: Mapping[str, bytes]) -> Any:
    async def write(connection: Connection) -> None:
        values = [
            {"model": model, "content_hash": content_hash, "vector": vector}
            for content_hash, vector in vectors.items()
        ]
        await connection.execute(insert(connection.dialect, embeddings).on_conflict_do_nothing(), values)

    return write


async def _put(connection: Connection, tenant: str, changed: Sequence[Article]) -> None:
    statement = insert(connection.dialect, articles)
    statement = statement.on_conflict_do_update(
        index_elements=[articles.c.tenant, articles.c.article_id],
        set_={
            column.name: statement.excluded[column.name]
            for column in articles.columns
            if not column.primary_key
        },
    )
    for batch in _batches(changed):
        values = [
            {
                "tenant": tenant,
                "article_id": article.article_id,
                "title": article.title,
                "body": article.body,
                "url": article.url,
                "category": article.category,
                "language": article.language,
                "source": article.source,
                "content_hash": article.content_hash,
                "updated_at": article.updated_at,
            }
            for article in batch
        ]
        await connection.execute(statement, values)


async def _next_version(connection: Connection, tenant: str) -> None:
    await connection.execute(
        insert(connection.dialect, knowledge_versions)
        .values(tenant=tenant, version=1)
        .on_conflict_do_update(
            index_elements=[knowledge_versions.c.tenant],
            set_={"version": knowledge_versions.c.version + 1},
        )
    )


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Databases bound the number of parameters of a statement."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _article(row: sa.Row[Any]) -> Article:
    return Article(
        article_id=row.article_id,
        title=row.title,
        body=row.body,
        url=row.url,
        category=row.category,
        language=row.language,
        source=row.source,
        content_hash=row.content_hash,
        updated_at=row.updated_at,
    )
