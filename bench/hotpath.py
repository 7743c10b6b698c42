"""
CPU of the server process for one turn with a language model, beside a handler as a typical engineer writes it.

    python -m bench.hotpath [--turns 640] [--rounds 4] [--postgres] [--profile]

A turn: 20 messages of history read, 2 calls of the model (streamed), 1 tool (`customer_info`: a guarded read of the customer's
orders), Redis and SQL written; rate limits, server keys, leases, idempotency, guards, metrics and logs are all on. Both services
are processes of their own beside a private Redis (AOF always) and a mock model server, and are measured by turns: ABAB…

Embedding is measured apart: in the first comparison there are no articles to search, then the same turns run with the demo
shop's articles and a new question each time. Grounding is inside all figures, and timed alone as well.
"""

import argparse
import asyncio
import contextlib
import cProfile
import json
import multiprocessing
import os
import pstats
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import uvicorn
import uvloop

from agent.app import create_app
from agent.bootstrap import open_careline
from agent.brain.grounded_reply import GroundedReply
from agent.brain.grounding import Grounds
from agent.demo import shop
from agent.turn.stream import TurnStream
from bench.lean_handler import GOAL_OVER_LEAN
from bench.load import CUSTOMER, KEY, QUESTION, Customers
from bench.model_server import reply_about
from core.identity import DEFAULT_TENANT
from core.messages import Action, ActionStatus
from core.records import Customer, Order
from core.settings import Settings
from core.telemetry.logging import configure_logging
from tests.careline_process import CarelineProcess, environment
from tests.servers import PostgresServer, RedisServer, free_port
from tools.protocol import ToolOutcome

CUSTOMERS = 32
_EARLIER_TURNS = 10
_ORDER_ID = "QC{number}"
_FIRST_ORDER = 300_000
_ITEMS = ("Heron Gravel helmet, M", "Merino socks, 2 pairs")
_TRACKING = "BX7731900421GB"
_START_SECONDS = 30.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Service(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...


class Program:
    """A Python module as a process that listens on `port`; its output goes to a file of its own in `folder`."""

    def __init__(self, folder: Path, *arguments: str, port: int, variables: dict[str, str]) -> None:
        self.port = port
        self._folder = folder
        self._arguments = arguments
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "Program":
        log = self._folder / f"{self.port}.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                cwd=self._folder,
                env={**environment({}), **self._variables},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        ends_at = time.monotonic() + _START_SECONDS
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"{self._arguments} did not start: {log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Stage:
    """The servers that both services use, and a database for each service that asks for one."""

    def __init__(self, stack: ExitStack, *, is_postgres: bool, token_seconds: float = 0.0) -> None:
        self._stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="careline-bench-")))
        self._redis = stack.enter_context(RedisServer())
        self._postgres = stack.enter_context(PostgresServer()) if is_postgres else None
        self._databases = 0
        port = free_port()
        model = Program(
            self.folder,
            "bench.model_server",
            str(port),
            "--token-seconds",
            str(token_seconds),
            port=port,
            variables={},
        )
        self.model_url = f"{stack.enter_context(model).url}/v1"

    def database_url(self) -> str:
        self._databases += 1
        if self._postgres is None:
            return f"sqlite+aiosqlite:///{self.folder / f'{self._databases}.db'}"
        self._postgres.create_database(name := f"bench_{self._databases}")
        return self._postgres.url(name)

    def redis_url(self) -> str:
        return f"{self._redis.url.rsplit('/', 1)[0]}/{self._databases % 16}"

    def settings(self, *, has_articles: bool) -> dict[str, str]:
        """Of an installation with customers in it, and the demo shop's articles where they are wanted."""
        settings = {
            "database_url": self.database_url(),
            "redis_url": self.redis_url(),
            "data_dir": str(self.folder / f"knowledge-{self._databases}"),
            "model_url": self.model_url,
            "model": "mock",
            "api_keys": f"bench:{KEY}",
            "company_name": shop.COMPANY,
            "contact_address": shop.CONTACT,
            "rate_limit_per_customer": "1000000/hour",
            "rate_limit": "10000000/hour",
        }
        asyncio.run(_furnish(Settings.model_validate(settings), has_articles=has_articles))
        return settings

    def careline(self, *, has_articles: bool = False) -> CarelineProcess:
        return self._stack.enter_context(
            CarelineProcess(self.folder, self.settings(has_articles=has_articles))
        )

    def naive(self) -> Program:
        return self._handler(
            "naive", {"NAIVE_DATABASE_URL": self.database_url(), "NAIVE_REDIS_URL": self.redis_url()}
        )

    def lean(self) -> Program:
        self._databases += 1
        return self._handler(
            "lean", {"LEAN_DATABASE": str(self.folder / "lean.db"), "LEAN_REDIS_URL": self.redis_url()}
        )

    def _handler(self, name: str, servers: dict[str, str]) -> Program:
        port = free_port()
        app = f"bench.{name}_handler:app"
        settings = {"MODEL_URL": self.model_url, "KEY": KEY, "CUSTOMERS": str(CUSTOMERS)}
        variables = servers | {f"{name.upper()}_{key}": value for key, value in settings.items()}
        return self._stack.enter_context(
            Program(self.folder, "uvicorn", app, "--port", str(port), port=port, variables=variables)
        )


