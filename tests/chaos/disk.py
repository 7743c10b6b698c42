"""
A disk of its own for a server, so small that it can be filled.
"""

import contextlib
import errno
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.servers import ProgramMissing

_PIECE = b"\0" * 1_000_000


class SmallDisk:
    """
    A tmpfs of `megabytes`, mounted at `folder` while it is entered.

    Raises:
        ProgramMissing: this process may not mount.
    """

    def __init__(self, *, megabytes: int) -> None:
        self._megabytes = megabytes
        self.folder = Path(tempfile.mkdtemp(prefix="careline-disk-"))
        self._filler = self.folder / "filler"

    def __enter__(self) -> Self:
        size = f"size={self._megabytes}m,mode=0777"
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.folder], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as refused:
            self.folder.rmdir()
            raise ProgramMissing("mount: not permitted") from refused
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True, capture_output=True)
        self.folder.rmdir()

    def fill(self) -> None:
        """To the last byte."""
        piece = _PIECE
        with self._filler.open("ab", buffering=0) as filler:
            while piece:
                try:
                    os.write(filler.fileno(), piece)
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
                    piece = piece[: len(piece) // 2]

    def free(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._filler.unlink()
