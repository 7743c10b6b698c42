"""
Open what the settings name: databases, Redis, and every store on them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.clock import Clock
from core.resilience.interference import Interference
from core.settings import Settings
from state.events import RecoveringTurnEvents
from state.recovery import RecoveryTimes, StateRecoveryHandler
from state.secrets import SharedSecrets
from state.sql.control import SqlControlStore
from state.sql.conversations import SqlConversationStore
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database, async_url
from state.sql.events import SqlTurnEvents
from state.sql.explanations import SqlExplanations, SqlFeedback
from state.sql.handoffs import SqlHandoffs
from state.sql.knowledge import SqlArticles, SqlEmbeddings
from state.sql.migrate import Branch, upgrade
from state.sql.notifications import SqlNotificationLog
from state.sql.outbox import SqlOutbox
from state.sql.pages import SqlPages
from state.sql.secrets import SqlSecrets
from state.sql.tickets import SqlTicketDesk
from state.store import CallGuard, TurnEvents

if TYPE_CHECKING:
    from state.redis.copy import RedisStateCopy
    from state.redis.journal import RedisJournal
    from state.redis.opening import OpensRedis, RedisStores
    from state.redis.probes import RedisProbePermits


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenState:
    """
    `copy` and `journal` are None where no Redis is configured. `database`, `customers_database` and `tickets_database` have a
    `ping`.
    """

    conversations: StateRecoveryHandler
    events: TurnEvents
    handoffs: SqlHandoffs
    outbox: SqlOutbox
    notifications: SqlNotificationLog
    customers: SqlCustomerDirectory
    tickets: SqlTicketDesk
    articles: SqlArticles
    embeddings: SqlEmbeddings
    pages: SqlPages
    secrets: SharedSecrets
    explanations: SqlExplanations
    recordings: SqlExplanations
    feedback: SqlFeedback
    control: SqlControlStore
    database: Database
    customers_database: Database
    tickets_database: Database
    copy: "RedisStateCopy | None"
    journal: "RedisJournal | None"
    probe_permits: "RedisProbePermits | None" = None


@dataclass(frozen=True, slots=True)
class Migration:
    """Of one database: what must not be asked of it before it has the tables of this version."""

    url: str
    branches: Mapping[str, Branch]

    @property
    def dependencies(self) -> Sequence[str]:
        return tuple(self.branches)

    async def run(self) -> None:
        """
        Raises:
            DependencyUnavailable: reason "unreachable" where it may yet answer; else it refuses us.
        """
        await asyncio.to_thread(upgrade, self.url, branches=tuple(self.branches.values()))


def migrations(settings: Settings) -> Sequence[Migration]:
    """One for each configured database."""
    own = {"sql": Branch.RECORD}
    found = []
    for dependency, url, branch in (
        ("customers", settings.customers_database_url, Branch.CUSTOMERS),
        ("tickets", settings.tickets_database_url, Branch.TICKETS),
    ):
        if url is None:
            own[dependency] = branch
        elif (
            dependency != "customers" or settings.customers_sql is None
        ):  # the company's own tables are not ours to change
            found.append(Migration(url, {dependency: branch}))
    return (*found, Migration(settings.database_url, own))


def customers_setting(settings: Settings) -> str:
    """The variable that names the database with the customers."""
    own = settings.customers_database_url
    return "CARELINE_DATABASE_URL" if own is None else "CARELINE_CUSTOMERS_DATABASE_URL"


def is_in_process(url: str) -> bool:
    """Whether a database is a file that this process reads by itself."""
    return async_url(url).get_backend_name() == "sqlite"


def empty_record(path: Path) -> None:
    """A file with all tables of this version, and nothing in them. Blocking."""
    upgrade(f"sqlite:///{path}")


async def migrate(settings: Settings) -> None:
    """Bring every configured database to the tables of this version. Raises as `Migration.run`."""
    for migration in migrations(settings):
        await migration.run()


@asynccontextmanager
async def open_state(
    settings: Settings,
    *,
    sql: CallGuard,
    redis: CallGuard,
    clock: Clock,
    owner: str,
    interference: Interference | None = None,
    redis_clients: "OpensRedis | None" = None,
) -> AsyncIterator[OpenState]:
    """
    Connects to nothing yet: what is down is found out when it is first asked. `owner` names this replica in its leases.
    `redis_clients` gives another Redis than the one at the settings' address.
    """
    async with AsyncExitStack() as closing:

        def opened(url: str | None, dependency: str) -> Database:
            if url is None:
                return database.named(dependency)
            extra = Database(
                url,
                timeout_seconds=settings.sql_seconds(url),
                dependency=dependency,
                connections=settings.sql_connections,
                is_foreign=dependency == "customers" and settings.customers_sql is not None,
                clock=clock,
                interference=interference,
            )
            closing.push_async_callback(extra.close)
            return extra

        database = opened(settings.database_url, "sql")
        customers_database = opened(settings.customers_database_url, "customers")
        tickets_database = opened(settings.tickets_database_url, "tickets")
        events: TurnEvents = SqlTurnEvents(database, clock=clock)
        in_redis = await _open_redis(
            settings, owner=owner, clock=clock, clients=redis_clients, closing=closing
        )
        if in_redis is not None:
            events = RecoveringTurnEvents(in_redis.events, events, clock=clock)
        copy = in_redis.copy if in_redis is not None else None
        journal = in_redis.journal if in_redis is not None else None
        yield OpenState(
            conversations=StateRecoveryHandler(
                SqlConversationStore(database, owner=owner, lease_seconds=settings.lease_seconds),
                sql=sql,
                clock=clock,
                copy=copy,
                journal=journal,
                redis=redis if copy is not None else None,
                ping_sql=database.ping,
                is_sql_local=database.is_sqlite,
                times=RecoveryTimes(
                    intake_seconds=settings.intake_seconds,
                    intake_sql_seconds=settings.intake_sql_seconds,
                    ping_seconds=settings.sql_ping_seconds,
                    copy_seconds=settings.copy_timeout_seconds,
                    pause_seconds=settings.redis_pause_seconds,
                ),
            ),
            events=events,
            handoffs=SqlHandoffs(database),
            outbox=SqlOutbox(database),
            notifications=SqlNotificationLog(database),
            customers=SqlCustomerDirectory(customers_database),
            tickets=SqlTicketDesk(tickets_database, clock=clock),
            articles=SqlArticles(database, clock=clock),
            embeddings=SqlEmbeddings(database),
            pages=SqlPages(database),
            secrets=SharedSecrets(SqlSecrets(database), in_redis.secrets if in_redis is not None else None),
            explanations=SqlExplanations(database),
            recordings=SqlExplanations.of_recordings(database),
            feedback=SqlFeedback(database),
            control=SqlControlStore(database),
            database=database,
            customers_database=customers_database,
            tickets_database=tickets_database,
            copy=copy,
            journal=journal,
            probe_permits=in_redis.probe_permits if in_redis is not None else None,
        )


async def _open_redis(
    settings: Settings,
    *,
    owner: str,
    clock: Clock,
    clients: "OpensRedis | None",
    closing: AsyncExitStack,
) -> "RedisStores | None":
    if settings.redis_url is None:
        return None
    # The client takes 6 MB, which nobody without Redis needs.
    from state.redis.opening import open_redis_stores

    return await closing.enter_async_context(
        open_redis_stores(settings.redis_url, settings, owner=owner, clock=clock, clients=clients)
    )
