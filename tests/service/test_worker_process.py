"""`careline worker` as a process of its own: several at once, ended gently and not, with a broker and without."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import msgspec

from core.ids import receipt_for
from core.records import NewTicket, Notification, OutboxItem, OutboxKind
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.outbox import OutboxEntry, SqlOutbox
from tests.careline_process import CarelineProcess, environment
from tests.contracts.databases import message
from tests.servers import RedisServer
from tests.worker_process import WorkerProcess

LEASE_SECONDS = 3.0
TIMES = {
    "outbox_lease_seconds": str(LEASE_SECONDS),
    "outbox_poll_seconds": "0.3",
    "smtp_step_seconds": "0.7",
    "log_level": "info",
}


class Record:
    """The database that the processes share, looked at from outside."""

    def __init__(self, url: str, conversation_id: str, database: Database) -> None:
        self.url = url
        self.conversation_id = conversation_id
        self._outbox = SqlOutbox(database)
        self._store = SqlConversationStore(database, owner="test", lease_seconds=30.0)

    async def promise_tickets(self, count: int) -> list[str]:
        keys = [f"effect_{number}" for number in range(count)]
        for key in keys:
            wanted = NewTicket(key, receipt_for(key), "ada", self.conversation_id, "Lamp", "It is broken.")
            await self._put(key, OutboxKind.TICKET, wanted)
        return keys

    async def promise_mail(self, key: str) -> None:
        await self._put(
            key, OutboxKind.NOTIFICATION, Notification(key, "email", "ada@example.org", "Hi", "Hello")
        )

    async def _put(self, key: str, kind: OutboxKind, wanted: NewTicket | Notification) -> None:
        await self._outbox.put(
            OutboxItem(key, kind, "default", self.conversation_id, msgspec.to_builtins(wanted))
        )

    async def entries(self) -> dict[str, OutboxEntry]:
        return {each.item.key: each for each in await self._outbox.entries(limit=None)}

    async def wait(
        self, until: Callable[[Mapping[str, OutboxEntry]], bool], *, seconds: float = 40.0
    ) -> float:
        """How long it took."""
        began = time.monotonic()
        while not until(await self.entries()):
            assert time.monotonic() - began < seconds, await self.entries()
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def notes(self) -> list[str]:
        said = await self._store.messages("default", self.conversation_id, after=0, limit=1000)
        return [each.text for each in said if each.role == "system"]


@asynccontextmanager
async def record_at(url: str) -> AsyncIterator[Record]:
    await asyncio.to_thread(upgrade, url)
    database = Database(url, timeout_seconds=10.0)
    try:
        store = SqlConversationStore(database, owner="test", lease_seconds=30.0)
        taken = await store.intake(message())
        assert taken.lease is not None
        await store.release(taken.lease)
        yield Record(url, taken.conversation_id, database)
    finally:
        await database.close()


def all_done(entries: Mapping[str, OutboxEntry]) -> bool:
    return all(each.status == "done" for each in entries.values())


def careline(folder: Path, url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env=environment({"database_url": url, "log_level": "error"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_worker_killed_in_mid_task_leaves_everything_to_the_other_once_per_key(
    tmp_path: Path, postgres_database: str, redis_server: RedisServer
) -> None:
    """The broker only tells of items; the outbox is what counts."""
    settings = {**TIMES, "database_url": postgres_database, "broker_url": redis_server.url}
    async with record_at(postgres_database) as record:
        with WorkerProcess(tmp_path, settings) as dying, WorkerProcess(tmp_path, settings):
            keys = await record.promise_tickets(60)
            await record.wait(lambda entries: any(each.status == "done" for each in entries.values()))
            dying.kill()
            took = await record.wait(all_done)
        tickets = await asyncio.to_thread(tickets_in, postgres_database)
        notes = await record.notes()

    assert took < LEASE_SECONDS + 15
    assert sorted(tickets) == sorted(keys)
    assert len([note for note in notes if "is now ticket" in note]) == len(keys)


def tickets_in(url: str) -> list[str]:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return [row[0] for row in connection.execute("SELECT key FROM tickets")]


async def test_sigterm_lets_a_worker_end_what_it_has_begun(tmp_path: Path, sqlite_url: str) -> None:
    """Cut short, the mail would be of unknown fate, and a person would have to look for it."""
    async with record_at(sqlite_url) as record, SlowMail() as mail:
        settings = {**TIMES, "database_url": sqlite_url, "smtp_url": f"smtp://127.0.0.1:{mail.port}"}
        await record.promise_mail("effect_1")
        with WorkerProcess(tmp_path, settings) as worker:
            await asyncio.wait_for(mail.began.wait(), 20)
            leaving = asyncio.create_task(asyncio.to_thread(worker.terminate))
            await asyncio.sleep(0.2)
            mail.may_answer.set()
            code = await leaving
        (entry,) = (await record.entries()).values()

    assert code == 0
    assert (entry.status, entry.error) == ("done", None)
    assert mail.count == 1


class SlowMail:
    """Takes a message, and says so when it is let."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.count = 0
        self.port = 0
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "SlowMail":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_answer.set()
        self._server.close()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            await self._converse(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 slow\r\n")
        is_data = False
        while line := await reader.readline():
            if is_data and line != b".\r\n":
                continue
            verb = line[:4].upper()
            if is_data:
                self.began.set()
                await self.may_answer.wait()
                self.count += 1
            is_data = verb == b"DATA"
            writer.write(
                b"354 go on\r\n" if is_data else b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n"
            )


async def test_a_mail_that_was_cut_short_waits_for_an_operator_whose_word_the_customer_hears(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with record_at(sqlite_url) as record, SlowMail() as mail:
        settings = {
            **TIMES,
            "database_url": sqlite_url,
            "smtp_url": f"smtp://127.0.0.1:{mail.port}",
        }
        await record.promise_mail("effect_1")
        with WorkerProcess(tmp_path, settings) as dying:
            await asyncio.wait_for(mail.began.wait(), 20)
            dying.kill()
        with WorkerProcess(tmp_path, settings):
            await record.wait(lambda entries: entries["effect_1"].status == "dead")
        (listed,) = json.loads(
            await asyncio.to_thread(careline, tmp_path, sqlite_url, "outbox", "list", "--json")
        )
        await asyncio.to_thread(
            careline, tmp_path, sqlite_url, "outbox", "done", listed["receipt"], "<seen@example.org>"
        )
        (entry,) = (await record.entries()).values()
        notes = await record.notes()

    assert (listed["status"], listed["error"]) == ("unknown", "fate_unknown")
    assert "ada@example.org" in listed["check"]
    assert (entry.status, entry.reference) == ("done", "<seen@example.org>")
    assert notes[-1] == f"The message with receipt number {listed['receipt']} has been sent to you."


async def test_work_that_no_worker_takes_up_shows_on_readyz_until_one_comes(
    tmp_path: Path, sqlite_url: str
) -> None:
    settings = {**TIMES, "database_url": sqlite_url}

    def ready(service: CarelineProcess) -> tuple[int, str, str]:
        answer = httpx.get(f"{service.url}/readyz", timeout=5)
        return answer.status_code, answer.json()["status"], answer.json()["dependencies"]["workers"]["state"]

    async with record_at(sqlite_url) as record:
        with CarelineProcess(
            tmp_path, {**settings, "background_work": "workers", "check_seconds": "0.2"}
        ) as service:
            await record.promise_tickets(2)
            await asyncio.sleep(1.0)
            fresh = await asyncio.to_thread(ready, service)
            with sqlite3.connect(tmp_path / "careline.db") as connection:
                connection.execute("UPDATE outbox SET due_at = due_at - 600000000 WHERE status = 'due'")
            await asyncio.to_thread(until, lambda: ready(service)[2] == "down")
            unattended = await asyncio.to_thread(ready, service)
            with WorkerProcess(tmp_path, settings):
                await record.wait(all_done)
                await asyncio.to_thread(until, lambda: ready(service)[2] == "up")

    assert fresh == (200, "ready", "up")
    assert unattended == (200, "degraded", "down")


def until(holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to that in time"
        time.sleep(0.1)


async def test_a_service_that_leaves_the_work_to_workers_leaves_it(tmp_path: Path, sqlite_url: str) -> None:
    settings = {**TIMES, "database_url": sqlite_url}
    async with record_at(sqlite_url) as record:
        with CarelineProcess(tmp_path, {**settings, "background_work": "workers"}) as service:
            await record.promise_tickets(3)
            await asyncio.sleep(1.5)
            before = await record.entries()
            async with httpx.AsyncClient() as client:
                ready = (await client.get(f"{service.url}/readyz", timeout=5)).status_code
            with WorkerProcess(tmp_path, settings):
                await record.wait(all_done)

    assert ready == 200
    assert {each.status for each in before.values()} == {"due"}


def test_a_broker_whose_library_is_missing_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "taskiq_redis").mkdir()
    (tmp_path / "taskiq_redis" / "__init__.py").write_text("import taskiq_redis_is_not_there")

    done = subprocess.run(
        [sys.executable, "-m", "agent", "worker"],
        cwd=tmp_path,
        env=environment({"broker_url": "redis://127.0.0.1:1/0"}, packages=tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "careline[broker]" in done.stderr


def test_what_is_kept_long_enough_is_forgotten(tmp_path: Path, sqlite_url: str) -> None:
    upgrade(sqlite_url)
    with sqlite3.connect(tmp_path / "careline.db") as connection:
        for key, status in (("old", "done"), ("waits", "dead")):
            connection.execute(
                "INSERT INTO outbox (tenant, key, kind, conversation_id, payload, locale, status, attempts, due_at, "
                "created_at) VALUES ('default', ?, 'ticket', 'c', x'80', 'en', ?, 1, 0, 0)",
                (key, status),
            )
        for key, status in (("effect_over", "confirmed"), ("effect_in_doubt", "unknown")):
            connection.execute(
                "INSERT INTO effects (tenant, key, turn_id, step, tool, status, record, at) "
                "VALUES ('default', ?, 't', 1, 'notify', ?, x'80', 0)",
                (key, status),
            )
        connection.execute("INSERT INTO turn_events VALUES ('default', 't', 1, 1, x'00', 0)")

    with WorkerProcess(tmp_path, {"database_url": sqlite_url}) as worker:
        worker.wait_until_logged('"kind":"turn_events"')

    with sqlite3.connect(tmp_path / "careline.db") as connection:
        assert connection.execute("SELECT key FROM outbox").fetchall() == [("waits",)]
        assert connection.execute("SELECT key FROM effects").fetchall() == [("effect_in_doubt",)]
        assert connection.execute("SELECT * FROM turn_events").fetchall() == []
