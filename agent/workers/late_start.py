"""
Finish the start once the databases answer: their tables first, then the secret that visitors' tokens are signed with.

A replica that starts during an outage waits instead of dying: it serves what Redis can keep, and says 503 to the rest.
"""

from collections.abc import Awaitable, Callable, Sequence

from core.clock import Clock
from core.errors import CarelineError, DependencyUnavailable
from core.telemetry.logging import get_logger
from state.opening import Migration

UNREACHABLE = "unreachable"
"""The reason of a `Migration` that waiting may mend."""

_EVERY_SECONDS = 1.0

_log = get_logger(__name__)


class LateStart:
    """
    `may_be_used` is called with a database's dependencies once it has its tables; until then `unready` names them. `secret`
    is asked until it answers.
    """

    def __init__(
        self,
        migrations: Sequence[Migration],
        *,
        secret: Callable[[], Awaitable[bytes]],
        may_wait: bool,
        clock: Clock,
    ) -> None:
        self._may_wait = may_wait
        self._waiting = list(migrations)
        self._read_secret = secret
        self._secret: bytes | None = None
        self._clock = clock
        self._is_told = False
        self.may_be_used: Callable[[Sequence[str]], None] = lambda _: None

    @property
    def unready(self) -> frozenset[str]:
        return frozenset(name for migration in self._waiting for name in migration.dependencies)

    def visitor_secret(self) -> bytes:
        """
        Raises:
            DependencyUnavailable: neither SQL nor Redis has told it yet.
        """
        if self._secret is None:
            raise DependencyUnavailable("sql", "the visitors' secret is not known yet", reason="starting")
        return self._secret

    async def run_once(self) -> None:
        """
        Raises:
            CarelineError: what waiting does not mend, such as a wrong password; or a database is away, and we may not wait.
        """
        for migration in tuple(self._waiting):  # one by one: Alembic keeps what it works on in globals
            if await self._is_migrated(migration):
                self._waiting.remove(migration)
                self.may_be_used(migration.dependencies)
        if self._secret is None:
            try:
                self._secret = await self._read_secret()
            except CarelineError as away:
                _log.debug("start.secret_not_read", error=str(away))

    async def run(self) -> None:
        """Until there is nothing left to do."""
        while self._waiting or self._secret is None:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                await self.run_once()
            # It was away, and now it refuses us: an operator mends that meanwhile.
            except CarelineError as refused:
                _log.error("start.database_refuses", error=str(refused))
        if self._is_told:
            _log.info("start.finished")

    async def _is_migrated(self, migration: Migration) -> bool:
        try:
            await migration.run()
        except DependencyUnavailable as away:
            if away.reason != UNREACHABLE or not self._may_wait:
                raise
            log = _log.debug if self._is_told else _log.warning
            log("start.database_away", dependencies=list(migration.dependencies), error=str(away))
            self._is_told = True
            return False
        return True
