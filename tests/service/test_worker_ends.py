"""
`careline worker` ends within its drain time and a second, whatever it is at. With load beside it: `tests.long.worker_ends`.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from state.sql.migrate import upgrade
from tests.careline_process import environment
from tests.servers import PostgresServer, RedisServer
from tests.timing import assert_within
from tests.worker_endings import DRAIN_SECONDS, GRACE_SECONDS, MOMENTS, Moment, Scene


@pytest.mark.alone
@pytest.mark.parametrize("moment", ["start", "task", "idle"])
def test_on_sqlite_it_ends_in_time(tmp_path: Path, sqlite_url: str, moment: Moment) -> None:
    upgrade(sqlite_url)

    ending = Scene(tmp_path, sqlite_url, {}).ending(moment, random.Random(moment))

    assert ending.code in (0, -15), ending.log  # the latter before it has read its settings
    assert_within(ending.took_seconds, DRAIN_SECONDS + GRACE_SECONDS)


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
def test_on_postgres_and_redis_it_ends_in_time(tmp_path: Path, moment: Moment) -> None:
    with PostgresServer() as postgres, RedisServer() as redis:
        postgres.create_database("careline")
        url = postgres.url("careline")
        upgrade(url)
        scene = Scene(tmp_path, url, {"redis_url": redis.url, "broker_url": redis.url}, (postgres, redis))

        ending = scene.ending(moment, random.Random(moment))

    assert ending.code in (0, -15), ending.log
    assert_within(ending.took_seconds, DRAIN_SECONDS + GRACE_SECONDS)


HANGS = """
import asyncio, sys, time
from contextlib import asynccontextmanager
import agent.bootstrap

class Careline:
    async def drain(self, seconds): {draining}

@asynccontextmanager
async def open_careline(settings, **_):
    {opening}
    try:
        yield Careline()
    finally:
        {closing}

agent.bootstrap.open_careline = open_careline
sys.argv = ["careline", "worker"]
print("Begun", flush=True)
from agent.cli import main
main()
"""
FOR_EVER = "[await asyncio.sleep(60) for _ in iter(int, 1)]"
DEAF = "\n".join(
    ["while True:", "        try: await asyncio.sleep(60)", "        except asyncio.CancelledError: pass"]
)
BLOCKED = "time.sleep(60)"


@pytest.mark.alone
@pytest.mark.parametrize(
    "hanging",
    [{"opening": DEAF}, {"draining": FOR_EVER}, {"closing": FOR_EVER}, {"closing": BLOCKED}],
    ids=["opening", "draining", "closing", "blocked"],
)
def test_what_hangs_is_cut_short_and_that_is_logged(tmp_path: Path, hanging: dict[str, str]) -> None:
    code = HANGS.format(**{"opening": "pass", "draining": "pass", "closing": "pass", **hanging})
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**environment({"drain_seconds": "0.5"}), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "Begun" not in process.stdout.readline():
            pass
        if "opening" not in hanging:
            while "works on" not in process.stdout.readline():
                pass
        else:
            time.sleep(3.0)
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
        took_seconds = time.monotonic() - began
        rest = process.stdout.read()

    assert process.returncode == 0
    assert "worker.cut_short" in rest
    assert_within(took_seconds, 1.5)
