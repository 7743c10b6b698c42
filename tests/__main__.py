"""
Run every test in two stages: those that measure time alone, then the others by several processes at once.

`python -m tests` is what `make test` runs. What it is given goes to pytest in both stages.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_MOST_PROCESSES = 4
_PROCESSES = min(_MOST_PROCESSES, 1 + (os.cpu_count() or 1))
"""One more than there are cores: a third of the time, a test waits for a server that starts."""
_TOGETHER = ("--numprocesses", str(_PROCESSES))
# A file stays in one process, for what its tests share. The smallest, in tests/unit, come last: so no process waits for long.
_BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
_ROOM_BYTES = 4 * 1024**3


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", dest="marks", default="")
    chosen, rest = parser.parse_known_args(arguments)
    with _quick_files() as variables:
        codes = [
            _run(*rest, marks=chosen.marks, stage="alone", variables=variables),
            _run(*_TOGETHER, *_BY_FILE, *rest, marks=chosen.marks, stage="not alone", variables=variables),
        ]
    failed = [code for code in codes if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)]
    return failed[0] if failed else min(codes)


def _run(*arguments: str, marks: str, stage: str, variables: Mapping[str, str]) -> int:
    wanted = f"({marks}) and {stage}" if marks else stage
    command = [sys.executable, "-m", "pytest", "-m", wanted, *arguments]
    return subprocess.run(command, check=False, env={**os.environ, **variables}).returncode


@contextlib.contextmanager
def _quick_files() -> Iterator[Mapping[str, str]]:
    """
    Memory for what the servers and databases of the tests write, where there is room: dozens of clusters are copied, and a Redis
    that syncs each write waits for its disk. What measures time measures us, and not the disk that CI has that day.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="careline-tests-", dir=_MEMORY) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as a user of its own
        yield {"TMPDIR": folder}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
