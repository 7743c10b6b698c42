"""
What earlier deploys of a file made on a plane, kept beside the file: only that may be pruned. And by which secrets it would know
them again.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.errors import DataIntegrityFailed

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
        write_whole(folder / _FILE, msgspec.json.format(msgspec.json.encode(self._kept), indent=1) + b"\n")

    def _digest(self, written: Mapping[str, Any]) -> str:
        said = json.dumps(written, sort_keys=True).encode()
        return hashlib.scrypt(said, salt=bytes.fromhex(self._kept.salt), n=_SCRYPT_COST, r=8, p=1).hex()


def write_whole(path: Path, content: bytes) -> None:
    """Old or new after a crash, never half; for its owner's eyes."""
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
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
