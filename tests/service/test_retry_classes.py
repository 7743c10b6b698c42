"""
Which answers of a provider are asked for again, and when: one table, met over real sockets by core.http's clients behind a guard.

The table stands in docs/resilience.md, too; it refines the one in the specification, where a 5xx is "maybe" repeated.
"""

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.errors import CarelineError
from core.http import make_client, raise_for_answer, translate
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryBudget, RetryPolicy
from tests.servers import free_port
from tests.service.status_server import StatusServer

PAGE = Path(__file__).parents[2] / "docs" / "resilience.md"
ATTEMPTS = 3
NEVER, ALWAYS = 1, ATTEMPTS


@dataclass(frozen=True, slots=True)
class Row:
    """`reading` and `writing` are the attempts; what writes here has no key by which a repeat would be recognised."""

    answer: str
    reading: int
    writing: int
    pause: str


TABLE = [
    Row("400", NEVER, NEVER, "–"),
    Row("401", NEVER, NEVER, "–"),
    Row("403", NEVER, NEVER, "–"),
    Row("404", NEVER, NEVER, "–"),
    Row("405", NEVER, NEVER, "–"),
    Row("408", NEVER, NEVER, "–"),
    Row("409", NEVER, NEVER, "–"),
    Row("410", NEVER, NEVER, "–"),
    Row("413", NEVER, NEVER, "–"),
    Row("422", NEVER, NEVER, "–"),
    Row("429", ALWAYS, ALWAYS, "Retry-After"),
    Row("500", ALWAYS, NEVER, "backoff"),
    Row("501", NEVER, NEVER, "–"),
    Row("502", ALWAYS, NEVER, "backoff"),
    Row("503", ALWAYS, ALWAYS, "Retry-After"),
    Row("504", ALWAYS, NEVER, "backoff"),
    Row("505", NEVER, NEVER, "–"),
    Row("connection refused", ALWAYS, ALWAYS, "backoff"),
    Row("connection broken", ALWAYS, NEVER, "backoff"),
    Row("no answer in time", ALWAYS, NEVER, "backoff"),
]


async def attempts_at(row: Row, *, may_repeat: bool, retry_after: str | None) -> tuple[int, float]:
    """How often it was tried, and the shortest pause between two tries in seconds."""
    tries: list[float] = []
    clock = SystemClock()
    policy = GuardPolicy(
        attempt_seconds=1.0,
        total_seconds=20.0,
        retry=RetryPolicy(attempts=ATTEMPTS, base_seconds=0.001),
        breaker=BreakerPolicy(starts_as=CircuitState.DISABLED),
    )
    guard = Guard("tickets", policy, clock=clock, rng=random.Random(1), retry_budget=RetryBudget(reserve=10))
    server = StatusServer(
        int(row.answer) if row.answer.isdigit() else 200,
        headers={"Retry-After": retry_after} if retry_after else {},
        breaks=row.answer == "connection broken",
        is_silent=row.answer == "no answer in time",
    )
    async with server:
        url = f"http://127.0.0.1:{free_port()}" if row.answer == "connection refused" else server.url
        async with make_client("tickets", base_url=url, timeout_seconds=0.1) as client:

            async def attempt() -> None:
                tries.append(clock.monotonic())
                try:
                    response = await client.post("/")
                except Exception as exc:
                    raise translate("tickets", exc) from exc
                raise_for_answer("tickets", response)

            with pytest.raises(CarelineError):
                await guard.run(attempt, may_repeat=may_repeat)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    return len(tries), min(pauses, default=0.0)


@pytest.mark.parametrize("row", TABLE, ids=[row.answer for row in TABLE])
async def test_an_answer_is_asked_for_again_as_the_table_says(row: Row) -> None:
    read, _ = await attempts_at(row, may_repeat=True, retry_after=None)
    written, _ = await attempts_at(row, may_repeat=False, retry_after=None)

    assert (read, written) == (row.reading, row.writing)


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.pause == "Retry-After"], ids=lambda row: row.answer
)
async def test_who_names_a_time_is_given_it(row: Row) -> None:
    tries, pause = await attempts_at(row, may_repeat=True, retry_after="0.3")

    assert tries == ATTEMPTS
    assert pause >= 0.3


@pytest.mark.parametrize("status", ["408", "409"])
async def test_a_4xx_is_not_asked_again_even_where_it_names_a_time(status: str) -> None:
    tries, _ = await attempts_at(Row(status, NEVER, NEVER, "–"), may_repeat=True, retry_after="0.1")

    assert tries == NEVER


def test_the_page_shows_this_table() -> None:
    words = {NEVER: "no", ALWAYS: "yes"}
    lines = [f"| {row.answer} | {words[row.reading]} | {words[row.writing]} | {row.pause} |" for row in TABLE]

    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8")
