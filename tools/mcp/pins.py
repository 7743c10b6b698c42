"""
Which form of each outside tool is allowed: the digest in the settings, else the one it had when it was first seen here.

A tool that changes after it was allowed (a "rug pull") stays refused until somebody allows its new form.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from core.telemetry.logging import get_logger
from core.whole_files import written_whole

_FILE = "mcp-tools.json"
_log = get_logger(__name__)


class Pins:
    """Kept in a file in the data folder, which is read anew each time: `careline mcp` may have allowed something meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def is_allowed(self, server: str, tool: str, digest: str, *, pinned: str | None) -> bool:
        """The first form that is seen is remembered, where the settings pin none."""
        if pinned is not None:
            return pinned == digest
        known = self.known().get(f"{server}/{tool}")
        if known is None:
            self.allow(server, tool, digest)
            return True
        return known == digest

    def known(self) -> Mapping[str, str]:
        """
        By `server/tool`.

        Raises:
            ValueError: the file cannot be read as what this class writes: nothing is then allowed by it.
        """
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        if not isinstance(found, dict):
            raise ValueError(f"{self._path.name} holds no JSON object")
        return found

    def allow(self, server: str, tool: str, digest: str) -> None:
        pins = {**self.known(), f"{server}/{tool}": digest}
        with written_whole(self._path) as file:
            file.write(json.dumps(pins, indent=1, sort_keys=True).encode())
        _log.info("mcp.tool_allowed", server=server, tool=tool, digest=digest)
