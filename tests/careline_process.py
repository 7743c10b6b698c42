"""
The service as its users run it: a process of its own on a free port, for tests and benchmarks.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from tests.servers import free_port

_START_SECONDS = 60.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def run_careline(
    *arguments: str, folder: Path, settings: Mapping[str, str] | None = None, text: str = ""
) -> str:
    """One command to its end in `folder`; its standard output. Raises CalledProcessError with both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env=environment(settings or {}),
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class CarelineProcess:
    """
    `settings` are the variables without their prefix, e.g. `database_url`. Everything is kept in `folder`.

    What is installed in the folder `packages` hides what is installed elsewhere under the same name. `module` is run in place of
    `agent`, and `variables` are put into the environment as they stand.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        command: str = "serve",
        port: int | None = None,
        packages: Path | None = None,
        module: str = "agent",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.folder = folder
        self.log = Path(tempfile.mkstemp(prefix="careline-", suffix=".log", dir=folder)[1])
        self._settings = {"port": str(self.port), **(settings or {})}
        self._command = command
        self._packages = packages
        self._module = module
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns once /livez answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, self._command],
                cwd=self.folder,
                env={**environment(self._settings, packages=self._packages), **self._variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        ends_at = time.monotonic() + _START_SECONDS
        while not self._is_alive():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                self.kill()
                raise RuntimeError(f"careline {self._command} did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def terminate(self, *, seconds: float = 20.0) -> int:
        """SIGTERM, then wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=seconds)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/livez", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False


def environment(settings: Mapping[str, str], *, packages: Path | None = None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARELINE_")}
    given = {f"CARELINE_{name.upper()}": value for name, value in settings.items()}
    folders = [str(folder) for folder in (packages, Path(__file__).parents[1]) if folder is not None]
    return {**inherited, "PYTHONPATH": os.pathsep.join(folders), **given}
