"""
Open what the settings name: databases, Redis, and every store on them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from core.clock import Clock
from core.settings import Settings
from state.events import RecoveringTurnEvents
from state.recovery import RecoveryTimes, StateRecoveryHandler
from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.durability import RedisDurability
from state.redis.events import LONGEST_BLOCK_SECONDS, RedisTurnEvents
from state.redis.journal import RedisJournal
from state.redis.journal_store import JOURNAL_TAG
from state.redis.secrets import RedisSecrets
from state.secrets import SharedSecrets
from state.sql.conversations import SqlConversationStore
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.events import SqlTurnEvents
from state.sql.knowledge import SqlArticles, SqlEmbeddings
from state.sql.migrate import Branch, upgrade
from state.sql.outbox import SqlOutbox
from state.sql.secrets import SqlSecrets
from state.sql.tickets import SqlTicketDesk
from state.store import CallGuard, TurnEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenState:
    """
    `copy` and `journal` are None where no Redis is configured. `database`, `customers_database` and `tickets_database` have a
    `ping`.
    """

    conversations: StateRecoveryHandler
    events: TurnEvents
    outbox: SqlOutbox
    customers: SqlCustomerDirectory
    tickets: SqlTicketDesk
    articles: SqlArticles
    embeddings: SqlEmbeddings
    secrets: SharedSecrets
    database: Database
    customers_database: Database
    tickets_database: Database
    copy: RedisStateCopy | None
    journal: RedisJournal | None


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
        else:
            found.append(Migration(url, {dependency: branch}))
    return (*found, Migration(settings.database_url, own))


async def migrate(settings: Settings) -> None:
    """Bring every configured database to the tables of this version. Raises as `Migration.run`."""
    for migration in migrations(settings):
        await migration.run()


@asynccontextmanager
async def open_state(
    settings: Settings, *, sql: CallGuard, redis: CallGuard, clock: Clock, owner: str
) -> AsyncIterator[OpenState]:
    """
    Connects to nothing yet: what is down is found out when it is first asked. `owner` names this replica in its leases.
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
            )
            closing.push_async_callback(extra.close)
            return extra

        database = opened(settings.database_url, "sql")
        customers_database = opened(settings.customers_database_url, "customers")
        tickets_database = opened(settings.tickets_database_url, "tickets")
        copy: RedisStateCopy | None = None
        journal: RedisJournal | None = None
        secret_copies: RedisSecrets | None = None
        events: TurnEvents = SqlTurnEvents(database, clock=clock)
        if settings.redis_url is not None:
            client = open_redis(
                settings.redis_url,
                timeout_seconds=settings.redis_timeout_seconds,
                connections=settings.redis_connections,
            )
            closing.push_async_callback(client.aclose)
            waiting = open_redis(
                settings.redis_url,
                timeout_seconds=settings.redis_timeout_seconds + LONGEST_BLOCK_SECONDS,
                connections=settings.redis_connections,
            )
            closing.push_async_callback(waiting.aclose)
            events = RecoveringTurnEvents(
                RedisTurnEvents(client, waiting, timeout_seconds=settings.redis_timeout_seconds),
                events,
                clock=clock,
            )
            copy = RedisStateCopy(
                client,
                timeout_seconds=settings.redis_timeout_seconds,
                lease_seconds=settings.lease_seconds,
            )
            secret_copies = RedisSecrets(client, timeout_seconds=settings.redis_timeout_seconds)
            journal = RedisJournal(
                client,
                copy,
                durability=RedisDurability(
                    client,
                    tag=JOURNAL_TAG,
                    timeout_seconds=settings.redis_timeout_seconds,
                    is_vouched_for=settings.redis_durability == "trusted",
                ),
                owner=owner,
                lease_seconds=settings.lease_seconds,
                timeout_seconds=settings.redis_timeout_seconds,
            )
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
            outbox=SqlOutbox(database),
            customers=SqlCustomerDirectory(customers_database),
            tickets=SqlTicketDesk(tickets_database, clock=clock),
            articles=SqlArticles(database),
            embeddings=SqlEmbeddings(database),
            secrets=SharedSecrets(SqlSecrets(database), secret_copies),
            database=database,
            customers_database=customers_database,
            tickets_database=tickets_database,
            copy=copy,
            journal=journal,
        )
