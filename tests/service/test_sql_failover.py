"""The PostgreSQL primary is killed and its standby promoted under a running service: nothing acknowledged is lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.careline_process import CarelineProcess
from tests.postgres_pair import PostgresPair
from tests.servers import ProgramMissing, RedisServer

_PATIENCE_SECONDS = 20.0


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    try:
        servers = PostgresPair()
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with servers:
        yield servers


def acknowledged(service: CarelineProcess, id: str) -> bool:
    answer = httpx.post(
        f"{service.url}/v1/chat",
        json={"message": "When are you open?", "client_message_id": id},
        timeout=10.0,
    )
    assert answer.status_code in (200, 503)
    return answer.status_code == 200


@pytest.mark.parametrize("with_redis", [False, True], ids=["SQL alone", "with Redis"])
def test_a_promoted_standby_is_followed_without_a_restart(
    tmp_path: Path, pair: PostgresPair, killable_redis: RedisServer, with_redis: bool
) -> None:
    settings = {"database_url": pair.url()}
    if with_redis:
        settings["redis_url"] = killable_redis.url
    kept: list[str] = []
    with CarelineProcess(tmp_path, settings) as service:
        kept += [id for id in (f"before{n}" for n in range(10)) if acknowledged(service, id)]
        pair.primary.kill()
        kept += [id for id in (f"between{n}" for n in range(10)) if acknowledged(service, id)]
        pair.promote()
        began = time.monotonic()
        while httpx.get(f"{service.url}/readyz", timeout=5.0).json().get("status") != "ready":
            assert time.monotonic() - began < _PATIENCE_SECONDS
            time.sleep(0.1)
        kept += [id for id in (f"after{n}" for n in range(10)) if acknowledged(service, id)]
    with pair.standby.connection() as connection:
        found = connection.execute(
            "SELECT client_message_id FROM messages WHERE client_message_id IS NOT NULL"
        ).fetchall()

    ids = [row[0] for row in found]
    assert set(kept) <= set(ids)
    assert len(ids) == len(set(ids))
    assert [id for id in kept if id.startswith("between")] == (
        [f"between{n}" for n in range(10)] if with_redis else []
    )
    assert [id for id in kept if id.startswith("after")] == [f"after{n}" for n in range(10)]
