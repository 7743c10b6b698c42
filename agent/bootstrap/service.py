"""The whole service: what is opened in which order, and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from agent.api.limits import RateLimits, rate_limits
from agent.api.parts import ServedTools, ServiceParts
from agent.bootstrap.background import (
    background_loops,
    bounce_watch,
    make_announcements,
    make_intake,
    running,
)
from agent.bootstrap.deployments import open_agents
from agent.bootstrap.embedder import open_embedder
from agent.bootstrap.lookups import open_directory, open_knowledge_search
from agent.bootstrap.outward import open_outside_tools, open_tickets, ticket_fallback
from agent.bootstrap.records import check_journal, keep_from, make_guards, open_records
from agent.bootstrap.watching import watch
from agent.bootstrap.world import InterferedEmbedder, World
from agent.channels import open_channels, sending_rules, team_addresses
from agent.turn.on_record import LanguageOnRecord
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from agent.workers.broker import Intake
from agent.workers.explanations import Explanations
from agent.workers.late_start import LateStart
from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from agent.workers.reindex import Reindexing
from core.clock import Clock
from core.http import make_client
from core.identity import DEFAULT_TENANT
from core.ids import new_id
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.settings import Settings
from core.telemetry.logging import StructuredErrorLogger, get_logger
from core.telemetry.metrics import Metrics
from state.opening import OpenState, migrations, open_state
from tools.handler import ToolErrorHandler
from tools.knowledge.embed import OpenableEmbedder
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Ingestion
from tools.knowledge.search import LocalKnowledge
from tools.registry import ToolRegistry, standard_tools

_LAST_WORDS_SECONDS = 0.3
"""Of the second that a graceful end may take beyond its drain."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Careline:
    """
    An open service. `parts` is what the HTTP interface needs; `ingestion` and `records` are for the commands. `drain` begins
    nothing more and lets what runs end within so many seconds.
    """

    settings: Settings
    clock: Clock
    turns: TurnPipeline
    drain: Callable[[float], Awaitable[None]]
    parts: ServiceParts
    ingestion: Ingestion
    records: OpenState


