"""Claims about which Redis may keep messages while SQL is away."""

import pytest

from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.journal import RedisJournal
from tests.servers import ProgramMissing, RedisServer


@pytest.mark.parametrize(
    ("options", "is_durable"),
    [
        pytest.param((), True, id="append-only file, always synced"),
        pytest.param(("--appendonly", "no"), False, id="no append-only file"),
        pytest.param(("--appendfsync", "everysec"), False, id="synced each second"),
        pytest.param(("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), False, id="evicts"),
        pytest.param(("--rename-command", "CONFIG", ""), False, id="does not say"),
    ],
)
async def test_only_a_redis_that_says_that_it_forgets_nothing_is_durable(
    options: tuple[str, ...], is_durable: bool
) -> None:
    try:
        server = RedisServer(*options)
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with server:
        client = open_redis(server.url, timeout_seconds=1)
        journal = RedisJournal(
            client,
            RedisStateCopy(client, timeout_seconds=1),
            owner="replica",
            lease_seconds=30,
            timeout_seconds=1,
        )

        assert not journal.is_known_durable
        assert await journal.is_durable() is is_durable
        assert journal.is_known_durable is is_durable

        await client.aclose()
