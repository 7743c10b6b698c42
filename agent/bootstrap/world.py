"""What the service finds around it, for who needs another world than the real one: time, chance, models and mishaps."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO, TypeVar

from agent.models.base import ChatModel
from agent.turn.effects import ToolRunner
from core.clock import Clock, SystemClock
from core.errors import DependencyTimeout
from core.resilience.guard import Guard
from core.resilience.interference import Interference
from core.resilience.timelimit import TimeLimit
from core.settings import Settings
from tools.knowledge.embed import OpenableEmbedder, Vectors
from tools.protocol import AnyTool

if TYPE_CHECKING:
    from state.redis.opening import OpensRedis

T = TypeVar("T")


def as_it_is(thing: T) -> T:
    return thing


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """
    Where it `has_own_index`, articles are served as they lie in the data folder, nothing rebuilds their index, and `embedder`
    makes the vectors of questions (None: none at all). `model` answers in place of the configured ones. `called` gives what is
    called in place of a tool, `watched` what turns call tools through. `console` takes what is sent where no channel is set up
    (None: standard error). `redis` opens one in place of that at the settings' address.
    """

    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    interference: Interference | None = None
    embedder: OpenableEmbedder | None = None
    has_own_index: bool = False
    model: Callable[[Guard, Clock], ChatModel] | None = None
    called: Callable[[AnyTool], AnyTool] = as_it_is
    watched: Callable[[ToolRunner], ToolRunner] = as_it_is
    console: TextIO | None = None
    redis: "OpensRedis | None" = None

    def beside_stores(self, settings: Settings) -> Interference | None:
        """For guards and probes: our own stores are interfered with where they are asked, also by who has no guard."""
        if self.interference is None:
            return None
        stores = {"sql", "redis"}
        if settings.ticket_desk is None:
            stores.add("tickets")
        if settings.customers_api is None:
            stores.add("customers")
        return _BesideStores(self.interference, frozenset(stores))


@dataclass(frozen=True, slots=True)
class _BesideStores:
    interference: Interference
    stores: frozenset[str]

    async def through(self, dependency: str, attempt: Callable[[], Awaitable[T]]) -> T:
        if dependency in self.stores:
            return await attempt()
        return await self.interference.through(dependency, attempt)


class InterferedEmbedder:
    """A model in this process has no guard, so that it is interfered with here."""

    def __init__(self, embedder: OpenableEmbedder, interference: Interference, *, seconds: float) -> None:
        self.name = embedder.name
        self.dimension = embedder.dimension
        self._embedder = embedder
        self._interference = interference
        self._seconds = seconds

    async def open(self) -> None:
        await self._embedder.open()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        try:
            with TimeLimit(self._seconds):
                return await self._interference.through("vectors", lambda: self._embedder.embed(texts))
        except TimeoutError as late:
            raise DependencyTimeout("vectors", "vectors: no answer") from late
