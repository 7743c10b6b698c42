"""
A server that speaks Redis's protocol and answers each command as a test says, for what the installed Redis does not have.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import redis.exceptions

_ALWAYS: Mapping[str, Any] = {"CLIENT": b"OK", "PING": b"PONG", "SELECT": b"OK", "SET": b"OK"}


class RespServer:
    """
    `replies` by a command's name; a list gives one after the other, and its last for ever. Numbers, bytes, lists of them, None,
    and exceptions are replied as what they are. `heard` has what each read from a connection brought.
    """

    def __init__(self, replies: Mapping[str, Any]) -> None:
        self.replies = {**_ALWAYS, **replies}
        self.heard: list[tuple[int, list[str]]] = []
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0?protocol=2"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number, waiting = self._connections, b""
        while read := await reader.read(1 << 20):
            commands, waiting = _commands(waiting + read)
            self.heard.append((number, [command[0].decode().upper() for command in commands]))
            for command in commands:
                writer.write(_encoded(self._reply(command)))
        writer.close()

    def _reply(self, command: list[bytes]) -> Any:
        name = command[0].decode().upper()
        if name not in self.replies:
            return redis.exceptions.ResponseError(f"ERR unknown command '{name}'")
        reply = self.replies[name]
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply


def _commands(text: bytes) -> tuple[list[list[bytes]], bytes]:
    """Whole commands, and what is left of the next."""
    found: list[list[bytes]] = []
    while True:
        try:
            command, rest = _command(text)
        except ValueError:
            return found, text
        found.append(command)
        text = rest


def _command(text: bytes) -> tuple[list[bytes], bytes]:
    """Raises ValueError when there is more to come."""
    line, end, text = text.partition(b"\r\n")
    if not end:
        raise ValueError
    parts = []
    for _ in range(int(line[1:])):
        line, end, text = text.partition(b"\r\n")
        length = int(line[1:]) if end else 0
        if not end or len(text) < length + 2:
            raise ValueError
        parts.append(text[:length])
        text = text[length + 2 :]
    return parts, text


def _encoded(reply: Any) -> bytes:
    match reply:
        case None:
            return b"$-1\r\n"
        case Exception():
            return f"-{reply}\r\n".encode()
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case tuple():
            return b"*%d\r\n%s" % (len(reply), b"".join(map(_encoded, reply)))
    raise TypeError(f"no reply: {reply!r}")
