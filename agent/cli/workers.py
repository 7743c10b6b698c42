"""
Run several workers on one socket: start them, replace those that die, and end them together.

Each worker is a `careline serve` of its own, with its own owner id; what they share is the socket, the databases and the folder
in which their metrics are added up. Worker processes also end when the parent is gone, whatever ended it.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from core.settings import Settings
from core.telemetry.logging import get_logger
from core.telemetry.metrics import METRICS_FOLDER, forget_worker

_LOOK_SECONDS = 0.2
_GOODBYE_SECONDS = 2.0
_GOOD_ENDS = (0, -signal.SIGTERM)
"""The second is of one that was still starting."""
_YOUNG_SECONDS = 5.0
_YOUNG_DEATHS = 5
"""So many workers in a row that died young will not be mended by one more."""

log = get_logger(__name__)


class _Worker:
    def __init__(self, listener: socket.socket, settings: Settings, folder: Path) -> None:
        self.began = time.monotonic()
        # Our own program, with our own arguments.
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "agent", "serve", "--host", settings.host, "--workers", "1",
             "--inherited-socket", str(listener.fileno())],
            pass_fds=(listener.fileno(),),
            stdin=subprocess.PIPE,
            env={**os.environ, METRICS_FOLDER: str(folder)},
        )  # fmt: skip
        log.info("worker.started", worker=self.process.pid)


def run_workers(settings: Settings, listener: socket.socket, *, listening: Callable[[], None]) -> None:
    """
    Returns after SIGTERM or Ctrl-C, once all workers have drained. `listening` is called when the first of them takes requests.

    Raises:
        typer.Exit: workers die as soon as they are started, or one did not end in good order.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    listener.set_inheritable(True)
    with TemporaryDirectory(prefix="careline-metrics-") as name:
        folder = Path(name)
        workers = [_Worker(listener, settings, folder) for _ in range(settings.workers)]
        young_deaths, is_announced = 0, False
        try:
            while not stopping.wait(_LOOK_SECONDS) and young_deaths < _YOUNG_DEATHS:
                if not is_announced and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    is_announced = True
                    listening()
                for place, worker in enumerate(workers):
                    if (code := worker.process.poll()) is None:
                        continue
                    is_young = time.monotonic() - worker.began < _YOUNG_SECONDS
                    young_deaths = young_deaths + 1 if is_young else 0
                    log.error("worker.died", worker=worker.process.pid, exit_code=code)
                    forget_worker(worker.process.pid, folder)
                    workers[place] = _Worker(listener, settings, folder)
        finally:
            have_ended_well = _end(workers, settings.drain_seconds + _GOODBYE_SECONDS)
    if not stopping.is_set() or not have_ended_well:
        raise typer.Exit(1)


def end_with_parent() -> None:
    """In a worker: be asked to stop when the parent's end of standard input closes."""

    def wait() -> None:
        # Not through `sys.stdin`, whose lock this thread would still hold when the interpreter ends.
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _end(workers: list[_Worker], seconds: float) -> bool:
    for worker in workers:
        worker.process.terminate()
    ends_at = time.monotonic() + seconds
    for worker in workers:
        try:
            worker.process.wait(max(0.0, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("worker.killed", worker=worker.process.pid)
            worker.process.kill()
            worker.process.wait()
        else:
            if worker.process.returncode not in _GOOD_ENDS:
                log.error(
                    "worker.ended_badly", worker=worker.process.pid, exit_code=worker.process.returncode
                )
    return all(worker.process.returncode in _GOOD_ENDS for worker in workers)
