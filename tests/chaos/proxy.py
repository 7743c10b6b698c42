"""
A TCP proxy that misbehaves on demand: it can cut, refuse, fall silent, delay, cut at a byte, and swallow answers to COMMIT.
"""

import asyncio
import contextlib
import random
from typing import Self

_CHUNK = 65536
_COMMIT = b"COMMIT\x00"
_MIGRATION = b"alembic_version"


class Proxy:
    """
    `forgets_commits` is the share of COMMITs whose answer the client never hears, though the server has obeyed.

    `cut_at` ends the next connections after so many bytes of the server's answer, each once, in order.
    """

    def __init__(self, port: int, *, chance: random.Random, forgets_commits: float = 0.0) -> None:
        self._target = port
        self._chance = chance
        self.forgets_commits = forgets_commits
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._refuses = False
        self.delay_seconds = 0.0
        self.cut_at: list[int] = []
        self.commits = 0
        self.forgotten = 0
        self.cuts = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """Connections that stand are ended; new ones are served."""
        for connection in self._connections:
            connection.cancel()

    def refuse(self) -> None:
        """Cut, and end every new connection at once."""
        self._refuses = True
        self.cut()

    def silence(self) -> None:
        """A black hole: connections stand and are accepted, and nothing passes either way."""
        self._goes_on.clear()

    def heal(self) -> None:
        """What was held back is lost with its connections."""
        if not self._goes_on.is_set():
            self.cut()
        self._refuses = False
        self._goes_on.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._refuses:
                await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._goes_on.wait()
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        link = _Link(self, self.cut_at.pop(0) if self.cut_at else None)
        ways = [
            asyncio.ensure_future(link.carry_up(reader, server_writer)),
            asyncio.ensure_future(link.carry_down(server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.close()
            with contextlib.suppress(OSError):
                await server_writer.wait_closed()

    async def may_pass(self) -> None:
        await self._goes_on.wait()
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)

    def forgets(self, data: bytes) -> bool:
        if not self.forgets_commits or _COMMIT not in data:
            return False
        self.commits += 1
        if self._chance.random() >= self.forgets_commits:
            return False
        self.forgotten += 1
        return True


class _Link:
    def __init__(self, proxy: Proxy, bytes_left: int | None) -> None:
        self._proxy = proxy
        self._bytes_left = bytes_left
        self._is_deaf = False
        self._is_migration = False

    async def carry_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._proxy.may_pass()
            self._is_migration = self._is_migration or _MIGRATION in data
            if not self._is_migration:
                self._is_deaf = self._is_deaf or self._proxy.forgets(data)
            writer.write(data)
            await writer.drain()

    async def carry_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._proxy.may_pass()
            if self._is_deaf:
                continue
            if self._bytes_left is not None:
                data, self._bytes_left = data[: self._bytes_left], self._bytes_left - len(data)
            writer.write(data)
            await writer.drain()
            if self._bytes_left is not None and self._bytes_left <= 0:
                self._proxy.cuts += 1
                return
