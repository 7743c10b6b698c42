"""
Articles as ingested and as they were in the last versions of the knowledge base, the vectors of their texts, and which version
replicas are to build and serve.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from core.clock import Clock, SystemClock
from core.errors import NotFound
from core.identity import Audience
from core.records import Article, Release
from state.sql.connection import Connection
from state.sql.engine import Database
from state.sql.tables import (
    article_history,
    articles,
    embeddings,
    knowledge_releases,
    knowledge_versions,
)
from state.sql.types import insert

T = TypeVar("T")

_BATCH = 200
_KEPT_VERSIONS = 10
"""What each tenant can return to; the space for it is what these versions changed."""
_COLUMNS = tuple(articles.columns)


class SqlArticles:
    """
    Changes are gathered under the version that comes next, and are served from the moment that it is released.

    A released version can be read and returned to until so many newer ones have come (`_KEPT_VERSIONS`).
    """

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def put(self, tenant: str, changed: Sequence[Article], *, release: bool = True) -> None:
        """Write articles over those with the same id; all or nothing."""

        async def write(connection: Connection) -> None:
            coming = await _coming_version(connection, tenant)
            for batch in _batches(changed):
                await _keep_history(connection, tenant, [one.article_id for one in batch], coming)
                await _put(connection, tenant, batch, coming)
            if release:
                await _release(connection, tenant, coming, at=self._clock.now(), note="")

        if changed:
            await self._database.write(write)

    async def remove(self, tenant: str, article_ids: Sequence[str], *, release: bool = True) -> None:
        async def write(connection: Connection) -> None:
            coming = await _coming_version(connection, tenant)
            for batch in _batches(article_ids):
                await _keep_history(connection, tenant, batch, coming)
                await connection.execute(
                    sa.delete(articles).where(articles.c.tenant == tenant, articles.c.article_id.in_(batch))
                )
            if release:
                await _release(connection, tenant, coming, at=self._clock.now(), note="")

        if article_ids:
            await self._database.write(write)

    async def release(self, tenant: str, *, note: str) -> int | None:
        async def write(connection: Connection) -> int | None:
            coming = await _coming_version(connection, tenant)
            if not await _has_changes(connection, tenant, coming):
                return None
            await _release(connection, tenant, coming, at=self._clock.now(), note=note)
            return coming

        return await self._database.write(write)

    async def all(self, tenant: str) -> Sequence[Article]:
        """By article_id."""

        async def read(connection: Connection) -> Sequence[Article]:
            found = await connection.execute(
                sa.select(articles).where(articles.c.tenant == tenant).order_by(articles.c.article_id)
            )
            return tuple(_article(row) for row in found)

        return await self._database.scan(read)

    async def at(self, tenant: str, version: int) -> Sequence[Article]:
        async def read(connection: Connection) -> Sequence[Article]:
            now, before = articles.c, article_history.c
            query = sa.union_all(
                sa.select(*_COLUMNS).where(now.tenant == tenant, now.version <= version),
                sa.select(*(before[column.name] for column in _COLUMNS)).where(
                    before.tenant == tenant, before.version <= version, before.until_version > version
                ),
            )
            return tuple(_article(row) for row in await connection.execute(query))

        return sorted(await self._database.scan(read), key=lambda article: article.article_id)

    async def version(self, tenant: str) -> int:
        """0 as long as nothing was ever ingested."""

        async def read(connection: Connection) -> int:
            row = await _versions_of(connection, tenant)
            return 0 if row is None else row.version if row.served is None else row.served

        return await self._database.read(read)

    async def releases(self, tenant: str) -> Sequence[Release]:
        async def read(connection: Connection) -> Sequence[Release]:
            row = await _versions_of(connection, tenant)
            if row is None:
                return ()
            served = row.version if row.served is None else row.served
            found = await connection.execute(
                sa.select(knowledge_releases)
                .where(knowledge_releases.c.tenant == tenant)
                .order_by(knowledge_releases.c.version.desc())
            )
            return tuple(
                Release(each.version, each.at, each.articles, each.note, each.version == served)
                for each in found
            )

        return await self._database.scan(read)

    async def serve(self, tenant: str, version: int) -> None:
        async def write(connection: Connection) -> None:
            newest = await _coming_version(connection, tenant) - 1
            known = sa.select(knowledge_releases.c.version).where(
                knowledge_releases.c.tenant == tenant, knowledge_releases.c.version == version
            )
            if (await connection.execute(known)).scalar_one_or_none() is None:
                raise NotFound(f"tenant {tenant} has no version {version} of its knowledge base any more")
            await connection.execute(
                sa.update(knowledge_versions)
                .where(knowledge_versions.c.tenant == tenant)
                .values(served=None if version == newest else version)
            )

        await self._database.write(write)

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


async def _coming_version(connection: Connection, tenant: str) -> int:
    """The one that changes belong to from now on; holds everyone else's changes up until the transaction ends."""
    statement = insert(connection.dialect, knowledge_versions).values(tenant=tenant, version=0)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[knowledge_versions.c.tenant],
            set_={"version": knowledge_versions.c.version},
        )
    )
    row = await _versions_of(connection, tenant)
    return 1 if row is None else int(row.version) + 1


