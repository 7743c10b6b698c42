"""A password that stands in a URL of the settings stands in nothing that Careline prints or logs, however its server fails."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from core.settings import Settings
from tests.careline_process import environment
from tests.servers import free_port

PASSWORD = "s3cr3t/Zq9@8:x%"
ENCODED = quote(PASSWORD, safe="")
PARTS = (PASSWORD, ENCODED, "s3cr3t", "Zq9")
"""The whole of it in both spellings, and the pieces that are left where a parser cuts it."""
LOOKS = 12.0


def urls(password: str, broker: str) -> dict[str, str]:
    place = f"ada:{password}@127.0.0.1:{free_port()}"
    return {
        "database_url": f"postgresql+psycopg://{place}/careline",
        "redis_url": f"redis://{place}/0",
        "smtp_url": f"smtp://{place}",
        "broker_url": f"{broker}://{place}",
    }


def everything_said(folder: Path, *command: str, settings: dict[str, str]) -> str:
    """Both streams, to the end of the command or for as long as it takes to try everything once."""
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *command],
        cwd=folder,
        env=environment({"log_level": "debug", "port": str(free_port()), **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=LOOKS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    return said


@pytest.mark.parametrize(
    ("command", "broker"),
    [
        (("doctor",), "amqp"),
        (("doctor", "--json"), "nats"),
        (("doctor", "--json"), "redis"),
        (("migrate",), "redis"),
        (("serve",), "amqp"),
        (("worker",), "nats"),
    ],
)
def test_servers_that_are_away_are_told_without_the_passwords(
    tmp_path: Path, command: tuple[str, ...], broker: str
) -> None:
    said = everything_said(tmp_path, *command, settings=urls(ENCODED, broker))

    assert "127.0.0.1" in said
    assert [part for part in PARTS if part in said] == []


def test_urls_that_cannot_be_used_are_told_without_the_passwords(tmp_path: Path) -> None:
    """Written as it is, the slash ends the address and the colon begins a port, for some parsers."""
    said = everything_said(tmp_path, "doctor", settings=urls(PASSWORD, "amqp"))

    assert "CARELINE_REDIS_URL" in said
    assert [part for part in PARTS if part in said] == []


def test_settings_print_none_of_them() -> None:
    settings: dict[str, Any] = urls(ENCODED, "amqp")
    for name in ("customers_database_url", "tickets_database_url"):
        settings[name] = f"postgresql+psycopg://ada:{ENCODED}@db/careline"

    printed = repr(Settings(**settings))

    assert [part for part in PARTS if part in printed] == []