async def _furnish(settings: Settings, *, has_articles: bool) -> None:
    now = datetime.now(UTC)
    async with open_careline(settings.model_copy(update={"model_url": None})) as careline:
        for number in range(CUSTOMERS):
            order = Order(_order_id(number), now, "shipped", _ITEMS, 10450, "GBP", _TRACKING)
            customer_id = CUSTOMER.format(number=number)
            customer = Customer(
                customer_id=customer_id, name=f"Customer {number}", locale="en", orders=(order,)
            )
            await careline.records.customers.put_customer(DEFAULT_TENANT, customer)
        if has_articles:
            await careline.ingestion.run([shop.ARTICLES], DEFAULT_TENANT, source="demo")


class Measured:
    """CPU and waiting of one service over its rounds; seconds."""

    def __init__(self, service: Service, *, are_new: bool = False) -> None:
        self._service = service
        self._are_new = are_new
        self._customers = Customers(service.url, range(CUSTOMERS))
        self.cpu: list[float] = []
        self.waited: list[float] = []
        self.turns_a_second: list[float] = []

    def warm_up(self) -> None:
        """Until each conversation has 20 messages."""
        asyncio.run(self._customers.ask(_EARLIER_TURNS * CUSTOMERS, expected=_TRACKING))

    def round(self, turns: int) -> None:
        cpu, began = cpu_seconds(self._service.pid), time.perf_counter()
        waited = asyncio.run(self._customers.ask(turns, expected=_TRACKING, are_new=self._are_new))
        self.turns_a_second.append(turns / (time.perf_counter() - began))
        self.cpu.append((cpu_seconds(self._service.pid) - cpu) / turns)
        self.waited += waited

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(self.cpu)

    def row(self, name: str) -> str:
        waited = sorted(self.waited)
        return (
            f"{name:<44} {self.cpu_seconds * 1000:6.2f} ms CPU a turn ({min(self.cpu) * 1000:.2f} to "
            f"{max(self.cpu) * 1000:.2f}), p50 {statistics.median(waited) * 1000:.0f} ms, "
            f"p95 {waited[int(len(waited) * 0.95)] * 1000:.0f} ms, "
            f"{statistics.median(self.turns_a_second):.0f} turns/s, {self._customers.resent} sent again"
        )


def compare(stage: Stage, *, turns: int, rounds: int) -> tuple[Measured, Measured, Measured]:
    """Ours, the naive one and the lean one, by turns."""
    compared = (Measured(stage.careline()), Measured(stage.naive()), Measured(stage.lean()))
    for each in compared:
        each.warm_up()
    for _ in range(rounds):
        for each in compared:
            each.round(turns)
    return compared


def with_articles(stage: Stage, *, turns: int, rounds: int) -> Measured:
    measured = Measured(stage.careline(has_articles=True), are_new=True)
    measured.warm_up()
    for _ in range(rounds):
        measured.round(turns)
    return measured


