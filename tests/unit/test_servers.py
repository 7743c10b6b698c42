"""The private servers keep acknowledged data through a kill, and fall silent when paused."""

import pytest
import redis

from tests.servers import PostgresServer, RedisServer


def test_redis_keeps_what_it_acknowledged_through_a_kill(killable_redis: RedisServer) -> None:
    with killable_redis.client() as client:
        client.set("a", "1")

    killable_redis.kill()
    killable_redis.start()

    with killable_redis.client() as client:
        assert client.get("a") == b"1"


def test_a_paused_redis_is_silent_until_it_is_resumed(killable_redis: RedisServer) -> None:
    killable_redis.pause()

    with (
        redis.Redis(port=killable_redis.port, socket_timeout=0.2) as client,
        pytest.raises(redis.TimeoutError),
    ):
        client.ping()
    killable_redis.resume()

    with killable_redis.client() as client:
        assert client.ping()


def test_postgres_keeps_what_it_acknowledged_through_a_kill(killable_postgres: PostgresServer) -> None:
    killable_postgres.create_database("kept")

    killable_postgres.kill()
    killable_postgres.start()

    killable_postgres.connection("kept").close()


def test_each_test_gets_a_database_of_its_own(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    name = postgres_database.rsplit("/", 1)[1]

    with postgres_server.connection(name) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert tables == (0,)
