"""
A way to a server on which one command, known by words in it, gets lost in an inconvenient manner.
"""

import asyncio
import contextlib
from typing import Self

_CHUNK = 65536


class Relay:
    """`lost` and `late` happen once, to the first command in which their words stand."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._carried: set[asyncio.Task[None]] = set()
        self._reply_lost_to: bytes | None = None
        self._held: bytes | None = None
        self._released = asyncio.Event()
        self.landed = asyncio.Event()
        """The held command has been carried out."""
        self.is_lost = False

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def lose_the_reply_to(self, words: str) -> None:
        """The server obeys, and the client's connection ends without an answer."""
        self._reply_lost_to = words.encode()

    def hold(self, words: str) -> None:
        """The command goes on only after `release`, whether somebody still waits for it or not."""
        self._held = words.encode()

    def release(self) -> None:
        self._released.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._carried.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, commands = await asyncio.open_connection("127.0.0.1", self._target)
        answering = asyncio.ensure_future(_pass_on(answers, writer))
        try:
            while data := await reader.read(_CHUNK):
                if self._reply_lost_to is not None and self._reply_lost_to in data:
                    self._reply_lost_to = None
                    await _ended(answering)
                    commands.write(data)
                    await answers.read(_CHUNK)
                    self.is_lost = True
                    return
                if self._held is not None and self._held in data:
                    self._held = None
                    await self._released.wait()
                    await _ended(answering)
                    commands.write(data)
                    await answers.read(_CHUNK)
                    self.landed.set()
                    return
                commands.write(data)
                await commands.drain()
        finally:
            await _ended(answering)
            commands.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _ended(task: "asyncio.Future[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await task
