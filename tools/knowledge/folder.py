"""
Which index of a tenant is the current one, and how it is replaced while others read it.

`<data_dir>/knowledge/<tenant>/` holds one folder for each build and the file `current` with the name of one.
A build is finished under another name, renamed, and pointed to: readers see the old index or the new, whole.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import DependencyUnavailable
from core.ids import derived_id
from core.whole_files import SHARED, written_whole
from tools.knowledge.index import DEPENDENCY, read_manifest

_POINTER = "current"
_UNFINISHED = ".building-"
_LONGEST_BUILD = 24 * 3600.0  # seconds
_KEPT_BUILDS = 3
_KEPT_BYTES = 1_000_000_000
"""Old builds, and what they may take together, beside the one before, which may still be read."""

Stamp = tuple[int, int, int]
"""A file's inode, size and time."""
Signature = tuple[str, tuple[Stamp, ...]]
"""The current folder's name, and inode, size and time of its files: changes when anything is done to them."""


class IndexFolder:
    def __init__(self, data_dir: Path, tenant: str) -> None:
        # A tenant's name comes from a token, so only the harmless ones become a folder's name as they are.
        safe = tenant if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", tenant) else derived_id("tenant", tenant)
        self.path = data_dir / "knowledge" / safe
        self._pointer = os.fspath(self.path / _POINTER)

    def pointer(self) -> Stamp | None:
        """Changes whenever another index becomes the current one; None where there is none. The cheapest question."""
        try:
            stat = os.stat(self._pointer)
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def current(self) -> Path:
        """
        Raises:
            DependencyUnavailable: ("knowledge") no index was ever built here, or it was taken away.
        """
        try:
            name = (self.path / _POINTER).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise DependencyUnavailable(DEPENDENCY, "there is no index") from exc
        if not re.fullmatch(r"[0-9]+-[A-Za-z0-9_]+", name):
            raise DependencyUnavailable(DEPENDENCY, "the pointer to the index is damaged")
        return self.path / name

    def signature(self) -> Signature:
        """A read and a few stats: cheap enough for each search to ask whether its index is still current."""
        folder = self.current()
        try:
            with os.scandir(folder) as entries:
                stats = sorted((entry.name, entry.stat()) for entry in entries)
        except OSError as exc:
            raise DependencyUnavailable(DEPENDENCY, "the index was taken away") from exc
        return folder.name, tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for _, stat in stats)

    @contextmanager
    def building(self) -> Iterator[Path]:
        """An empty folder to fill; it becomes the current one when the block ends well."""
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.path))
        try:
            yield unfinished
            self._publish(unfinished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def builds(self) -> list[Path]:
        """Those that are still there, the newest first; any of them may be damaged."""
        return sorted(self.path.glob("[0-9]*-*"), key=_age_seconds)

    def switch_to(self, build: Path) -> None:
        """Make one of the builds the current one."""
        with written_whole(self.path / _POINTER, mode=SHARED) as pointer:
            pointer.write(build.name.encode())

    def _publish(self, unfinished: Path) -> None:
        build = self.path / f"{read_manifest(unfinished).version}-{unfinished.name.removeprefix(_UNFINISHED)}"
        unfinished.rename(build)
        self.switch_to(build)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what nobody reads any more, or returns to. The build before stays for those who are reading it."""
        current = self.current()
        kept_bytes = 0
        for place, build in enumerate(build for build in self.builds() if build != current):
            kept_bytes += sum(file.stat().st_size for file in build.glob("*"))
            if place >= _KEPT_BUILDS or (place and kept_bytes > _KEPT_BYTES):
                shutil.rmtree(build, ignore_errors=True)
        for unfinished in self.path.glob(f"{_UNFINISHED}*"):
            if _age_seconds(unfinished) > _LONGEST_BUILD:
                shutil.rmtree(unfinished, ignore_errors=True)


def _age_seconds(folder: Path) -> float:
    return time.time() - folder.stat().st_mtime
