"""
`careline worker` as its users run it: a process of its own, for tests that kill it.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.careline_process import environment

_START_SECONDS = 60.0
READY = "Careline works on what was promised."


class WorkerProcess:
    """`settings` are the variables without their prefix. Everything is kept in `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self.log = Path(tempfile.mkstemp(prefix="worker-", suffix=".log", dir=folder)[1])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns at once, so that several can start together; `wait_until_ready` waits."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "worker"],
                cwd=self._folder,
                env={**environment(self._settings), "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        self.wait_until_logged(READY, seconds=_START_SECONDS)

    def wait_until_logged(self, text: str, *, seconds: float = 30.0) -> None:
        assert self._process is not None
        ends_at = time.monotonic() + seconds
        while text not in self.log.read_text():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                self.kill()
                raise RuntimeError(f"the worker did not say {text!r}: {self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def terminate(self, *, seconds: float = 30.0) -> int:
        """SIGTERM, then wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=seconds)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
