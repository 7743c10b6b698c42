"""A part of a replay, carried out in this process: the service in another world, and what it works on."""

import asyncio
import atexit
import random
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent.bootstrap.embedder import make_embedder
from agent.bootstrap.records import open_for_command
from agent.bootstrap.service import Careline, open_careline
from agent.bootstrap.world import World, as_it_is
from agent.models.base import ChatModel
from agent.replay.in_process import InProcessTarget
from agent.replay.installation import internal_of
from agent.replay.mishaps import Mishaps
from agent.replay.plan import ReplayPlan, Shard, ShardResult
from agent.replay.private_values import PrivateValues
from agent.replay.runner import Replayed, Rules, replay
from agent.replay.stubs import RecordedModel, Recording, recorded_tool
from agent.replay.targets import HttpTarget, ReplayTarget
from agent.replay.watching import SentMessages, WatchedTools
from agent.turn.effects import ToolRunner
from core.clock import Clock, SystemClock
from core.errors import CarelineError, InternalFailure
from core.http import make_client
from core.identity import DEFAULT_TENANT
from core.ids import digest, ids_from
from core.records import Customer, Ticket
from core.resilience.guard import Guard
from core.resilience.interference import Interference
from core.resilience.policies import guard_policies
from core.settings import Settings
from core.telemetry.logging import configure_logging
from core.virtual_time import VirtualClock, VirtualLoop
from state.opening import empty_record, is_in_process
from tools.knowledge.embed import OnnxEmbedder, OpenableEmbedder
from tools.knowledge.embed_folder import local_embedder
from tools.knowledge.indexer import Indexer
from tools.knowledge.search import LocalKnowledge

if TYPE_CHECKING:
    from state.redis.opening import OpensRedis

_WAYS_OUT = (
    "smtp_url",
    "sendgrid_key",
    "twilio_account",
    "chat_url",
    "webhook_url",
    "usual_channel",
    "ticket_desk",
    "ticket_fallback_email",
    "handoff_email",
    "broker_url",
)
"""What a replay must not have, or it would write to people."""

_DATABASE = "replay.db"
_OWN_REDIS = "redis://in-this-process"
_LOOKED_UP = ("customers_api", "customers_sql", "knowledge_api", "knowledge_opensearch")
_HTTP_SECONDS = 60.0
_COMMIT_SECONDS = 5.0
_SHOWN_TICKETS = 1000
_ONE_AT_A_TIME = threading.Lock()
"""Ids are drawn for a whole process, so a cluster's worker with several threads replays one shard after the other."""


def dependencies_of(settings: Settings, plan: ReplayPlan) -> Sequence[str]:
    """What can fail in a replay: what its service has a guard for, and the vectors."""
    known = set(guard_policies(_scratch(settings, plan, Path(), Path())))
    known -= {"vectors.articles", *(name for name in known if name.startswith("notifications."))}
    if not plan.uses_vectors:
        known.discard("vectors")
    if not plan.has_redis:
        known.discard("redis")
    if plan.mode == "live" and not settings.has_model:
        known.discard("model")
    if plan.mode == "stubbed" or (settings.knowledge_api is None and settings.knowledge_opensearch is None):
        known.discard("search_service")
    return sorted(known)


def can_have_redis() -> bool:
    """Whether the extra is installed that a Redis in this process needs."""
    return all(find_spec(package) is not None for package in ("fakeredis", "lupa"))


def can_be_virtual(settings: Settings, *, is_stubbed: bool) -> bool:
    """Whether a replay asks nobody outside of its process, so that time can stand still for it."""
    if settings.embedder_url is not None:
        return False
    if is_stubbed:
        return True
    asks_outside = settings.has_model or bool(settings.mcp_servers)
    looks_up = settings.customers_api or settings.knowledge_api or settings.knowledge_opensearch
    return not (asks_outside or looks_up) and is_in_process(
        settings.customers_database_url or settings.database_url
    )


