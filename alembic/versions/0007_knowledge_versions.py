"""
Audience and end of articles, what they were in earlier versions of the knowledge base, which of these is served, and what is
known of fetched pages.
"""

import time

import sqlalchemy as sa

from alembic import op

revision = "0007_knowledge_versions"
down_revision = "0006_control_plane"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("articles", sa.Column("audience", sa.String(), nullable=False, server_default="public"))
    op.add_column("articles", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("articles", sa.Column("version", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("knowledge_versions", sa.Column("served", sa.BigInteger(), nullable=True))
    op.create_table(
        "article_history",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("article_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("until_version", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "article_id", "version", name=op.f("pk_article_history")),
    )
    releases = op.create_table(
        "knowledge_releases",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("articles", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "version", name=op.f("pk_knowledge_releases")),
    )
    op.create_table(
        "fetched_pages",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "url", name=op.f("pk_fetched_pages")),
    )
    # What there is now can be returned to.
    versions = sa.table("knowledge_versions", sa.column("tenant"), sa.column("version"))
    articles = sa.table("articles", sa.column("tenant"))
    count = sa.select(sa.func.count()).where(articles.c.tenant == versions.c.tenant).scalar_subquery()
    now = int(time.time() * 1_000_000)
    op.execute(
        sa.insert(releases).from_select(
            ["tenant", "version", "at", "articles", "note"],
            sa.select(
                versions.c.tenant, versions.c.version, sa.literal(now, sa.BigInteger()), count, sa.literal("")
            ),
        )
    )


def downgrade() -> None:
    op.drop_table("fetched_pages")
    op.drop_table("knowledge_releases")
    op.drop_table("article_history")
    op.drop_column("knowledge_versions", "served")
    for column in ("version", "expires_at", "audience"):
        op.drop_column("articles", column)
