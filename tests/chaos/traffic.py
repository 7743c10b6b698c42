"""
The traffic that every row has, and the judgement that every row ends with.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.chaos import checker
from tests.chaos.clients import Clients
from tests.chaos.history import Sent
from tests.chaos.report import Run
from tests.chaos.world import World

DIALOGUE = (
    "Hello, what can you do?",
    "Open a ticket: NAME flickers",
    "It flickers every evening since yesterday, and nothing helps.",
    "ada@example.org",
)
"""The ticket is opened by what its lines leave in the state, at the last one: nobody knows this customer's address."""

_VIOLATIONS_SHOWN = 20


class Traffic:
    """Conversations that begin at a steady rate while it is open; leaving waits until they end. `sent` are its messages."""

    def __init__(self, run: Run, clients: Clients, *, rate: float, script: Sequence[str] = DIALOGUE) -> None:
        self._run = run
        self._clients = clients
        self._rate = rate
        self._script = script
        self._is_over = False
        self._from = len(clients.sent)
        self._arriving: asyncio.Task[None] | None = None

    @property
    def sent(self) -> list[Sent]:
        return self._all[: self._to] if self._is_over else self._all

    async def __aenter__(self) -> Self:
        self._arriving = asyncio.create_task(
            self._clients.arrive(rate=self._rate, until=lambda: self._is_over, script=self._script)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        assert self._arriving is not None
        self._is_over = True
        if kind is not None:
            self._arriving.cancel()
            return
        await self._arriving
        await self._clients.finish(seconds=self._run.patience_seconds)
        self._to = len(self._all)

    @property
    def _all(self) -> list[Sent]:
        return self._clients.sent[self._from :]


async def judge(run: Run, world: World, sent: list[Sent], *, may_fork: bool = False) -> None:
    """Wait until the service is at rest, and put what is wrong with the history into the report."""
    run.figures["rest after s"] = round(await world.rest(seconds=run.patience_seconds), 2)
    stored = await world.stored()
    forks = checker.forks(sent, stored)
    run.violations += checker.violations(sent, stored) + ([] if may_fork else forks)
    run.figures |= {
        "messages": len(sent),
        "answered": sum(each.answered_at is not None for each in sent),
        "tickets": len(stored.tickets),
        "commits the desk forgot": world.desk_link.forgotten,
        "forks": len(forks),
        "fenced": world.logged("turn.fenced"),
        "outages of SQL begun": world.logged("state.sql_outage_began"),
    }
    if any(DIALOGUE[-1] in each.text for each in sent):  # or the checks of tickets have checked nothing
        run.at_least("tickets opened", len(stored.tickets), 1)


def shown(violations: list[str]) -> list[str]:
    more = len(violations) - _VIOLATIONS_SHOWN
    return violations[:_VIOLATIONS_SHOWN] + ([f"… and {more} more"] if more > 0 else [])
