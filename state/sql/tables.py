"""
The tables. Every key begins with the tenant; migrations live in `alembic/versions`.

Three groups may live in three databases: the record itself, the company's customers, and its tickets.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from state.sql.types import Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

conversations = Table(
    "conversations",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("conversation_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("locale", String),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("last_user", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("state", LargeBinary),
    Column("state_version", BigInteger, nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_owner", String),
    Column("lease_until", BigInteger),
    Column("running_turn", String),
    Column("handed_over_until", Instant),
)
Index(
    "ix_conversations_unanswered",
    conversations.c.lease_until,
    sqlite_where=text("answered < last_user"),
    postgresql_where=text("answered < last_user"),
)

messages = Table(
    "messages",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("conversation_id", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", String, nullable=False),
    Column("role", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("turn_id", String),
    Column("client_message_id", String),
    Column("extras", LargeBinary),
    ForeignKeyConstraint(
        ["tenant", "conversation_id"], ["conversations.tenant", "conversations.conversation_id"]
    ),
    # A customer's message_id is derived from the client's own id of it, so this is what makes resending harmless.
    UniqueConstraint("tenant", "conversation_id", "message_id"),
)

turns = Table(
    "turns",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("turn_id", String, primary_key=True),
    Column("conversation_id", String, nullable=False),
    Column("customer_id", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("durability", String, nullable=False),
    Column("token", BigInteger),
    Column("result", LargeBinary),
    ForeignKeyConstraint(
        ["tenant", "conversation_id"], ["conversations.tenant", "conversations.conversation_id"]
    ),
)
Index(
    "ix_turns_unanswered",
    turns.c.tenant,
    turns.c.conversation_id,
    turns.c.first_seq,
    sqlite_where=text("result IS NULL"),
    postgresql_where=text("result IS NULL"),
)

customer_state = Table(
    "customer_state",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

effects = Table(
    "effects",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("turn_id", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("tool", String, nullable=False),
    Column("status", String, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index(None, effects.c.at)

# What listeners on other replicas follow; a row of run 0 asks the turn to stop.
turn_events = Table(
    "turn_events",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("turn_id", String, primary_key=True),
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index(None, turn_events.c.at)

turn_explanations = Table(
    "turn_explanations",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("turn_id", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index(None, turn_explanations.c.at)

# What tools and models answered in a turn, in full, so that it can be replayed without them.
turn_recordings = Table(
    "turn_recordings",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("turn_id", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index(None, turn_recordings.c.at)

feedback = Table(
    "feedback",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("conversation_id", String, primary_key=True),
    Column("turn_id", String, primary_key=True),
    Column("given_by", String, primary_key=True),
    Column("score", Integer),
    Column("thumbs", String),
    Column("comment", Text),
    Column("at", Instant, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("conversation_id", String, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("locale", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("lease_owner", String),
    Column("lease_until", BigInteger),
    Column("reference", String),
    Column("error", Text),
    Column("settled_at", BigInteger),
    Column("decision", Text),
    Column("recipient", String),
)
Index(
    "ix_outbox_due",
    outbox.c.due_at,
    sqlite_where=text("status = 'due'"),
    postgresql_where=text("status = 'due'"),
)
Index(
    "ix_outbox_recipient",
    outbox.c.tenant,
    outbox.c.recipient,
    sqlite_where=text("status = 'due'"),
    postgresql_where=text("status = 'due'"),
)

# What was sent lately, by digests: recipients and texts are only recognised, never read.
sendings = Table(
    "sendings",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("channel", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("text", String, nullable=False),
    Column("status", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("reference", String),
)
Index(None, sendings.c.recipient, sendings.c.at)
Index(None, sendings.c.at)

# The next free slot of each channel.
paces = Table(
    "paces",
    metadata,
    Column("channel", String, primary_key=True),
    Column("next_at", Instant, nullable=False),
)

# Addresses that do not work, as a channel was told. A customer record with another address is not concerned.
refused_addresses = Table(
    "refused_addresses",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("channel", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("at", Instant, nullable=False),
)

# As last ingested; `version` is the first of the knowledge base's that has them so. What is newer than the newest version of
# `knowledge_versions` belongs to an ingest that has not ended.
articles = Table(
    "articles",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("article_id", String, primary_key=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("url", Text),
    Column("category", String),
    Column("language", String, nullable=False),
    Column("source", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("updated_at", Instant),
    Column("audience", String, nullable=False, server_default="public"),
    Column("expires_at", Instant),
    Column("version", BigInteger, nullable=False, server_default="0"),
)
Index(None, articles.c.tenant, articles.c.source)

# What articles were before: from `version` on, until `until_version` came.
article_history = Table(
    "article_history",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("article_id", String, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("until_version", BigInteger, nullable=False),
    *(
        Column(column.name, column.type, nullable=column.nullable)
        for column in articles.columns
        if column.name not in {"tenant", "article_id", "version"}
    ),
)

# `served` is None while that is the newest version, and another one after a rollback.
knowledge_versions = Table(
    "knowledge_versions",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("served", BigInteger),
)

knowledge_releases = Table(
    "knowledge_releases",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("articles", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

# What is known of the pages of a site, so that the next visit asks only for what is new.
fetched_pages = Table(
    "fetched_pages",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("url", String, primary_key=True),
    Column("record", LargeBinary, nullable=False),
)

# The same text has the same vector whoever wrote it: the one table without a tenant that is not a secret.
embeddings = Table(
    "embeddings",
    metadata,
    Column("model", String, primary_key=True),
    Column("content_hash", String, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("customer_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("email", String),
    Column("phone", String),
    Column("locale", String),
    Column("timezone", String),
    Column("attributes", JSON, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("order_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("status", String, nullable=False),
    Column("items", JSON, nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("tracking", String),
    Column("expected_at", Instant),
    ForeignKeyConstraint(["tenant", "customer_id"], ["customers.tenant", "customers.customer_id"]),
)
Index(None, orders.c.tenant, orders.c.customer_id, orders.c.placed_at)

tickets = Table(
    "tickets",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("key", String, nullable=False),
    Column("receipt", String, nullable=False),
    Column("customer_id", String),
    Column("conversation_id", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("contact", String),
    Column("status", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("tenant", "key"),
)
Index(None, tickets.c.tenant, tickets.c.customer_id, tickets.c.number)
