"""
Ask `careline worker` to end at one moment or another, and say how long that took and what it was at.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from core.ids import receipt_for
from core.records import NewTicket, Notification, OutboxItem, OutboxKind, recipient_of
from state.sql.engine import Database
from state.sql.outbox import SqlOutbox
from tests.servers import PostgresServer, RedisServer
from tests.worker_process import WorkerProcess

DRAIN_SECONDS = 1.0
GRACE_SECONDS = 1.0
Moment = Literal["start", "task", "idle", "servers silent", "servers gone"]
MOMENTS: tuple[Moment, ...] = ("start", "task", "idle", "servers silent", "servers gone")
_LONGEST_START_SECONDS = 12.0
_GIVEN_UP_SECONDS = 60.0
_NEVER = 999
_PROMISED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    moment: Moment
    after_seconds: float
    """Since the process was begun, or since it was at work."""
    took_seconds: float
    code: int
    log: str

    @property
    def is_in_time(self) -> bool:
        return self.took_seconds <= DRAIN_SECONDS + GRACE_SECONDS

    def __str__(self) -> str:
        return f"{self.moment}, after {self.after_seconds:.2f} s: {self.took_seconds:.2f} s, code {self.code}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the worker runs. `servers` are what it needs and can lose; none for SQLite alone."""

    folder: Path
    database_url: str
    settings: Mapping[str, str]
    servers: tuple[PostgresServer | RedisServer, ...] = ()

    def ending(self, moment: Moment, chance: random.Random) -> Ending:
        with silent_mail_server() as port:
            worker = WorkerProcess(
                self.folder,
                {
                    "database_url": self.database_url,
                    "drain_seconds": str(DRAIN_SECONDS),
                    "outbox_poll_seconds": "0.2",
                    "smtp_url": f"smtp://127.0.0.1:{port}",
                    "log_level": "info",
                    **self.settings,
                },
            )
            if moment == "task":
                asyncio.run(_promise(self.database_url))
            worker.start()
            try:
                if moment != "start":
                    worker.wait_until_ready()
                after_seconds = chance.uniform(0.0, _LONGEST_START_SECONDS if moment == "start" else 2.0)
                time.sleep(after_seconds)
                with self._without_servers(moment, chance):
                    return _ended(worker, moment, after_seconds)
            finally:
                worker.kill()

    @contextmanager
    def _without_servers(self, moment: Moment, chance: random.Random) -> Iterator[None]:
        """As the worker has noticed, or is just about to."""
        if moment not in ("servers silent", "servers gone"):
            yield
            return
        for server in self.servers:
            if moment == "servers silent":
                server.pause()
            else:
                server.kill()
        try:
            time.sleep(chance.uniform(0.0, 1.5))
            yield
        finally:
            for server in self.servers:
                if moment == "servers silent":
                    server.resume()
                else:
                    server.start()


def _ended(worker: WorkerProcess, moment: Moment, after_seconds: float) -> Ending:
    began = time.monotonic()
    try:
        code = worker.terminate(seconds=_GIVEN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        code = _NEVER
    took_seconds = time.monotonic() - began
    return Ending(
        moment=moment,
        after_seconds=after_seconds,
        took_seconds=took_seconds,
        code=code,
        log=worker.log.read_text()[-4000:],
    )


async def _promise(database_url: str) -> None:
    """Tickets, which are quick, and e-mails, each of which waits for a server that says nothing."""
    database = Database(database_url, timeout_seconds=10.0)
    outbox = SqlOutbox(database)
    run = f"{time.time_ns():x}"
    for number in range(_PROMISED):
        key = f"effect_{run}_{number}"
        ticket = NewTicket(key, receipt_for(key), "ada", "conv_none", "Lamp", f"It is broken, {key}.")
        item = OutboxItem(key, OutboxKind.TICKET, "default", "conv_none", msgspec.to_builtins(ticket))
        if number % 3 == 0:
            address = f"{key}@shop.example"
            mail = Notification(key, "email", address, "Hi", f"Hello {key}")
            item = OutboxItem(
                key,
                OutboxKind.NOTIFICATION,
                "default",
                "conv_none",
                msgspec.to_builtins(mail),
                recipient=recipient_of("email", address),
            )
        await outbox.put(item)
    await database.close()


@contextmanager
def silent_mail_server() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def busy_processor(processes: int) -> Iterator[None]:
    """Load beside the worker."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in busy:
            os.kill(each.pid, signal.SIGKILL)
            each.wait()
