"""An HTTP server that gives one answer to every request, or none, and counts what it was asked."""

import asyncio
from collections.abc import Mapping
from typing import Self


class StatusServer:
    """
    `status` may change at any time. `breaks` closes the connection in place of an answer, `is_silent` never answers.
    """

    def __init__(
        self,
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        breaks: bool = False,
        is_silent: bool = False,
    ) -> None:
        self.status = status
        self.asked = 0
        self.asked_at: list[float] = []
        self._headers = headers or {}
        self._breaks = breaks
        self._is_silent = is_silent
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await _read_request(reader):
                assert head
                self.asked += 1
                self.asked_at.append(asyncio.get_running_loop().time())
                if self._is_silent:
                    continue
                if self._breaks:
                    break
                fields = {"Content-Length": "2", "Content-Type": "application/json", **self._headers}
                lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in fields.items())]
                writer.write("\r\n".join([*lines, "", "{}"]).encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """Its head, empty when the client has gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head
