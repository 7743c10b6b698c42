"""
Which features work less well now, because of which dependency, since when; and when they are back.

Learns of outages from breakers and from whoever notices one, and of recoveries from probes. What the customer
reads stands in `core.resilience.degraded_wording`.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from core.clock import Clock
from core.messages import DegradedPart
from core.resilience.breaker import CircuitChange, CircuitState
from core.resilience.degraded_wording import degraded_sentence
from core.resilience.guard import Guard
from core.resilience.interference import Interference, reached
from core.telemetry.logging import get_logger

_log = get_logger(__name__)

FEATURES: Mapping[str, tuple[str, ...]] = {
    "conversation": ("model", "sql"),
    "knowledge_search": ("vectors", "search_service", "sql", "knowledge"),
    "tickets": ("tickets", "sql"),
    "customer_info": ("customers",),
    "notifications": ("notifications", "sql"),
}
"""What each feature needs, in the order in which a reply tells of it."""

DEPENDENCIES = (
    "sql",
    "redis",
    "model",
    "vectors",
    "search_service",
    "knowledge",
    "tickets",
    "customers",
    "notifications",
    "notifications.email",
    "notifications.sms",
    "notifications.chat",
    "notifications.webhook",
    "workers",
)
"""Everything that can be down. Redis stands behind no feature: without it all goes on, only slower; nor do the channels
that are not the usual one, for which "notifications" stands, or the workers: what was promised is kept until they are back."""

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 1.0
"""With the probe's own time limit this brings a dependency back within two seconds."""
_RELAPSE_SECONDS = 10.0
_LONGEST_RELAPSE_PAUSE_SECONDS = 5.0
"""Probes may succeed where real calls fail; who goes down again so soon is tried less and less often."""

_PERMIT_MARGIN_SECONDS = 1.0
"""So long a permit outlives the longest probe: a replica that dies with it holds up the others no longer."""

Probe = Callable[[], Awaitable[object]]
"""Returns when the dependency works, raises when it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyStatus:
    """
    `since` is when it went down; None while it is up. `breaker` is None where no guard stands before it.
    """

    dependency: str
    is_up: bool
    since: datetime | None
    breaker: CircuitState | None


class DegradationObserver(Protocol):
    """Hears of every dependency in use, and of each change. `core.telemetry.metrics` implements it."""

    def dependency_changed(self, dependency: str, *, is_up: bool) -> None: ...


class ProbePermits(Protocol):
    """
    Lets one replica at a time ask a dependency whether it works, so that many do not fall upon one that is just coming back.

    Never fails: where the replicas cannot agree, each asks for itself. `state.redis.probes` implements it.
    """

    async def take(self, dependency: str, *, seconds: float) -> bool:
        """False while another replica asks; a permit that is not given back ends after `seconds`."""
        ...

    async def give_back(self, dependency: str) -> None: ...


class _Dependency:
    """What is known of one dependency. `went_down` is set exactly while it is down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.guards: list[Guard] = []
        self.probe: Probe | None = None
        self.longest_pause = _LONGEST_PAUSE_SECONDS
        self.since: datetime | None = None
        self.is_used = False
        self.went_down = asyncio.Event()
        self.one_probe = asyncio.Lock()
        self.relapses = 0
        self.came_back_at = -math.inf

    @property
    def is_down(self) -> bool:
        return self.since is not None

    @property
    def is_isolated(self) -> bool:
        return any(guard.breaker.state is CircuitState.ISOLATED for guard in self.guards)


