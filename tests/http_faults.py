"""
An HTTP server on a real socket that answers as a test says, and can misbehave in every way that a vendor's does.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec


@dataclass(frozen=True, slots=True)
class Asked:
    """`headers` with names in small letters."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`drip_seconds` sends a byte at a time; `is_silent` never answers; `hangs_up` closes the connection, `resets` breaks it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip_seconds: float | None = None
    is_silent: bool = False
    hangs_up: bool = False
    resets: bool = False


def as_json(value: Any, *, status: int = 200, **headers: str) -> Answer:
    """`headers` by their names with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(
        status=status, body=msgspec.json.encode(value), headers={"Content-Type": "application/json", **named}
    )


class FaultyServer:
    """`answer` may be replaced while it runs; `asked` has every request in order. `connections` counts them all."""

    def __init__(
        self,
        answer: Callable[[Asked], Answer],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.server_names: list[str | None] = []
        self.host = host
        self.port = port
        self._tls = tls
        self._gone = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["FaultyServer"]:
        if self._tls is not None:
            self._tls.sni_callback = self._saw_name
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await self.close()

    async def decide(self, asked: Asked) -> Answer:
        """For whoever must wait before it can answer."""
        return self.answer(asked)

    async def close(self) -> None:
        self._gone.set()
        self._server.close()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _saw_name(self, _: object, name: str | None, __: object) -> None:
        self.server_names.append(name)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._serve(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._gone.is_set():
            arriving = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
            leaving = asyncio.ensure_future(self._gone.wait())
            await asyncio.wait({arriving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not arriving.done():
                arriving.cancel()
                return
            line, *lines = arriving.result().decode("latin-1").strip().split("\r\n")
            method, target, _ = line.split(" ", 2)
            headers = {
                name.strip().lower(): text.strip()
                for name, _, text in (each.partition(":") for each in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(Asked(method, target, headers, body))
            if not await self._answered(writer, await self.decide(self.asked[-1])):
                return

    async def _answered(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        if answer.is_silent:
            await self._gone.wait()
            return False
        if answer.hangs_up:
            return False
        if answer.resets:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Length: {len(answer.body)}\r\n"
        head += "".join(f"{name}: {text}\r\n" for name, text in answer.headers.items())
        writer.write(head.encode() + b"\r\n")
        if answer.drip_seconds is None:
            writer.write(answer.body)
            await writer.drain()
            return True
        for place in range(len(answer.body)):
            writer.write(answer.body[place : place + 1])
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), answer.drip_seconds)
                return False
        return True