def long_conversations(stage: Stage, *, messages: int, pairs: int) -> tuple[float, float]:
    """Median seconds of a turn after 10 messages and after `messages`, asked by turns over one connection."""
    url = stage.careline().url
    long = Customers(url, range(4))
    asyncio.run(long.ask(4 * messages // 2, expected=_TRACKING))
    early: list[float] = []
    late: list[float] = []
    for pair in range(pairs):
        short = Customers(url, [4 + pair % (CUSTOMERS - 4)])
        asyncio.run(short.ask(5, at_once=1))
        for asked, waited in ((short, early), (long, late)):
            # The first question opens the connection.
            waited.extend(asyncio.run(asked.ask(3, at_once=1, expected=_TRACKING))[1:])
    return statistics.median(early), statistics.median(late)


async def grounding_seconds(repeats: int) -> float:
    """CPU of checking one reply against what one tool call and 20 earlier messages gave."""
    order_id = _order_id(0)
    order = {"order_id": order_id, "status": "shipped", "items": list(_ITEMS), "tracking": _TRACKING}
    action = Action(call_id="call", tool="customer_info", status=ActionStatus.SUCCEEDED, summary="Found.")
    outcome = ToolOutcome(action=action, value={"orders": [order]})
    words = reply_about(order_id).split(" ")
    began = time.process_time()
    for _ in range(repeats):
        grounds = Grounds(
            customer_text="\n".join([QUESTION] * (_EARLIER_TURNS + 1)),
            company_name=shop.COMPANY,
            contact_address=shop.CONTACT,
            checks_names=True,
        )
        grounds.add_outcome(outcome)
        reply = GroundedReply(grounds, TurnStream())
        for word in words:
            await reply.write(f"{word} ")
        await reply.end_answer()
        assert _TRACKING in reply.text
    return (time.process_time() - began) / repeats


async def profile(settings: Settings, turns: int) -> cProfile.Profile:
    """The service in this process under cProfile, which makes everything slower: read shares, not times."""
    profiler = cProfile.Profile()
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with open_careline(settings) as careline:
            config = uvicorn.Config(
                create_app(careline.parts), access_log=False, log_config=None, lifespan="off"
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(pool, _drive, url, 2 * CUSTOMERS)
                profiler.enable()
                await loop.run_in_executor(pool, _drive, url, turns)
                profiler.disable()
            server.should_exit = True
            await serving
    return profiler


def _drive(url: str, turns: int) -> None:
    asyncio.run(Customers(url, range(CUSTOMERS)).ask(turns, at_once=4))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def _order_id(number: int) -> str:
    return _ORDER_ID.format(number=_FIRST_ORDER + number)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def stage_with(*, is_postgres: bool, token_seconds: float = 0.0) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, is_postgres=is_postgres, token_seconds=token_seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    configure_logging("error")
    with stage_with(is_postgres=options.postgres, token_seconds=options.token_seconds) as stage:
        if options.profile:
            settings: dict[str, Any] = stage.settings(has_articles=False)
            with (stage.folder / "profile.log").open("w") as log:
                configure_logging("info", stream=log)
                profiler = uvloop.run(profile(Settings(**settings), options.turns))
            pstats.Stats(profiler).sort_stats("tottime").print_stats(60)
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(140)
            return
        ours, naive, lean = compare(stage, turns=options.turns, rounds=options.rounds)
        figures = {
            "cpu_ms": ours.cpu_seconds * 1000,
            "naive_cpu_ms": naive.cpu_seconds * 1000,
            "naive_over_ours": naive.cpu_seconds / ours.cpu_seconds,
            "lean_cpu_ms": lean.cpu_seconds * 1000,
            "ours_over_lean": ours.cpu_seconds / lean.cpu_seconds,
            "goal_over_lean": GOAL_OVER_LEAN,
        }
        print(ours.row("careline, nothing to search"))
        print(naive.row("naive handler"))
        print(lean.row("lean handler"))
        if not options.brief:
            searching = with_articles(stage, turns=options.turns, rounds=options.rounds)
            print(searching.row("careline, a new question embedded, searched"))
            figures["with_search_cpu_ms"] = searching.cpu_seconds * 1000
            figures["grounding_cpu_ms"] = asyncio.run(grounding_seconds(200)) * 1000
            early, late = long_conversations(stage, messages=1000, pairs=100)
            figures |= {
                "p50_ms_10": early * 1000,
                "p50_ms_1000": late * 1000,
                "late_over_early": late / early,
            }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=640, help="a round (default 640)")
    parser.add_argument("--rounds", type=int, default=4, help="of each handler, by turns (default 4)")
    parser.add_argument("--postgres", action="store_true", help="in place of SQLite")
    parser.add_argument(
        "--token-seconds", type=float, default=0.0, help="pause of the model between two words"
    )
    parser.add_argument("--brief", action="store_true", help="only the comparison")
    parser.add_argument("--profile", action="store_true", help="only where the CPU time goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