async def keep_articles(settings: Settings, folder: Path, *, uses_vectors: bool, at: datetime) -> str:
    """
    An index of the articles as they are now, under `folder`, so that all parts of a replay search the same; and what it is of.
    """
    async with open_for_command(settings, "replay") as opened, AsyncExitStack() as stack:
        embedder = await make_embedder(settings, opened.guards, stack, threads=2) if uses_vectors else None
        store = opened.records.articles
        indexer = Indexer(store, opened.records.embeddings, embedder, folder, clock=VirtualClock(at))
        await indexer.build(DEFAULT_TENANT)
        served = await store.at(DEFAULT_TENANT, await store.version(DEFAULT_TENANT))
        parts = sha256(repr(embedder.name if embedder is not None else None).encode())
        for article in served:
            parts.update(digest(article.article_id, article.body, article.title, str(article.audience)))
        return parts.hexdigest()


def replay_shard(
    settings: Settings, data_dir: Path, plan: ReplayPlan, key: str | None, shard: Shard
) -> ShardResult:
    """Blocking. `key` is for the service that the plan's URL names."""
    configure_logging(level="critical", format=settings.log_format)
    with _ONE_AT_A_TIME:
        if plan.clock is None:
            return asyncio.run(_replayed(settings, data_dir, plan, key, shard, clock=SystemClock()))
        clock = VirtualClock(datetime.fromisoformat(plan.clock))
        ids = random.Random(f"{plan.seed}/{shard.number}/ids")
        with ids_from(ids), asyncio.Runner(loop_factory=partial(VirtualLoop, clock)) as runner:
            return runner.run(_replayed(settings, data_dir, plan, key, shard, clock=clock))


async def _replayed(
    settings: Settings, data_dir: Path, plan: ReplayPlan, key: str | None, shard: Shard, *, clock: Clock
) -> ShardResult:
    finished: list[Replayed] = []
    opening = (
        _over_http(plan, key, clock)
        if plan.mode == "against"
        else _in_process(settings, data_dir, plan, shard, clock)
    )
    async with opening as (target, private):
        await replay(
            shard.conversations,
            target,
            first=shard.first,
            run=plan.run,
            at_once=plan.at_once,
            pause_seconds=plan.pause_seconds,
            rules=Rules(
                longest_ms=1000 * (settings.turn_deadline_seconds + _COMMIT_SECONDS),
                private=private,
                internal=internal_of(settings),
            ),
            clock=clock,
            finished=finished.append,
        )
    finished.sort(key=lambda one: one.place)
    return ShardResult(
        rows=tuple(row for one in finished for row in one.rows),
        timings=tuple(timing for one in finished for timing in one.timings),
    )


Opened = tuple[ReplayTarget, PrivateValues]


@asynccontextmanager
async def _over_http(plan: ReplayPlan, key: str | None, clock: Clock) -> AsyncIterator[Opened]:
    headers = {"Authorization": f"Bearer {key}"} if key else None
    async with make_client(
        "agent", base_url=plan.url or "", timeout_seconds=_HTTP_SECONDS, headers=headers
    ) as client:
        yield HttpTarget(client, patience_seconds=plan.patience_seconds, clock=clock), PrivateValues()


