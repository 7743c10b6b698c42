"""
A Redis of this process's own, for replays: nobody else sees it, it tells the replay's time, and what is asked of it can be
interfered with. Needs the extra `replay`.
"""

from collections import defaultdict
from functools import partial
from typing import Any

from fakeredis import FakeServer
from fakeredis._commands import command
from fakeredis._core import Database
from fakeredis.aioredis import AsyncFakeSocket, FakeAsyncRedisConnection, FakeReader, FakeWriter
from redis.asyncio import BlockingConnectionPool, Redis

from core.clock import Clock
from core.resilience.interference import Interference, reached
from state.redis.client import CONNECTIONS
from state.redis.clients import ServerClient, no_retry

_VERSION = (7,)


class InProcessRedis:
    """What is opened of one object shares its keys."""

    def __init__(self, clock: Clock, interference: Interference | None = None) -> None:
        self._clock = clock
        self._server = _Server(clock)
        self._interference = interference

    def open(self, _url: str, *, timeout_seconds: float, connections: int = CONNECTIONS) -> Redis:
        """In the place of `state.redis.client.open_redis`."""
        pool = BlockingConnectionPool(
            connection_class=_Connection,
            server=self._server,
            clock=self._clock,
            interference=self._interference,
            max_connections=connections,
            timeout=timeout_seconds,
            retry=no_retry(),
        )
        return ServerClient.from_pool(pool)


class _Server(FakeServer):
    def __init__(self, clock: Clock) -> None:
        super().__init__(version=_VERSION)
        self.dbs = defaultdict(lambda: _Database(self.lock, clock))


class _Database(Database):
    """Keys expire by the server's clock."""

    def __init__(self, lock: Any, clock: Clock) -> None:
        self._clock = clock
        super().__init__(lock)

    @property
    def time(self) -> float:
        return self._clock.now().timestamp()

    @time.setter
    def time(self, real: float) -> None:
        """fakeredis sets it before each command."""


class _Socket(AsyncFakeSocket):
    clock: Clock

    def time(self) -> list[bytes]:
        seconds, microseconds = divmod(round(self.clock.now().timestamp() * 1_000_000), 1_000_000)
        return [b"%d" % seconds, b"%d" % microseconds]

    @command(name="CONFIG GET", fixed=(bytes,), repeat=(bytes,))
    def config_get(self, *_wanted: bytes) -> dict[bytes, bytes]:
        """Nothing of it is lost but with the replay itself, so it may hold a journal."""
        return {b"appendonly": b"yes", b"appendfsync": b"always", b"maxmemory": b"0"}


class _Connection(FakeAsyncRedisConnection):
    def __init__(self, *args: Any, clock: Clock, interference: Interference | None, **options: Any) -> None:
        self._clock = clock
        self._interference = interference
        super().__init__(*args, **options)

    async def _connect(self) -> None:
        await super()._connect()
        socket = _Socket(self._server, self.db, client_class=Redis, client_info=self._client_info)
        socket.clock = self._clock
        self._sock, self._reader, self._writer = socket, FakeReader(socket), FakeWriter(socket)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """A command or a whole pipeline. One that is interfered with may have left answers that nobody reads."""
        try:
            send = partial(super().send_packed_command, command, check_health)
            await reached(self._interference, "redis", send)
        except BaseException:
            await self.disconnect(nowait=True)
            raise
