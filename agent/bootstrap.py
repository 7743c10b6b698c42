"""
The composition root: the one place that knows which class does what, and in which order things open and close.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from agent.api.limits import rate_limits
from agent.api.parts import ServiceParts
from agent.brain.base import Brain
from agent.brain.embedded import EmbeddedBrain
from agent.brain.fallback import FallbackBrain
from agent.brain.llm import LlmBrain
from agent.models.base import ToolSpec
from agent.models.openai import OpenAiModel
from agent.replay.targets import InProcessTarget, ReplayTarget
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from agent.workers.drain import JournalDrain
from agent.workers.late_start import UNREACHABLE, LateStart
from agent.workers.outbox import OutboxDispatcher
from agent.workers.reindex import Reindexing
from agent.workers.supervise import supervised
from agent.workers.sweeper import Sweeper
from core.clock import Clock, SystemClock
from core.errors import CarelineError, DependencyUnavailable, NotFound
from core.http import make_client, make_model_client
from core.identity import DEFAULT_TENANT
from core.ids import new_id
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.resilience.retry import RetryBudget
from core.settings import Settings
from core.telemetry.logging import StructuredErrorLogger, get_logger
from core.telemetry.metrics import Metrics
from state.opening import OpenState, migrate, migrations, open_state
from state.redis.journal import RedisJournal
from tools.adapters.console import ConsoleChannel
from tools.adapters.smtp import SmtpChannel, SmtpServer
from tools.handler import ToolErrorHandler
from tools.knowledge.embed import Embedder, MiniLmEmbedder, load_embedder
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Ingestion
from tools.knowledge.search import LocalKnowledge
from tools.ports import NotificationChannel
from tools.registry import ToolRegistry, standard_tools

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Careline:
    """An open service. `parts` is what the HTTP interface needs; `ingestion` and `records` are for the commands."""

    settings: Settings
    clock: Clock
    turns: TurnPipeline
    parts: ServiceParts
    ingestion: Ingestion
    records: OpenState


def _guards(settings: Settings, *, clock: Clock, rng: random.Random, metrics: Metrics) -> Mapping[str, Guard]:
    """One per dependency, by its name; they share one budget for repeats."""
    budget = RetryBudget()
    guards = {
        name: Guard(name, policy, clock=clock, rng=rng, retry_budget=budget, observer=metrics)
        for name, policy in guard_policies(settings).items()
    }
    for guard in guards.values():
        guard.breaker.subscribe(lambda change: metrics.breaker_changed(change.name, state=change.after))
    return guards


@asynccontextmanager
async def open_careline(
    settings: Settings, *, library: Settings | None = None, may_wait: bool = False
) -> AsyncIterator[Careline]:
    """
    Everything open and running; closed in reverse order, turns first.

    `library` names the database with the articles where it is not this one: a replay's scratch database has none. `may_wait`:
    databases that are away are waited for, while it serves what it can without them.

    Raises:
        CarelineError: a database is away, refuses us, or has what this version cannot work with.
    """
    clock: Clock = SystemClock()
    rng = random.Random()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        guards = _guards(settings, clock=clock, rng=rng, metrics=metrics)
        degradation = GracefulDegradationHandler(
            clock=clock,
            rng=rng,
            contact=settings.contact_address,
            observer=metrics,
            check_seconds=settings.check_seconds,
            probe_seconds=settings.probe_seconds,
        )
        owner = new_id("replica")
        records = await stack.enter_async_context(
            open_state(settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=owner)
        )
        start = LateStart(
            migrations(settings),
            secret=lambda: records.secrets.secret("visitors"),
            may_wait=may_wait,
            clock=clock,
        )
        await start.run_once()
        shelf = await _open_records(library, guards, clock, owner, stack) if library is not None else records
        embedder = await _open_embedder(degradation)
        tenants = {DEFAULT_TENANT, *(key.tenant for key in settings.server_keys())}
        knowledge = await stack.enter_async_context(
            LocalKnowledge(settings.data_dir, embedder, has_articles=tenants.__contains__)
        )
        indexer = Indexer(shelf.articles, shelf.embeddings, embedder, settings.data_dir, clock=clock)
        channels = _channels(settings, degradation)
        registry = standard_tools(
            knowledge=knowledge,
            desk=records.tickets,
            directory=records.customers,
            channels=channels,
            guards=guards,
            clock=clock,
        )
        brain = await _brain(
            settings, registry, guard=guards["model"], degradation=degradation, clock=clock, stack=stack
        )
        turns = TurnPipeline(
            store=records.conversations,
            brain=brain,
            tools=ToolErrorHandler(
                registry,
                guards=guards,
                ledger=records.conversations,
                clock=clock,
                errors=StructuredErrorLogger(get_logger("tools")),
                observer=metrics,
            ),
            degradation=degradation,
            metrics=metrics,
            policy=TurnPolicy(
                deadline_seconds=settings.turn_deadline_seconds,
                lease_seconds=settings.lease_seconds,
                history_messages=settings.history_messages,
                handoff_timeout=timedelta(minutes=settings.handoff_timeout_minutes),
            ),
            clock=clock,
            events=records.events,
        )
        dispatcher = OutboxDispatcher(
            records.outbox,
            records.conversations,
            desk=records.tickets,
            channels=channels,
            guards=guards,
            clock=clock,
            rng=rng,
            owner=owner,
            observer=metrics,
        )
        _watch(degradation, guards, records, knowledge, embedder)
        _keep_from(start, guards, records)
        if records.journal is not None:
            await _check_journal(records.journal)
        reindexing = Reindexing(
            shelf.articles,
            indexer.refresh_all,
            tenants=tenants,
            clock=clock,
        )
        await reindexing.run_once()  # searchable from the first question on
        await stack.enter_async_context(
            _running(
                {
                    "degradation": degradation.run,
                    "outbox": dispatcher.run,
                    "sweeper": Sweeper(
                        records.conversations,
                        turns.resume,
                        every_seconds=settings.seconds_between_sweeps,
                        clock=clock,
                    ).run,
                    "drain": JournalDrain(records.conversations, drained=dispatcher.wake, clock=clock).run,
                    "reindexing": reindexing.run,
                    "start": start.run,
                },
                clock,
            )
        )
        limits = rate_limits(settings, clock=clock, log=log)
        stack.push_async_callback(limits.aclose)
        parts = ServiceParts(
            settings=settings,
            turns=turns,
            dependencies=degradation.status,
            can_serve=lambda: _can_serve(records, degradation),
            limits=limits,
            metrics=metrics,
            clock=clock,
            visitor_secret=start.visitor_secret,
            log=log,
            identity_client=await _identity_client(settings, stack),
        )
        stack.push_async_callback(turns.drain, settings.drain_seconds)
        yield Careline(
            settings=settings,
            clock=clock,
            turns=turns,
            parts=parts,
            ingestion=Ingestion(shelf.articles, indexer, clock=clock),
            records=records,
        )


@asynccontextmanager
async def open_ingestion(settings: Settings) -> AsyncIterator[Ingestion]:
    """Only what ingesting needs: the record and the embedder, on all cores."""
    clock = SystemClock()
    guards = _guards(settings, clock=clock, rng=random.Random(), metrics=Metrics())
    async with AsyncExitStack() as stack:
        records = await _open_records(settings, guards, clock, new_id("ingest"), stack)
        embedder = load_embedder(threads=2)
        if embedder is not None:
            await _open_or_warn(embedder)
        indexer = Indexer(records.articles, records.embeddings, embedder, settings.data_dir, clock=clock)
        yield Ingestion(records.articles, indexer, clock=clock)


@asynccontextmanager
async def open_scratch_replay(settings: Settings) -> AsyncIterator[ReplayTarget]:
    """This version in this process: the configured articles and customers, everything that is written in a scratch database."""
    with TemporaryDirectory(prefix="careline-replay-") as folder:
        scratch = settings.model_copy(
            update={
                "database_url": f"sqlite+aiosqlite:///{Path(folder) / 'replay.db'}",
                "customers_database_url": settings.customers_database_url or settings.database_url,
                "tickets_database_url": None,
                "redis_url": None,
                "smtp_url": None,
            }
        )
        async with open_careline(scratch, library=settings) as careline:
            yield InProcessTarget(careline.turns, deadline_seconds=settings.turn_deadline_seconds + 5)


async def migrate_all(settings: Settings) -> None:
    """Bring every database that the settings name to the tables of this version."""
    await migrate(settings)


async def migrate_once(settings: Settings) -> None:
    """Before the workers start, so that they need not wait for each other; they do what cannot be done yet."""
    for migration in migrations(settings):
        try:
            await migration.run()
        except DependencyUnavailable as away:
            if away.reason != UNREACHABLE:
                raise
            log.warning("start.database_away", dependencies=list(migration.dependencies), error=str(away))


async def accept_sql(settings: Settings, tenant: str, conversation_id: str) -> None:
    """
    Drop what Redis copied of a conversation, so that it goes on from SQL.

    Raises:
        NotFound: SQL has no such conversation.
        DependencyUnavailable: SQL or Redis cannot be asked, or no Redis is configured.
    """
    clock = SystemClock()
    guards = _guards(settings, clock=clock, rng=random.Random(), metrics=Metrics())
    async with open_state(
        settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=new_id("operator")
    ) as records:
        if records.copy is None:
            raise DependencyUnavailable("redis", "no Redis is configured, so there is no copy of anything")
        if await records.conversations.conversation(tenant, conversation_id) is None:
            raise NotFound(f"no conversation {conversation_id} of tenant {tenant}")
        await records.copy.forget(tenant, conversation_id)


async def _open_records(
    settings: Settings, guards: Mapping[str, Guard], clock: Clock, owner: str, stack: AsyncExitStack
) -> OpenState:
    await migrate(settings)
    return await stack.enter_async_context(
        open_state(settings, sql=guards["sql"], redis=guards["redis"], clock=clock, owner=owner)
    )


def _can_serve(records: OpenState, degradation: GracefulDegradationHandler) -> bool:
    """Whether a message can be kept somewhere: in SQL, else in a Redis that forgets nothing."""
    if not degradation.is_down("sql"):
        return True
    journal = records.journal
    return journal is not None and journal.is_known_durable and not degradation.is_down("redis")


async def _check_journal(journal: RedisJournal) -> None:
    """Say at the start what an operator would else learn from the first outage of SQL."""
    try:
        if not await journal.is_durable():
            log.warning(
                "journal.redis_not_durable",
                needs="noeviction, and: appendonly yes with appendfsync always, or WAITAOF, or min-replicas-to-write",
            )
    except CarelineError as exc:
        log.warning("journal.not_checked", error=str(exc))


async def _open_embedder(degradation: GracefulDegradationHandler) -> Embedder | None:
    """None where the semantic extra is not installed; installed but broken is an outage that may end."""
    embedder = load_embedder()
    if embedder is not None and not await _open_or_warn(embedder):
        degradation.mark_down("vectors")
    return embedder


async def _open_or_warn(embedder: MiniLmEmbedder) -> bool:
    try:
        await embedder.open()
    except CarelineError as exc:
        log.warning("vectors.not_opened", error=str(exc))
        return False
    return True


def _channels(
    settings: Settings, degradation: GracefulDegradationHandler
) -> Mapping[str, NotificationChannel]:
    """E-mail by SMTP where a server is set; else notifications are printed, under the name that tools ask for."""
    if settings.smtp_url is None:
        return {"email": ConsoleChannel("email")}
    channel = SmtpChannel(
        SmtpServer.parse(settings.smtp_url.get_secret_value()),
        sender=settings.smtp_sender,
        step_seconds=settings.smtp_step_seconds,
    )
    degradation.add_probe("notifications", channel.probe)
    return {channel.name: channel}


async def _brain(
    settings: Settings,
    registry: ToolRegistry,
    *,
    guard: Guard,
    degradation: GracefulDegradationHandler,
    clock: Clock,
    stack: AsyncExitStack,
) -> Brain:
    embedded = EmbeddedBrain(company=settings.company_name, contact=settings.contact_address)
    if settings.model_url is None:
        return embedded
    key = settings.model_key.get_secret_value() if settings.model_key else None
    client = await stack.enter_async_context(
        make_model_client(
            "model",
            base_url=settings.model_url,
            timeout_seconds=max(settings.model_timeout_seconds, settings.first_token_seconds),
            connect_seconds=settings.connect_timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )
    )
    model = OpenAiModel(
        client,
        model=settings.model or "default",
        guard=guard,
        clock=clock,
        silence_seconds=settings.model_timeout_seconds,
        first_token_seconds=settings.first_token_seconds,
    )
    degradation.watch(guard)
    degradation.add_probe("model", model.probe)
    llm = LlmBrain(
        model,
        tools=[ToolSpec(each.name, each.description, each.parameters) for each in registry.schemas()],
        company_name=settings.company_name,
        contact_address=settings.contact_address,
    )
    return FallbackBrain(llm, embedded, outages=degradation, clock=clock)


def _watch(
    degradation: GracefulDegradationHandler,
    guards: Mapping[str, Guard],
    records: OpenState,
    knowledge: LocalKnowledge,
    embedder: Embedder | None,
) -> None:
    """Tell the degradation handler what there is, and how to ask whether it works."""
    for name in ("sql", "knowledge", "tickets", "customers", "notifications"):
        degradation.watch(guards[name])

    async def sql_serves() -> None:
        """Back in use too, not only back: what was journaled meanwhile comes first."""
        await records.database.ping()
        if records.conversations.is_sql_down:
            await records.conversations.drain()

    degradation.add_probe("sql", sql_serves)
    records.conversations.on_outage(lambda: degradation.mark_down("sql"))
    degradation.add_probe("customers", records.customers_database.ping)
    degradation.add_probe("tickets", records.tickets_database.ping)
    degradation.add_probe("knowledge", lambda: knowledge.check(DEFAULT_TENANT))
    copy, journal = records.copy, records.journal
    if copy is not None and journal is not None:

        async def redis_serves() -> None:
            await copy.ping()
            await journal.is_durable()

        degradation.watch(guards["redis"])
        degradation.add_probe("redis", redis_serves)
    if isinstance(embedder, MiniLmEmbedder):

        async def vectors_work() -> None:
            await embedder.open()
            await knowledge.check_vectors()

        degradation.add_probe("vectors", vectors_work)


def _keep_from(start: LateStart, guards: Mapping[str, Guard], records: OpenState) -> None:
    """A database without this version's tables is not asked, even where it answers."""

    def may_be_used(dependencies: Sequence[str]) -> None:
        if "sql" in dependencies:
            records.conversations.let_sql_go()
        for name in isolated.intersection(dependencies):
            guards[name].breaker.close()

    start.may_be_used = may_be_used
    isolated = set(start.unready)
    if "sql" in start.unready:
        records.conversations.hold_sql()
        if records.journal is not None:
            isolated.remove("sql")  # the drain says when it is back in use
    for name in isolated:
        guards[name].breaker.isolate()


async def _identity_client(settings: Settings, stack: AsyncExitStack) -> httpx.AsyncClient | None:
    if settings.identity_jwks_url is None:
        return None
    client = make_client(
        "identity",
        base_url=settings.identity_jwks_url,
        timeout_seconds=settings.identity_timeout_seconds,
        connect_seconds=settings.connect_timeout_seconds,
    )
    return await stack.enter_async_context(client)


@asynccontextmanager
async def _running(loops: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(supervised(name, loop, clock=clock), name=name) for name, loop in loops.items()
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