@asynccontextmanager
async def _in_process(
    settings: Settings, data_dir: Path, plan: ReplayPlan, shard: Shard, clock: Clock
) -> AsyncIterator[Opened]:
    rng = random.Random(f"{plan.seed}/{shard.number}")
    with TemporaryDirectory(prefix="careline-replay-") as folder:
        scratch = _scratch(settings, plan, Path(folder), data_dir)
        shutil.copyfile(_empty_record(), Path(folder) / _DATABASE)
        mishaps = Mishaps(plan.faults, clock=clock, rng=random.Random(f"{plan.seed}/{shard.number}/faults"))
        watching = _Watching()
        sent = SentMessages()
        recording = Recording() if plan.mode == "stubbed" else None
        has_model = any(message.role == "model" for one in shard.conversations for message in one.messages)
        world = World(
            clock=clock,
            rng=rng,
            interference=mishaps,
            has_own_index=True,
            embedder=await _fresh_embedder(scratch) if plan.uses_vectors else None,
            model=partial(_recorded_model, recording) if recording is not None and has_model else None,
            called=partial(recorded_tool, recording=recording) if recording is not None else as_it_is,
            watched=watching.watch,
            console=sent.console,
            redis=_own_redis(clock, mishaps) if plan.has_redis else None,
        )
        async with (
            open_careline(scratch, world=world) as careline,
            LocalKnowledge(scratch.data_dir, None, clock=clock) as articles,
        ):

            async def article(article_id: str) -> str | None:
                found = await articles.article(DEFAULT_TENANT, article_id)
                return found.body if found is not None else None

            async def tickets(customer_id: str) -> Sequence[Ticket]:
                return await careline.records.tickets.find_tickets(
                    DEFAULT_TENANT, customer_id, limit=_SHOWN_TICKETS
                )

            explained = careline.parts.explained
            target = InProcessTarget(
                careline.turns,
                clock=clock,
                deadline_seconds=scratch.turn_deadline_seconds + _COMMIT_SECONDS,
                patience_seconds=plan.patience_seconds,
                mishaps=mishaps,
                tools=watching.tools(),
                sent=sent,
                explained=explained.of_turn,
                article=article,
                tickets=tickets if recording is None else None,
                recording=recording,
            )
            yield target, PrivateValues([each async for each in _customers(careline, shard)])


def _own_redis(clock: Clock, interference: Interference) -> "OpensRedis":
    from state.redis.in_process import InProcessRedis

    return InProcessRedis(clock, interference).open


class _Watching:
    """Holds on to what the service wraps its tools in while it is put together."""

    def __init__(self) -> None:
        self._tools: WatchedTools | None = None

    def watch(self, runner: ToolRunner) -> ToolRunner:
        self._tools = WatchedTools(runner)
        return self._tools

    def tools(self) -> WatchedTools:
        if self._tools is None:
            raise InternalFailure("the service was opened without its tools")
        return self._tools


def _recorded_model(recording: Recording, guard: Guard, clock: Clock) -> ChatModel:
    return RecordedModel(recording, guard, clock)


async def _customers(careline: Careline, shard: Shard) -> AsyncIterator[Customer]:
    """Those that the recordings name and the directory knows: their data is what must not be told to the others."""
    for customer_id in dict.fromkeys(one.customer for one in shard.conversations if one.customer):
        with suppress(CarelineError):
            yield await careline.records.customers.customer(DEFAULT_TENANT, customer_id)


def _scratch(settings: Settings, plan: ReplayPlan, folder: Path, data_dir: Path) -> Settings:
    """The configured service, with everything that is written in a folder that is thrown away."""
    elsewhere = dict.fromkeys(_LOOKED_UP) if plan.mode == "stubbed" else {}
    return settings.model_copy(
        update={
            "data_dir": data_dir,
            "database_url": f"sqlite+aiosqlite:///{folder / _DATABASE}",
            "customers_database_url": None
            if plan.mode == "stubbed"
            else settings.customers_database_url or settings.database_url,
            "tickets_database_url": None,
            "redis_url": _OWN_REDIS if plan.has_redis else None,
            "background_work": "embedded",
            "explained_days": max(1, settings.explained_days),
            "mcp_servers": {} if plan.mode == "stubbed" else settings.mcp_servers,
            **dict.fromkeys(_WAYS_OUT),
            **elsewhere,
        }
    )


@cache
def _empty_record() -> Path:
    """With the tables of this version: to migrate costs more than to replay a conversation."""
    folder = TemporaryDirectory(prefix="careline-replay-tables-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / _DATABASE
    empty_record(path)
    return path


async def _fresh_embedder(settings: Settings) -> OpenableEmbedder | None:
    """The one that this process has loaded, as if it had embedded nothing yet; None where a server is asked instead."""
    if settings.embedder_url is not None:
        return None
    embedder = _loaded_embedder(settings.embedder_folder)
    if embedder is not None:
        await embedder.open()
        embedder.forget()
    return embedder


@cache
def _loaded_embedder(folder: Path | None) -> OnnxEmbedder | None:
    return local_embedder(folder)
