"""
Two real replicas with a real PostgreSQL, a real Redis, and a ticket desk that sometimes writes and does not say so.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.careline_process import CarelineProcess
from tests.chaos.history import Stored
from tests.chaos.proxy import Proxy
from tests.chaos.reading import read_stored, waiting
from tests.chaos.replica import WITHOUT
from tests.chaos.report import Run
from tests.servers import PostgresServer, RedisServer

LEASE_SECONDS = 3.0
_FORGETS_COMMITS = 0.15


@dataclass
class World:
    """`links` are the proxies of a replica's way to a dependency, by (replica, "sql" | "redis"), where they were asked for."""

    replicas: Sequence[CarelineProcess]
    record: PostgresServer
    desk: PostgresServer
    cache: RedisServer
    desk_link: Proxy
    links: Mapping[tuple[int, str], Proxy]

    @property
    def urls(self) -> list[str]:
        return [replica.url for replica in self.replicas]

    async def rest(self, *, seconds: float) -> float:
        """Wait until nothing is left to be done, or `seconds` are over; how long that took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if not await asyncio.to_thread(waiting, self.record, self.cache):
                break
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def stored(self) -> Stored:
        return await asyncio.to_thread(read_stored, self.record, self.desk, self.cache)

    def logged(self, event: str) -> int:
        """How often the replicas have logged an event."""
        mark = f'"event":"{event}"'
        return sum(replica.log.read_text(errors="replace").count(mark) for replica in self.replicas)


@contextlib.asynccontextmanager
async def open_world(
    run: Run,
    *,
    is_linked: bool = False,
    settings: Mapping[str, str] | None = None,
    record: PostgresServer | None = None,
    cache: RedisServer | None = None,
    variables: Sequence[Mapping[str, str]] = ({}, {}),
) -> AsyncIterator[World]:
    """
    `is_linked`: every replica reaches SQL and Redis through a proxy of its own. One replica for each of `variables`, which only
    `tests.chaos.replica` knows.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="careline-chaos-")))
        record = record or PostgresServer()
        cache = cache or RedisServer()
        desk = PostgresServer()
        servers = (record, cache, desk)
        for server in servers:
            stack.callback(server.close)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        record.create_database("careline")
        desk.create_database("desk")
        desk_link = await stack.enter_async_context(
            Proxy(desk.port, chance=run.chance, forgets_commits=_FORGETS_COMMITS)
        )
        links: dict[tuple[int, str], Proxy] = {}
        replicas = []
        for number, each in enumerate(variables):
            ports = {"sql": record.port, "redis": cache.port}
            for name in ports if is_linked else ():
                link = await stack.enter_async_context(Proxy(ports[name], chance=run.chance))
                links[(number, name)] = link
                ports[name] = link.port
            changed = {**each, **({WITHOUT: run.without} if run.without else {})}
            replica = CarelineProcess(
                folder,
                {
                    "database_url": postgres_url(ports["sql"], "careline"),
                    "tickets_database_url": postgres_url(desk_link.port, "desk"),
                    "redis_url": f"redis://127.0.0.1:{ports['redis']}/0",
                    "data_dir": str(folder / f"data-{number}"),
                    "lease_seconds": str(LEASE_SECONDS),
                    "rate_limit_per_customer": "0",
                    "max_turns": "200",
                    "log_level": "warning",
                    **(settings or {}),
                },
                module="tests.chaos.replica" if changed else "agent",
                variables=changed,
            )
            stack.callback(_end, replica)
            replicas.append(replica)
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
        yield World(replicas, record, desk, cache, desk_link, links)


def postgres_url(port: int, database: str) -> str:
    return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{database}"


def _end(replica: CarelineProcess) -> None:
    with contextlib.suppress(AssertionError, ProcessLookupError):
        replica.resume()
    replica.kill()
