"""
Where a deploy of one file to one plane keeps its journal and its record, and that only one runs at a time.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import ConcurrentAccess

FOLDER = ".careline-deploy"
_LOCK = "lock"
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")


class RunsAlready(ConcurrentAccess):
    """Another deploy of this file to this plane runs on this machine."""


def folder_for(file: Path, plane_url: str, *, kept_in: Path | None = None) -> Path:
    """Each plane has resources of its own, so it has a folder of its own, too."""
    where = urlsplit(plane_url)
    plane = _UNUSABLE.sub("-", f"{where.hostname}-{where.port or where.scheme}{where.path.rstrip('/')}")
    return (kept_in or file.parent / FOLDER) / f"{_UNUSABLE.sub('-', file.name)}@{plane}"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """
    Ends with the process at the latest, however that ends.

    Raises:
        RunsAlready: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _LOCK).open("ab") as file:
        try:
            _lock(file.fileno())
        except OSError as exc:
            raise RunsAlready(f"another deploy of this file runs: {folder / _LOCK} is held") from exc
        yield


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
