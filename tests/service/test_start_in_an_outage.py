"""A replica that starts while its databases are away waits for them, serves what can be kept, and loses nothing."""

import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer, RedisServer, free_port

_PATIENCE_SECONDS = 20.0


def said(process: CarelineProcess, id: str, *, token: str | None = None, **body: Any) -> httpx.Response:
    return httpx.post(
        f"{process.url}/v1/chat",
        json={"message": "When are you open?", "client_message_id": id, **body},
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=10.0,
    )


def readiness(process: CarelineProcess) -> tuple[int, str, dict[str, str]]:
    answer = httpx.get(f"{process.url}/readyz", timeout=5.0)
    body = answer.json()
    return (
        answer.status_code,
        str(body["status"]),
        {name: seen["state"] for name, seen in body["dependencies"].items()},
    )


def until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, "it did not come about in time"
        time.sleep(0.1)


def texts_of_customers(database: PostgresServer) -> list[str]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT client_message_id FROM messages WHERE client_message_id IS NOT NULL ORDER BY 1"
        ).fetchall()
    return [str(row[0]) for row in rows]


def test_a_replica_started_during_an_outage_goes_on_with_what_redis_knows_and_sql_has_it_afterwards(
    tmp_path: Path, killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    settings = {"database_url": killable_postgres.url(), "redis_url": killable_redis.url}
    with CarelineProcess(tmp_path, settings) as before:
        token = httpx.post(f"{before.url}/v1/visitors").json()["token"]
        first = said(before, "m1", token=token).json()
        conversation = first["conversation_id"]
    killable_postgres.kill()

    with CarelineProcess(tmp_path, settings) as replica:
        status, ready, dependencies = readiness(replica)
        meanwhile = said(replica, "m2", token=token, conversation_id=conversation)
        begun = said(replica, "m3", token=token)
        killable_postgres.start()
        until(lambda: readiness(replica)[1] == "ready")
        afterwards = said(replica, "m4", token=token, conversation_id=conversation)
        again = said(replica, "m2", token=token, conversation_id=conversation)

    assert (status, ready, dependencies["sql"], dependencies["redis"]) == (200, "degraded", "down", "up")
    assert (meanwhile.status_code, meanwhile.json()["durability"]) == (200, "redis")
    assert (begun.status_code, begun.json()["durability"]) == (200, "redis")
    assert (afterwards.status_code, afterwards.json()["durability"]) == (200, "sql")
    assert again.json()["message_id"] == meanwhile.json()["message_id"]
    assert texts_of_customers(killable_postgres) == ["m1", "m2", "m3", "m4"]


def test_a_first_start_before_its_database_makes_the_tables_when_that_comes(
    tmp_path: Path, killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    killable_postgres.stop()
    settings = {"database_url": killable_postgres.url(), "redis_url": killable_redis.url}
    with CarelineProcess(tmp_path, settings) as replica:
        meanwhile = said(replica, "m1")
        no_secret = httpx.post(f"{replica.url}/v1/visitors")
        killable_postgres.start()
        until(lambda: readiness(replica)[1] == "ready")
        afterwards = said(replica, "m2")
        visitor = httpx.post(f"{replica.url}/v1/visitors")

    assert (meanwhile.status_code, meanwhile.json()["durability"]) == (200, "redis")
    assert no_secret.status_code == 503
    assert (afterwards.status_code, afterwards.json()["durability"]) == (200, "sql")
    assert visitor.status_code == 201
    assert texts_of_customers(killable_postgres) == ["m1", "m2"]


def test_with_neither_database_nor_redis_it_waits_refuses_and_serves_once_the_database_is_there(
    tmp_path: Path, killable_postgres: PostgresServer
) -> None:
    killable_postgres.stop()
    settings = {
        "database_url": killable_postgres.url(),
        "redis_url": f"redis://127.0.0.1:{free_port()}/0",
    }
    with CarelineProcess(tmp_path, settings) as replica:
        ready = httpx.get(f"{replica.url}/readyz", timeout=5.0)
        began = time.monotonic()
        refused = said(replica, "m1")
        took_seconds = time.monotonic() - began
        killable_postgres.start()
        until(lambda: httpx.get(f"{replica.url}/readyz", timeout=5.0).status_code == 200)
        served = said(replica, "m1")

    assert ready.status_code == 503
    assert (refused.status_code, refused.json()["stored"]) == (503, False)
    assert int(refused.headers["Retry-After"]) >= 1
    assert took_seconds < 1.0
    assert served.status_code == 200
    assert texts_of_customers(killable_postgres) == ["m1"]


def test_workers_start_during_an_outage_too(
    tmp_path: Path, killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    killable_postgres.stop()
    settings = {
        "database_url": killable_postgres.url(),
        "redis_url": killable_redis.url,
        "workers": "2",
    }
    with ExitStack() as stack:
        service = CarelineProcess(tmp_path, settings)
        stack.callback(lambda: service.terminate(seconds=30))
        service.start()
        meanwhile = said(service, "m1")
        killable_postgres.start()
        ids = (f"later{number}" for number in itertools.count())
        until(lambda: said(service, next(ids)).json().get("durability") == "sql")
        until(lambda: "m1" in texts_of_customers(killable_postgres))

    assert meanwhile.json()["durability"] == "redis"


def test_a_database_that_refuses_stops_the_start_and_says_so(
    tmp_path: Path, killable_postgres: PostgresServer
) -> None:
    process = CarelineProcess(tmp_path, {"database_url": killable_postgres.url("not_there")})

    with pytest.raises(RuntimeError, match='database "not_there" does not exist') as stopped:
        process.start()

    assert "CARELINE_DATABASE_URL" in str(stopped.value)