@asynccontextmanager
async def open_careline(
    settings: Settings,
    *,
    library: Settings | None = None,
    may_wait: bool = False,
    is_worker: bool = False,
    world: World | None = None,
) -> AsyncIterator[Careline]:
    """
    Everything open and running; closed in reverse order, turns first.

    `library` names the database with the articles where it is not this one: a replay's scratch database has none. `may_wait`:
    databases that are away are waited for, while it serves what it can without them. `is_worker`: it carries out what others
    promised, whatever `background_work` says. `world` is the real one where none is given.

    Raises:
        CarelineError: a database is away, refuses us, or has what this version cannot work with.
    """
    world = world if world is not None else World()
    clock, rng = world.clock, world.rng
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        guards = make_guards(
            settings, clock=clock, rng=rng, metrics=metrics, interference=world.beside_stores(settings)
        )
        degradation = GracefulDegradationHandler(
            clock=clock,
            rng=rng,
            contact=settings.contact_address,
            observer=metrics,
            check_seconds=settings.check_seconds,
            probe_seconds=settings.probe_seconds,
            interference=world.beside_stores(settings),
        )
        owner = new_id("replica")
        records = await stack.enter_async_context(
            open_state(
                settings,
                sql=guards["sql"],
                redis=guards["redis"],
                clock=clock,
                owner=owner,
                interference=world.interference,
                redis_clients=world.redis,
            )
        )
        start = LateStart(
            migrations(settings),
            secret=lambda: records.secrets.secret("visitors"),
            may_wait=may_wait,
            clock=clock,
        )
        await start.run_once()
        shelf = await open_records(library, guards, clock, owner, stack) if library is not None else records
        embedder = await _embedder(settings, world, guards, degradation, stack)
        tenants = {DEFAULT_TENANT, *(key.tenant for key in settings.server_keys())}
        knowledge = await stack.enter_async_context(
            LocalKnowledge(settings.data_dir, embedder, has_articles=tenants.__contains__, clock=clock)
        )
        indexer = Indexer(shelf.articles, shelf.embeddings, embedder, settings.data_dir, clock=clock)
        channels = await open_channels(
            settings,
            degradation=degradation,
            guards=guards,
            clock=clock,
            stack=stack,
            console=world.console,
        )
        desk = await stack.enter_async_context(open_tickets(settings, records, channels, degradation, clock))
        rules = sending_rules(settings, records.notifications, clock=clock)
        outside = await open_outside_tools(settings, guards, degradation, clock, stack)
        own_tools = standard_tools(
            knowledge=await open_knowledge_search(
                settings, knowledge, guards, degradation, stack, embedder=embedder
            ),
            desk=desk.for_tools,
            directory=(directory := await open_directory(settings, records, degradation, stack)),
            channels=channels.by_name,
            guards=guards,
            clock=clock,
            rules=rules,
        )
        registry = ToolRegistry(map(world.called, (*own_tools, *outside.tools)))
        announcements = make_announcements(settings, clock)
        tools = ToolErrorHandler(
            registry,
            guards=guards,
            ledger=records.conversations,
            clock=clock,
            errors=StructuredErrorLogger(get_logger("tools")),
            observer=metrics,
        )
        explanations = Explanations(
            records.explanations,
            clock=clock,
            explains=settings.explained_days > 0,
            recordings=records.recordings if settings.recorded_days else None,
        )
        agents = await open_agents(
            settings,
            records,
            registry,
            own_tools=own_tools,
            tools=tools,
            embedder=embedder,
            guards=guards,
            degradation=degradation,
            metrics=metrics,
            clock=clock,
            rng=rng,
            owner=owner,
            stack=stack,
            replacement=world.model,
        )
        turns = TurnPipeline(
            store=records.conversations,
            brain=agents.own,
            tools=world.watched(tools),
            agents=agents.deployed,
            degradation=degradation,
            metrics=metrics,
            policy=TurnPolicy(
                deadline_seconds=settings.turn_deadline_seconds,
                lease_seconds=settings.lease_seconds,
                history_messages=settings.history_messages,
                handoff_timeout=timedelta(minutes=settings.handoff_timeout_minutes),
                default_locale=settings.default_locale,
                team=team_addresses(settings, channels),
            ),
            clock=clock,
            events=records.events,
            promised=announcements.announce if announcements is not None else None,
            explanations=explanations if settings.explained_days or settings.recorded_days else None,
            on_record=LanguageOnRecord(directory, guards["customers"], clock=clock),
        )
        dispatcher = OutboxDispatcher(
            records.outbox,
            records.conversations,
            desk=desk.desk,
            channels={**channels.by_name, **channels.to_team},
            guards={**guards, **channels.team_guards},
            clock=clock,
            rng=rng,
            owner=owner,
            policy=DispatchPolicy(
                poll_seconds=settings.outbox_poll_seconds, lease_seconds=settings.outbox_lease_seconds
            ),
            observer=metrics,
            rules=rules,
            fallback=ticket_fallback(settings, channels, guards, clock),
        )
        watch(
            degradation,
            guards,
            records,
            knowledge,
            embedder,
            uses_vectors=settings.knowledge_api is None,
            needs_workers=not is_worker and settings.background_work == "workers",
        )
        keep_from(start, guards, records, has_own_desk=settings.ticket_desk is None)
        await check_journal(records.journal)
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "degradation": degradation.run,
            **await _reindexing(world, shelf, indexer, tenants),
            "start": start.run,
            "explanations": explanations.run,
            "deployments": agents.deployed.run,
            **({"announcements": announcements.run} if announcements is not None else {}),
        }
        intake: Intake | None = None
        if is_worker or settings.background_work == "embedded":
            intake = make_intake(settings, dispatcher, clock) if is_worker else None
            bounces = bounce_watch(settings, channels, records, rules, clock)
            loops |= background_loops(
                settings, records, turns, dispatcher, bounces=bounces, spawner=agents.spawner, clock=clock
            )
            if intake is not None:
                loops["intake"] = intake.run
        await stack.enter_async_context(running(loops, clock))

        async def drain(seconds: float) -> None:
            if intake is not None:
                intake.leave()
            await asyncio.gather(turns.drain(seconds), dispatcher.leave(seconds))
            await explanations.leave(_LAST_WORDS_SECONDS)

        stack.push_async_callback(drain, settings.drain_seconds)
        yield Careline(
            settings=settings,
            clock=clock,
            turns=turns,
            drain=drain,
            parts=ServiceParts(
                settings=settings,
                turns=turns,
                dependencies=degradation.status,
                can_serve=lambda: _can_serve(records, degradation),
                limits=_limits(settings, clock, stack),
                metrics=metrics,
                clock=clock,
                visitor_secret=start.visitor_secret,
                log=log,
                explained=explanations,
                feedback=records.feedback,
                control=agents.control,
                identity_client=await _identity_client(settings, stack),
                tools=ServedTools(runner=tools, schemas=own_tools.schemas, keep=records.outbox.put),
            ),
            ingestion=Ingestion(shelf.articles, indexer, clock=clock),
            records=records,
        )


async def _reindexing(
    world: World, shelf: OpenState, indexer: Indexer, tenants: set[str]
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """As a loop, once everything can be found."""
    if world.has_own_index:
        return {}
    reindexing = Reindexing(shelf.articles, indexer.refresh_all, tenants=tenants, clock=world.clock)
    await reindexing.run_once()  # searchable from the first question on
    return {"reindexing": reindexing.run}


async def _embedder(
    settings: Settings,
    world: World,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    stack: AsyncExitStack,
) -> OpenableEmbedder | None:
    if not world.has_own_index or (settings.embedder_url is not None and world.embedder is None):
        return await open_embedder(settings, guards, degradation, stack)
    if world.embedder is None or world.interference is None:
        return world.embedder
    return InterferedEmbedder(world.embedder, world.interference, seconds=settings.embedder_timeout_seconds)


def _limits(settings: Settings, clock: Clock, stack: AsyncExitStack) -> RateLimits:
    limits = rate_limits(settings, clock=clock, log=log)
    stack.push_async_callback(limits.aclose)
    return limits


def _can_serve(records: OpenState, degradation: GracefulDegradationHandler) -> bool:
    """Whether a message can be kept somewhere: in SQL, else in a Redis that forgets nothing."""
    if not degradation.is_down("sql"):
        return True
    journal = records.journal
    return journal is not None and journal.is_known_durable and not degradation.is_down("redis")


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