async def _versions_of(connection: Connection, tenant: str) -> Any:
    query = sa.select(knowledge_versions).where(knowledge_versions.c.tenant == tenant)
    return (await connection.execute(query)).one_or_none()


async def _keep_history(connection: Connection, tenant: str, article_ids: Sequence[str], coming: int) -> None:
    """What was released stays readable; what came with the same version as its successor never was."""
    before = sa.select(*_COLUMNS, sa.literal(coming).label("until_version")).where(
        articles.c.tenant == tenant,
        articles.c.article_id.in_(article_ids),
        articles.c.version < coming,
    )
    names = [*(column.name for column in _COLUMNS), "until_version"]
    await connection.execute(sa.insert(article_history).from_select(names, before))


async def _put(connection: Connection, tenant: str, batch: Sequence[Article], version: int) -> None:
    statement = insert(connection.dialect, articles)
    statement = statement.on_conflict_do_update(
        index_elements=[articles.c.tenant, articles.c.article_id],
        set_={
            column.name: statement.excluded[column.name]
            for column in articles.columns
            if not column.primary_key
        },
    )
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
            "audience": article.audience.value,
            "expires_at": article.expires_at,
            "version": version,
        }
        for article in batch
    ]
    await connection.execute(statement, values)


async def _has_changes(connection: Connection, tenant: str, coming: int) -> bool:
    for table, column in ((articles, articles.c.version), (article_history, article_history.c.until_version)):
        query = sa.select(column).where(table.c.tenant == tenant, column >= coming).limit(1)
        if (await connection.execute(query)).first() is not None:
            return True
    return False


async def _release(connection: Connection, tenant: str, coming: int, *, at: datetime, note: str) -> None:
    """Serve it, which ends a rollback, and let go of what nobody can return to any more."""
    of_tenant = articles.c.tenant == tenant
    count = (await connection.execute(sa.select(sa.func.count()).where(of_tenant))).scalar_one()
    await connection.execute(
        sa.insert(knowledge_releases).values(tenant=tenant, version=coming, at=at, articles=count, note=note)
    )
    await connection.execute(
        sa.update(knowledge_versions)
        .where(knowledge_versions.c.tenant == tenant)
        .values(version=coming, served=None)
    )
    kept = (
        sa.select(knowledge_releases.c.version)
        .where(knowledge_releases.c.tenant == tenant)
        .order_by(knowledge_releases.c.version.desc())
        .limit(_KEPT_VERSIONS)
    )
    oldest = min((await connection.execute(kept)).scalars())
    await connection.execute(
        sa.delete(knowledge_releases).where(
            knowledge_releases.c.tenant == tenant, knowledge_releases.c.version < oldest
        )
    )
    await connection.execute(
        sa.delete(article_history).where(
            article_history.c.tenant == tenant, article_history.c.until_version <= oldest
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
        audience=Audience(row.audience),
        expires_at=row.expires_at,
        version=row.version,
    )
