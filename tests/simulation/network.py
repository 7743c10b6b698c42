"""
Servers that crash and stall, and the links to them that lose, delay and cut.

A call is carried out at the server in one step or not at all; what the caller hears of it is another matter.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from core.errors import DependencyTimeout, DependencyUnavailable
from tests.simulation.loop import Process, SimulatedLoop

T = TypeVar("T")

_MOST_LATENCY = 0.004


@dataclass(slots=True, kw_only=True)
class Faults:
    """Chances per call, and the longest extra delay in seconds; all zero once the world has healed."""

    lost: float = 0.0
    reply_lost: float = 0.0
    delayed: float = 0.0
    longest_delay: float = 3.0


@dataclass(slots=True)
class Trace:
    """What happened, in order; the same for the same seed."""

    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, at: float, what: str) -> None:
        self.lines.append(f"{at:9.4f} {what}")


class Server:
    """Something that carries out calls while it is up. Held calls of a paused server are carried out when it goes on."""

    def __init__(self, name: str, loop: SimulatedLoop, trace: Trace) -> None:
        self.name = name
        self.loop = loop
        self.trace = trace
        self.is_up = True
        self.is_paused = False
        self._held: list[Callable[[], None]] = []

    def kill(self) -> None:
        self.is_up = False
        held, self._held = self._held, []
        for each in held:
            each()

    def start(self) -> None:
        self.is_up = True

    def pause(self) -> None:
        self.is_paused = True

    def go_on(self) -> None:
        self.is_paused = False
        held, self._held = self._held, []
        for each in held:
            each()

    def receive(self, work: Callable[[], None]) -> None:
        if self.is_paused and self.is_up:
            self._held.append(work)
        else:
            work()


class Link:
    """
    One process's way to one server. `is_cut` loses everything, silently. The process dies with its next call whose name begins
    with `deadly_call`: before it is sent or, where it `is_deadly_call_heard`, once it has been carried out.
    """

    def __init__(
        self, server: Server, process: Process, *, rng: random.Random, faults: Faults, timeout_seconds: float
    ) -> None:
        self.server = server
        self.is_cut = False
        self.deadly_call: str | None = None
        self.is_deadly_call_heard = False
        self._process = process
        self._rng = rng
        self._faults = faults
        self._timeout = timeout_seconds

    async def call(self, name: str, work: Callable[[], T], *, is_read: bool = False) -> T:
        """
        What `work`, carried out at the server, returns or raises.

        Raises:
            DependencyUnavailable: refused, or the server died with the call.
            DependencyTimeout: no answer; the call may have been carried out, or may still be.
        """
        loop, server, rng, faults = self.server.loop, self.server, self._rng, self._faults
        answer: asyncio.Future[T] = loop.create_future()
        what = f"{self._process.name} > {server.name} {name}"
        there, back = rng.random() * _MOST_LATENCY, rng.random() * _MOST_LATENCY
        is_lost, is_reply_lost = rng.random() < faults.lost, rng.random() < faults.reply_lost
        if rng.random() < faults.delayed:
            server.trace.counts[f"{server.name}: delayed"] += 1
            if rng.random() < 0.5:
                there += rng.random() * faults.longest_delay
            else:
                back += rng.random() * faults.longest_delay

        is_deadly = self.deadly_call is not None and name.startswith(self.deadly_call)
        if is_deadly:
            self.deadly_call = None
            server.trace.counts[f"{server.name}: replica died of a call"] += 1
            if not self.is_deadly_call_heard:
                self._process.kill()
                await asyncio.Event().wait()

        def reply(take: Callable[[], None]) -> None:
            if is_deadly:
                self._process.kill()
            if self.is_cut or is_reply_lost:
                server.trace.counts[f"{server.name}: reply lost"] += 1
                return
            self._process.call_at(loop.time() + back, take)

        def take_result(result: T) -> None:
            if not answer.done():
                answer.set_result(result)

        def take_failure(failure: Exception) -> None:
            if not answer.done():
                answer.set_exception(failure)

        def carry_out() -> None:
            if not server.is_up:
                server.trace.counts[f"{server.name}: refused"] += 1
                down = DependencyUnavailable(server.name, "connection refused", may_have_happened=False)
                reply(lambda: take_failure(down))
                return
            try:
                result = work()
            except Exception as exc:
                failure = exc
                server.trace.note(loop.time(), f"{what} ! {type(exc).__name__}")
                reply(lambda: take_failure(failure))
            else:
                server.trace.note(loop.time(), what)
                reply(lambda: take_result(result))

        def arrive() -> None:
            server.receive(carry_out)

        if self.is_cut or is_lost:
            server.trace.counts[f"{server.name}: lost"] += 1
        else:
            loop.world.call_at(loop.time() + there, arrive)
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            raise DependencyTimeout(server.name, "no answer", may_have_happened=not is_read) from None
