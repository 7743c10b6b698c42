"""
Secrets that all replicas share: made and kept in SQL, with a copy in Redis for a replica that starts while SQL is away.
"""

from typing import Protocol

from core.errors import CarelineError, DependencyError
from core.telemetry.logging import get_logger

_log = get_logger(__name__)


class Secrets(Protocol):
    async def secret(self, name: str) -> bytes:
        """Made by whoever asks first; everybody gets the same."""
        ...


class SecretCopies(Protocol):
    async def put(self, name: str, value: bytes) -> None: ...

    async def get(self, name: str) -> bytes | None: ...


class SharedSecrets:
    def __init__(self, record: Secrets, copies: SecretCopies | None) -> None:
        self._record = record
        self._copies = copies

    async def secret(self, name: str) -> bytes:
        """
        Raises:
            CarelineError: SQL cannot be asked, and Redis has no copy. None is made up: what it signed would be worth nothing
                afterwards.
        """
        try:
            value = await self._record.secret(name)
        except CarelineError:  # away, or without its tables yet
            copied = await self._copied(name)
            if copied is None:
                raise
            return copied
        if self._copies is not None:
            try:
                await self._copies.put(name, value)
            except DependencyError as error:
                _log.warning("secrets.not_copied", name=name, error=str(error))
        return value

    async def _copied(self, name: str) -> bytes | None:
        if self._copies is None:
            return None
        try:
            return await self._copies.get(name)
        except DependencyError:
            return None
