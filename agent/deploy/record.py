"""
What earlier deploys of a file made on a plane, kept beside the file: only that may be pruned. And by which secrets it would know
them again.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.errors import DataIntegrityFailed
from core.whole_files import written_whole

_FILE = "made.json"
_SCRYPT_COST = 2**14


class Made(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    name: str


class _Kept(msgspec.Struct, kw_only=True):
    salt: str
    made: dict[str, Made] = {}
    secrets: dict[str, str] = {}


class DeployRecord:
    """All by the ids of the plane. Nothing is written but by `save`."""

    def __init__(self, kept: _Kept | None = None) -> None:
        self._kept = kept or _Kept(salt=secrets.token_hex(16))

    @classmethod
    def load(cls, folder: Path) -> "DeployRecord":
        """
        An empty one where there is none.

        Raises:
            DataIntegrityFailed: the file is not one of ours.
        """
        try:
            return cls(msgspec.json.decode((folder / _FILE).read_bytes(), type=_Kept))
        except FileNotFoundError:
            return cls()
        except msgspec.DecodeError as exc:
            raise DataIntegrityFailed(
                f"{folder / _FILE} cannot be read: {exc}. Put it back from a backup; without one, move it away: then nothing is "
                "pruned that was made so far"
            ) from exc

    def made(self, id: str) -> bool:
        return id in self._kept.made

    def kinds(self) -> set[str]:
        return {each.kind for each in self._kept.made.values()}

    def has_secrets(self, id: str, written: Mapping[str, str]) -> bool | None:
        """Whether these were sent with it last; None where that is not known."""
        known = self._kept.secrets.get(id)
        return None if known is None else known == self._digest(written)

    def add(self, id: str, *, kind: str, name: str) -> None:
        self._kept.made[id] = Made(kind=kind, name=name)

    def add_secrets(self, id: str, written: Mapping[str, str]) -> None:
        self._kept.secrets[id] = self._digest(written)

    def forget(self, id: str) -> None:
        self._kept.made.pop(id, None)
        self._kept.secrets.pop(id, None)

    def save(self, folder: Path) -> None:
        with written_whole(folder / _FILE, is_synced=True) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._kept), indent=1) + b"\n")

    def _digest(self, written: Mapping[str, Any]) -> str:
        said = json.dumps(written, sort_keys=True).encode()
        return hashlib.scrypt(said, salt=bytes.fromhex(self._kept.salt), n=_SCRYPT_COST, r=8, p=1).hex()
