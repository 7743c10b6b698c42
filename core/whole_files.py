"""
Files that are there when they are whole: before that, and after a crash in the middle, what was there stays.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SHARED = 0o666
"""`mode` of what others may read, as far as the process's umask lets them."""


@contextmanager
def written_whole(path: Path, *, mode: int = 0o600, is_synced: bool = False) -> Iterator[BinaryIO]:
    """
    Under a name of its own (`*.part`) until the block ends well. `is_synced`: it outlives a crash of the machine, too.

    Raises:
        OSError: the folder cannot be made, or the file cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if is_synced:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """So that a name in it outlives a crash of the machine, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
