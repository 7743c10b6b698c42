"""A database loses no update between processes, answers in bounded time, and fails in Careline's words."""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.errors import (
    DataIntegrityFailed,
    DependencyTimeout,
    DependencyUnavailable,
    InternalFailure,
    InvalidInput,
)
from state.sql.connection import Connection, Query
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database, async_url
from state.sql.lane import Attempt
from state.sql.migrate import upgrade
from state.sql.tables import customers
from tests.contracts.databases import answer, database, database_url, message  # noqa: F401
from tests.servers import PostgresServer, free_port
from tests.timing import assert_within

_PROCESS = """
import asyncio, sys
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from tests.contracts.databases import answer, message

async def main(url, name):
    database = Database(url, timeout_seconds=20)
    store = SqlConversationStore(database, owner=name, lease_seconds=60)
    for n in range(25):
        intake = await store.intake(message("hello", id="first"))
        intake = await store.intake(message(f"{name} {n}", id=f"{name}{n}", conversation=intake.conversation_id))
        lease = intake.lease
        while lease is not None:
            lease = await store.commit(answer(lease))
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_three_processes_on_one_file_lose_nothing(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    opened = Database(sqlite_url, timeout_seconds=5)
    store = SqlConversationStore(opened, owner="main", lease_seconds=60)
    first = await store.intake(message("hello", id="first"))
    assert first.lease is not None
    await store.commit(answer(first.lease))
    root = str(Path(__file__).parents[2])

    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROCESS, sqlite_url, name, cwd=root, env={"PYTHONPATH": root}
        )
        for name in "abc"
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]

    log = await store.messages("default", first.conversation_id, after=0, limit=1000)
    assert [m.seq for m in log] == list(range(1, len(log) + 1))
    texts = {m.text for m in log}
    assert {f"{name} {n}" for name in "abc" for n in range(25)} <= texts
    record = await store.conversation("default", first.conversation_id)
    assert record is not None
    assert record.answered == record.last_user
    await opened.close()


async def test_a_read_modify_write_under_contention_loses_no_update(database: Database) -> None:  # noqa: F811
    row = customers.c.customer_id == "n"

    async def create(connection: Connection) -> None:
        await connection.execute(
            sa.insert(customers).values(tenant="default", customer_id="n", name="0", attributes={})
        )

    async def increase(connection: Connection) -> None:
        name = (
            await connection.execute(sa.select(customers.c.name).where(row).with_for_update())
        ).scalar_one()
        await connection.execute(sa.update(customers).where(row).values(name=str(int(name) + 1)))

    await database.write(create)
    await asyncio.gather(*(database.write(increase) for _ in range(30)))

    async def read(connection: Connection) -> str:
        return str((await connection.execute(sa.select(customers.c.name).where(row))).scalar_one())

    assert await database.read(read) == "30"


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:  # noqa: F811
    async def write(connection: Connection) -> None:
        await connection.execute(
            sa.insert(customers).values(tenant="default", customer_id="x", name="X", attributes={})
        )
        raise InternalFailure("on purpose")

    with pytest.raises(InternalFailure):
        await database.write(write)

    async def count(connection: Connection) -> int:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(customers))).scalar_one())

    assert await database.read(count) == 0


async def test_a_write_that_fails_as_late_as_its_commit_fails_the_transaction(
    database: Database,  # noqa: F811
) -> None:
    insert = Query(sa.insert(customers))
    ada = {"tenant": "default", "customer_id": "ada", "name": "Ada", "attributes": {}}

    async def write_twice(connection: Connection) -> None:
        await connection.write(insert, {**ada, "customer_id": "grace"})
        await connection.write(insert, ada)
        await connection.write(insert, ada)

    async def count(connection: Connection) -> int:
        return len(await connection.fetch(Query(sa.select(customers)), {}))

    with pytest.raises(DataIntegrityFailed):
        await database.write(write_twice)

    assert await database.read(count) == 0


async def test_what_is_asked_together_is_answered_in_order_and_sees_what_was_written_before(
    database: Database,  # noqa: F811
) -> None:
    insert = Query(sa.insert(customers))
    by_id = Query(sa.select(customers.c.name).where(customers.c.customer_id == sa.bindparam("customer_id_")))

    async def write(connection: Connection) -> list[list[str]]:
        for name in ("ada", "grace"):
            await connection.write(
                insert, {"tenant": "default", "customer_id": name, "name": name.title(), "attributes": {}}
            )
        answers = await connection.fetch_all(
            *((by_id, {"customer_id_": name}) for name in ("grace", "nobody", "ada"))
        )
        return [[row.name for row in rows] for rows in answers]

    assert await database.write(write) == [["Grace"], [], ["Ada"]]


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE messages; --",
        "100 %s %(text)s %%",
        "back\\slash \\' \\x41",
        "$$ $1 ?",
        "ключ 🔑 \u202e",
        "a\r\n\tb",
    ],
)
async def test_any_text_is_kept_as_it_is(database: Database, text: str) -> None:  # noqa: F811
    store = SqlConversationStore(database, owner="a", lease_seconds=30)

    intake = await store.intake(message(text))

    stored = await store.messages("default", intake.conversation_id, after=0, limit=10)
    assert [each.text for each in stored] == [text]


async def test_a_write_that_nobody_waits_for_any_more_is_not_committed(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    opened = Database(sqlite_url, timeout_seconds=5)
    store = SqlConversationStore(opened, owner="main", lease_seconds=60)
    other_process = sqlite3.connect(str(async_url(sqlite_url).database), isolation_level=None)
    other_process.execute("BEGIN IMMEDIATE")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await store.intake(message("hello", id="first"))
    other_process.execute("ROLLBACK")

    again = await store.intake(message("hello", id="first"))
    assert not again.is_duplicate
    assert again.lease is not None
    other_process.close()
    await opened.close()


@pytest.mark.parametrize("is_swept", [True, False])
async def test_a_message_whose_commit_came_after_its_caller_had_gone_is_answered_soon_or_when_it_comes_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, *, is_swept: bool
) -> None:
    upgrade(sqlite_url)
    opened = Database(sqlite_url, timeout_seconds=5)
    store = SqlConversationStore(opened, owner="main", lease_seconds=60)
    await store.intake(message("hello", id="before"))
    commit = Attempt.begin_commit

    def slowly(attempt: Attempt) -> None:
        commit(attempt)
        time.sleep(0.3)  # in the writing thread: the COMMIT is as good as sent

    monkeypatch.setattr(Attempt, "begin_commit", slowly)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await store.intake(message("hello", id="first"))
    monkeypatch.undo()

    if is_swept:
        taken = await store.claim_unanswered(limit=5)
        assert [lease.fresh[0].client_message_id for lease in taken] == ["first"]
        assert await store.claim_unanswered(limit=5) == []
        await opened.close()
        return
    elsewhere = SqlConversationStore(opened, owner="another", lease_seconds=60)
    there = await elsewhere.intake(message("hello", id="first"))
    again = await store.intake(message("hello", id="first"))
    twice = await store.intake(message("hello", id="first"))

    assert there.is_duplicate
    assert there.lease is None
    assert again.is_duplicate
    assert again.lease is not None
    assert twice.lease is None
    await opened.close()


@pytest.mark.alone
async def test_a_silent_server_is_given_up_in_time_and_used_again_later(
    killable_postgres: PostgresServer,
) -> None:
    opened = Database(killable_postgres.url(), timeout_seconds=0.5)
    await opened.ping()
    killable_postgres.pause()

    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await opened.ping()
        assert_within(time.monotonic() - began, 0.9)

    killable_postgres.resume()
    ends_at = time.monotonic() + 10
    while True:
        try:
            await opened.ping()
            break
        except (DependencyTimeout, DependencyUnavailable):
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.2)
    await opened.close()


async def test_the_first_call_after_a_restart_of_the_server_succeeds(
    killable_postgres: PostgresServer,
) -> None:
    opened = Database(killable_postgres.url(), timeout_seconds=3)
    await asyncio.gather(*(opened.ping() for _ in range(5)))

    killable_postgres.kill()
    with pytest.raises(DependencyUnavailable):
        await opened.ping()
    killable_postgres.start()

    await opened.ping()
    killable_postgres.kill()
    killable_postgres.start()
    await opened.ping()
    await opened.close()


async def test_an_error_names_the_dependency_that_the_store_belongs_to() -> None:
    opened = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/none", timeout_seconds=1)

    with pytest.raises(DependencyUnavailable) as refused:
        await opened.named("tickets").ping()

    assert refused.value.dependency == "tickets"
    await opened.close()


async def test_a_database_without_tables_is_our_mistake_and_not_an_outage(sqlite_url: str) -> None:
    opened = Database(sqlite_url, timeout_seconds=1)

    with pytest.raises(InternalFailure):
        await SqlConversationStore(opened, owner="a", lease_seconds=1).turn("default", "t")

    await opened.close()


async def test_text_that_a_database_cannot_hold_is_the_callers_mistake(database: Database) -> None:  # noqa: F811
    store = SqlConversationStore(database, owner="a", lease_seconds=30)

    with pytest.raises(InvalidInput):
        await store.intake(message("\ud800"))


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@h/n", "postgresql+psycopg"),
        ("postgres://u:p@h/n", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/n", "postgresql+psycopg"),
    ],
)
def test_plain_urls_get_the_driver_that_careline_brings(given: str, driver: str) -> None:
    assert async_url(given).drivername == driver


async def test_no_query_scans_or_sorts_a_table(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    opened = Database(sqlite_url, timeout_seconds=5)
    plans: list[str] = []

    async def explain(connection: Connection) -> None:
        for statement in (
            "SELECT * FROM messages WHERE tenant='t' AND conversation_id='c' AND seq > 5 AND seq <= 9 ORDER BY seq",
            "SELECT * FROM messages WHERE tenant='t' AND conversation_id='c' AND message_id='m'",
            "SELECT * FROM turns WHERE tenant='t' AND conversation_id='c' AND result IS NULL ORDER BY first_seq",
            "SELECT tenant FROM conversations WHERE answered < last_user AND lease_until < 5 ORDER BY lease_until",
            "SELECT * FROM outbox WHERE status = 'due' AND due_at <= 5 ORDER BY due_at",
            "SELECT * FROM tickets WHERE tenant='t' AND customer_id='c' ORDER BY number DESC",
            "SELECT * FROM orders WHERE tenant='t' AND customer_id='c' ORDER BY placed_at DESC",
        ):
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            plans.extend(str(row.detail) for row in rows)

    await opened.read(explain)

    assert all("SCAN" not in plan and "TEMP B-TREE" not in plan for plan in plans), plans
    await opened.close()
