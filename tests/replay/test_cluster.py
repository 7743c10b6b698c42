"""Claims about a replay on a Dask cluster: a worker that is killed takes no conversation with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.careline_process import environment
from tests.replay.shop import compared, opened, rows
from tests.servers import free_port

pytest.importorskip("distributed")

_PATIENCE_SECONDS = 240


@contextmanager
def _running(module: str, *options: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=folder,
        env={**environment({}), "PYTHONHASHSEED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_worker_costs_no_conversation_and_the_bytes_are_those_of_processes(tmp_path: Path) -> None:
    shop = opened(tmp_path)
    log = str(shop.log(10))
    address = f"tcp://127.0.0.1:{free_port()}"
    out, here = tmp_path / "cluster", tmp_path / "here"
    worker = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    options = ("--shard-size", "1", "--lexical")

    with ExitStack() as stack:
        port = address.rsplit(":", 1)[1]
        stack.enter_context(
            _running(
                "distributed.cli.dask_scheduler",
                *("--host", "127.0.0.1", "--port", port, "--no-dashboard"),
                folder=tmp_path,
            )
        )
        workers = [
            stack.enter_context(_running("distributed.cli.dask_worker", address, *worker, folder=tmp_path))
            for _ in range(2)
        ]
        replaying = shop.start(log, "--dask", address, "--out", str(out), *options)
        stack.callback(replaying.wait)
        stack.callback(replaying.kill)
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while len(list((out / "shards").glob("*.jsonl"))) < 1:
            assert replaying.poll() is None, replaying.communicate()
            assert time.monotonic() < ends_at, "no shard was done"
            time.sleep(0.05)
        os.kill(workers[0].pid, signal.SIGKILL)
        _, said = replaying.communicate(timeout=_PATIENCE_SECONDS)

    assert replaying.returncode == 0, said
    found = [(row["conversation"], row["turn"]) for row in rows(out)]
    assert found == [(f"talk-{number}", turn) for number in range(10) for turn in (1, 2, 3, 4)]
    shop.replay(log, "--out", str(here), "--processes", "1", *options)
    assert compared(here) == compared(out)


def test_a_cluster_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    shop = opened(tmp_path)

    said = shop.replay(
        *(str(shop.log(1)), "--dask", f"tcp://127.0.0.1:{free_port()}", "--out", "out", "--lexical"),
        expected=1,
    )

    assert "no Dask scheduler answers at" in said
