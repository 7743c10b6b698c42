"""A PostgreSQL of several hosts is found in every way in which it may be written, and followed when another host takes over."""

import asyncio
import time

import pytest
import sqlalchemy as sa

from core.errors import CarelineError
from core.postgres_url import with_hosts_in_query
from state.sql.connection import Connection
from state.sql.engine import Database, async_url
from state.sql.hosts import HostOrder
from state.sql.migrate import upgrade
from tests.postgres_pair import PostgresPair
from tests.servers import ProgramMissing, free_port
from tests.timing import assert_within


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p%40:w@h1:1,h2:2/db", "h1,h2", "1,2"),
        ("postgres://u@h1,h2:2/db?application_name=x", "h1,h2", "5432,2"),
        ("postgresql+psycopg://[::1]:1,[fe80::2]/db", "::1,fe80::2", "1,5432"),
        ("postgresql://u@/db?host=h1:1&host=h2:2", "h1,h2", "1,2"),
        ("postgresql://u@/db?host=h1,h2&port=1,2", "h1,h2", "1,2"),
        ("postgresql://u@/db?host=h1,h2", "h1,h2", "5432,5432"),
    ],
)
def test_every_form_of_several_hosts_reaches_the_driver(url: str, hosts: str, ports: str) -> None:
    parsed = async_url(url)
    _, sent = parsed.get_dialect()().create_connect_args(parsed)

    assert (sent["host"], sent["port"], sent["target_session_attrs"]) == (hosts, ports, "read-write")
    assert sent["dbname"] == "db"
    assert parsed.password in (None, "p@:w")


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p,w@h1:1/db", "postgresql://u:p@h1/db?host=/run/pg", "sqlite+aiosqlite:///a,b.db"],
)
def test_an_address_of_one_host_is_left_as_it_is(url: str) -> None:
    assert with_hosts_in_query(url) == url


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("postgresql://u:secret@h1:1,/db", "host that is empty"),
        ("postgresql://u:secret@h1:many,h2/db", "port of 'h1'"),
        ("postgresql://u:secret@[::1,h2/db", "bracket"),
        ("postgresql://u:secret@h1,h2/db?host=h3", "use one of the two"),
        ("postgresql://u:secret@/db?host=h1,h2,h3&port=1,2", "3 hosts and 2 ports"),
        ("postgresql://u:secret@/db?host=h1:1&host=h2:2&port=3", "host=A:1&host=B:2"),
        ("postgresql://u:secret@h1,h2/db?target_session_attrs=any", "takes no writes"),
        ("postgresql://u:secret@h1/db?target_session_attrs=bogus", "is not known"),
    ],
)
def test_hosts_that_cannot_be_used_are_told_without_the_password(url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as refused:
        with_hosts_in_query(url)

    assert "secret" not in str(refused.value)


def test_a_host_that_has_not_answered_is_asked_last_next_time() -> None:
    moments = iter((0.0, 0.05, 1.0, 1.0, 2.0, 2.0))
    order = HostOrder([("h1", "1"), ("h2", "2"), ("h3", "3")], now=lambda: next(moments))
    asked: list[str] = []
    for _ in range(4):
        parameters: dict[str, str] = {}
        order.about_to_connect(None, None, None, parameters)
        asked.append(parameters["host"])

    assert asked == ["h1,h2,h3", "h1,h2,h3", "h2,h3,h1", "h3,h1,h2"]


async def _add(connection: Connection) -> None:
    await connection.execute(sa.text("INSERT INTO kept DEFAULT VALUES"))


async def _count(connection: Connection) -> int:
    return int((await connection.execute(sa.text("SELECT count(*) FROM kept"))).scalar_one())


@pytest.mark.alone
@pytest.mark.parametrize("how", ["killed", "silent"])
async def test_another_host_that_takes_over_is_found_and_has_every_acknowledged_commit(how: str) -> None:
    try:
        pair = PostgresPair()
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with pair:
        with pair.primary.connection() as connection:
            connection.execute("CREATE TABLE kept (id serial PRIMARY KEY)")
        database = Database(pair.url(), timeout_seconds=1.0)
        for _ in range(20):
            await database.write(_add)
        if how == "killed":
            pair.primary.kill()
        else:
            pair.primary.pause()
        with pytest.raises(CarelineError):
            await database.write(_add)
        await asyncio.to_thread(pair.promote)
        began = time.monotonic()
        while True:
            try:
                await database.write(_add)
            except CarelineError:
                assert_within(time.monotonic() - began, 10.0)
                await asyncio.sleep(0.05)
            else:
                break
        kept = await database.read(_count)
        await asyncio.gather(*(database.write(_add) for _ in range(20)))
        pair.primary.resume()
        await asyncio.sleep(0.5)  # the calls that were given up end
        await database.close()

    assert kept >= 21


async def test_a_server_that_became_read_only_is_left_for_the_one_that_takes_writes() -> None:
    try:
        pair = PostgresPair()
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with pair:
        with pair.primary.connection() as connection:
            connection.execute("CREATE TABLE kept (id serial PRIMARY KEY)")
        database = Database(pair.url(), timeout_seconds=1.0, connections=1)
        await database.write(_add)
        await asyncio.to_thread(pair.promote)
        with pair.primary.connection() as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            connection.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.3)
        await database.write(_add)
        with pair.standby.connection() as connection:
            kept = connection.execute("SELECT count(*) FROM kept").fetchone()
        await database.close()

    assert kept == (2,)


def test_migrations_find_the_host_that_takes_writes() -> None:
    try:
        pair = PostgresPair()
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with pair:
        away = f"postgresql://postgres@127.0.0.1:{free_port()},127.0.0.1:{pair.standby.port}"
        upgrade(f"{away},127.0.0.1:{pair.primary.port}/postgres")
        with pair.primary.connection() as connection:
            found = connection.execute("SELECT to_regclass('conversations')").fetchone()

    assert found == ("conversations",)
