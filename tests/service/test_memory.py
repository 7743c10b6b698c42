"""What a service on SQLite alone does not load: libraries that serve only what is not configured, 33 MB of its memory."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.careline_process import environment

_UNUSED = ("alembic", "cryptography", "jwt", "psycopg", "pypdf", "redis")
_SERVE = """
import asyncio, sys
from agent.app import create_app
from agent.bootstrap import open_careline
from core.settings import Settings

async def serve():
    async with open_careline(Settings()) as careline:
        create_app(careline.parts)

asyncio.run(serve())
print(*sorted(name for name in sys.modules if "." not in name))
"""


async def loaded(folder: Path, **settings: str) -> set[str]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _SERVE],
        cwd=folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


async def test_what_is_not_configured_is_not_loaded_once_the_tables_stand(tmp_path: Path) -> None:
    first = await loaded(tmp_path)
    later = await loaded(tmp_path)

    assert "alembic" in first
    assert later.isdisjoint(_UNUSED)


async def test_what_is_configured_is_loaded_before_a_customer_waits_for_it(tmp_path: Path) -> None:
    found = await loaded(tmp_path, redis_url="redis://127.0.0.1:1", identity_secret="s" * 32)

    assert {"redis", "jwt"} <= found
