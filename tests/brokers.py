"""
Message brokers for tests: private Redis and NATS servers on free loopback ports, and any that is running, such as a RabbitMQ.

The long form takes the addresses of running ones: `python -m tests.brokers amqp://guest:guest@127.0.0.1:5672/`. It empties their
queue `careline_outbox`.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import _Server, program

LONG_FORM = "CARELINE_TEST_BROKERS"
"""Set by the long form. Without it those tests are not collected at all, so that CI, which lets nothing be skipped, passes."""


def kinds() -> list[str]:
    """`redis`, and in the long form `nats` and the addresses that it was given."""
    given = os.environ.get(LONG_FORM)
    return ["redis"] if given is None else ["redis", "nats", *given.split()]


class NatsServer(_Server):
    """With JetStream."""

    def __init__(self, place: Path | None = None) -> None:
        self._program = program("nats-server")
        super().__init__(place)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _launch(self) -> "subprocess.Popen[bytes]":
        with self._log().open("ab") as log:
            return subprocess.Popen(
                [self._program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self._folder)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _answers(self) -> bool:
        return _is_listening(self.port)


class StandingServer:
    """A broker that somebody else runs, such as a RabbitMQ."""

    def __init__(self, url: str) -> None:
        self.url = url


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    os.environ[LONG_FORM] = " ".join(sys.argv[1:])
    sys.exit(pytest.main(["-q", "tests/service/test_broker.py"]))