class GracefulDegradationHandler:
    """
    `contact` is where a customer can turn instead. A dependency that is up is asked every `check_seconds`, so that an outage
    shows without traffic; a probe has `probe_seconds`. `run` has to run for anything to recover without traffic.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        contact: str | None = None,
        observer: DegradationObserver | None = None,
        check_seconds: float = 5.0,
        probe_seconds: float = 1.0,
        interference: Interference | None = None,
    ) -> None:
        self._check_seconds = check_seconds
        self._probe_seconds = probe_seconds
        self._clock = clock
        self._rng = rng
        self._contact = contact
        self._dependencies = {name: _Dependency(name) for name in DEPENDENCIES}
        self._features = dict(FEATURES)
        self._observer = observer
        self._interference = interference
        self._permits: ProbePermits | None = None

    def share_probes(self, permits: ProbePermits) -> None:
        """From now on one replica at a time probes; while Redis is down, each for itself."""
        self._permits = permits

    def declare(self, feature: str, dependency: str) -> None:
        """A dependency that only this installation has. Before `run`."""
        self._features[feature] = (*self._features.get(feature, ()), dependency)
        self._dependencies[dependency] = _Dependency(dependency)

    def watch(self, guard: Guard) -> None:
        """The guard's name is the dependency's. Its breaker opening means down, closing means up."""
        self._in_use(guard.name).guards.append(guard)
        guard.breaker.subscribe(self._breaker_changed)
        if guard.breaker.is_open:
            self.mark_down(guard.name, f"its breaker is {guard.breaker.state}")

    def add_probe(self, dependency: str, probe: Probe, *, is_counted: bool = False) -> None:
        """
        How to ask whether it works, at little cost and without effects; it has a second for that. `is_counted`: somebody else's
        service, which counts what it is asked, so while it stays down it is asked every `check_seconds` at most.
        """
        found = self._in_use(dependency)
        found.probe = probe
        found.longest_pause = (
            max(_LONGEST_PAUSE_SECONDS, self._check_seconds) if is_counted else _LONGEST_PAUSE_SECONDS
        )

    def mark_down(self, dependency: str, why: str = "") -> None:
        """`why` is for the operator's log."""
        found = self._in_use(dependency)
        if found.is_down:
            return
        found.since = self._clock.now()
        is_relapse = self._clock.monotonic() - found.came_back_at < _RELAPSE_SECONDS
        found.relapses = found.relapses + 1 if is_relapse else 0
        found.went_down.set()
        _log.warning("dependency.went_down", dependency=dependency, why=why)
        self._tell(found)

    def mark_up(self, dependency: str) -> None:
        """
        Also lets trial calls through an open breaker. A breaker that a person isolated keeps its dependency
        down.
        """
        found = self._in_use(dependency)
        if found.is_isolated:
            return
        if found.is_down:
            _log.info("dependency.came_back", dependency=dependency, down_since=found.since)
            found.since = None
            found.came_back_at = self._clock.monotonic()
            found.went_down.clear()
            self._tell(found)
        for guard in found.guards:
            guard.breaker.try_again()

    def is_down(self, dependency: str) -> bool:
        return self._dependencies[dependency].is_down

    def is_degraded(self, feature: str) -> bool:
        return any(self.is_down(dependency) for dependency in self._features[feature])

    def sentence(self, feature: str, dependency: str, locale: str, *, copy_date: date | None = None) -> str:
        return degraded_sentence(feature, dependency, locale, contact=self._contact, copy_date=copy_date)

    def parts(
        self, pairs: Iterable[tuple[str, str]], locale: str, *, copy_date: date | None = None
    ) -> tuple[DegradedPart, ...]:
        """
        What a reply tells of these (feature, dependency) pairs: each once, in declared order.

        A pair that is not declared is left out and logged: a customer reads nothing that nobody has worded.
        `copy_date` is that of the local copy that knowledge was searched in.
        """
        wanted = set(pairs)
        declared = [
            (feature, dependency) for feature, needs in self._features.items() for dependency in needs
        ]
        for feature, dependency in sorted(wanted.difference(declared)):
            _log.debug("degradation.pair_not_told", feature=feature, dependency=dependency)
        return tuple(
            DegradedPart(
                feature=feature,
                dependency=dependency,
                since=(self._dependencies[dependency].since or self._clock.now()).isoformat(),
                message=self.sentence(feature, dependency, locale, copy_date=copy_date),
            )
            for feature, dependency in declared
            if (feature, dependency) in wanted
        )

    def status(self) -> Mapping[str, DependencyStatus]:
        """Every dependency that this process uses, in declared order."""
        return {name: _status_of(found) for name, found in self._dependencies.items() if found.is_used}

    async def run(self) -> None:
        """Bring dependencies back as their probes succeed, and notice those that go. Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for dependency in self._dependencies.values():
                group.create_task(self._keep_recovering(dependency), name=f"recover-{dependency.name}")
                group.create_task(self._keep_checking(dependency), name=f"check-{dependency.name}")

    async def _keep_recovering(self, dependency: _Dependency) -> None:
        while True:
            await dependency.went_down.wait()
            await self._clock.sleep(self._relapse_pause(dependency))
            failed_probes = 0
            while dependency.is_down:
                await self._clock.sleep(self._pause(failed_probes, dependency.longest_pause))
                if not dependency.is_down or dependency.is_isolated:
                    continue
                found = await self._asked(dependency)
                if found.is_working:
                    self.mark_up(dependency.name)
                # Another replica's probe says nothing about how this one reaches the dependency.
                failed_probes += found.failure is not None

    async def _keep_checking(self, dependency: _Dependency) -> None:
        # Begins with a check: who was never there must not count as up until the first customer needs it.
        while True:
            await self._check(dependency)
            await self._clock.sleep(self._jittered(self._check_seconds))

    async def _check(self, dependency: _Dependency) -> None:
        if dependency.probe is None or dependency.is_down:
            return
        # Asked twice, because one lost packet is no outage.
        if (await self._asked(dependency)).failure is None:
            return
        why = (await self._asked(dependency)).failure
        if why is not None:
            self.mark_down(dependency.name, why)

    def _pause(self, failed_probes: int, longest: float) -> float:
        return self._jittered(min(longest, _FIRST_PAUSE_SECONDS * 2.0 ** min(failed_probes, 10)))

    def _relapse_pause(self, dependency: _Dependency) -> float:
        if dependency.relapses == 0:
            return 0.0
        growing = _FIRST_PAUSE_SECONDS * 2.0 ** min(dependency.relapses, 10)
        return self._jittered(min(_LONGEST_RELAPSE_PAUSE_SECONDS, growing))

    def _jittered(self, seconds: float) -> float:
        return self._rng.uniform(seconds / 2, seconds)

    async def _asked(self, dependency: _Dependency) -> "_Finding":
        if dependency.probe is None:
            # Nobody else can find out, so the next real call is the probe.
            may_be_tried = all(guard.breaker.may_be_tried for guard in dependency.guards)
            return _WORKS if may_be_tried else _Finding("its breaker is open")
        permits = None if self._dependencies["redis"].is_down else self._permits
        async with dependency.one_probe:
            if permits is None:
                return await self._probed(dependency.name, dependency.probe)
            if not await permits.take(dependency.name, seconds=self._probe_seconds + _PERMIT_MARGIN_SECONDS):
                return _ANOTHER_ASKS
            try:
                return await self._probed(dependency.name, dependency.probe)
            finally:
                await permits.give_back(dependency.name)

    async def _probed(self, dependency: str, probe: Probe) -> "_Finding":
        try:
            async with asyncio.timeout(self._probe_seconds):
                await reached(self._interference, dependency, probe)
        except Exception as exc:  # the loop must outlive every way in which a dependency can fail
            return _Finding(f"its probe failed: {type(exc).__name__}: {exc}".removesuffix(": "))
        return _WORKS

    def _breaker_changed(self, change: CircuitChange) -> None:
        match change.after:
            case CircuitState.OPEN | CircuitState.ISOLATED:
                self.mark_down(change.name, f"its breaker is {change.after}")
            case CircuitState.CLOSED | CircuitState.DISABLED | CircuitState.METRICS_ONLY if not any(
                g.breaker.is_open for g in self._dependencies[change.name].guards
            ):
                self.mark_up(change.name)
            case _:
                pass

    def _in_use(self, name: str) -> _Dependency:
        dependency = self._dependencies[name]
        if not dependency.is_used:
            dependency.is_used = True
            self._tell(dependency)
        return dependency

    def _tell(self, dependency: _Dependency) -> None:
        if self._observer is not None:
            self._observer.dependency_changed(dependency.name, is_up=not dependency.is_down)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What asking came to: `failure` in words, or that it works, or neither, because another replica asks just now."""

    failure: str | None = None
    is_working: bool = False


_WORKS = _Finding(is_working=True)
_ANOTHER_ASKS = _Finding()


def _status_of(dependency: _Dependency) -> DependencyStatus:
    breakers = [guard.breaker for guard in dependency.guards]
    worst = next((breaker for breaker in breakers if breaker.is_open), breakers[0] if breakers else None)
    return DependencyStatus(
        dependency=dependency.name,
        is_up=not dependency.is_down,
        since=dependency.since,
        breaker=worst.state if worst is not None else None,
    )
