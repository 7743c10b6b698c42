"""
A mail server on a real socket that can misbehave at every step of the conversation.

`answers` replaces the reply to a verb (EHLO, AUTH, MAIL, RCPT, DATA, MESSAGE for the final dot, QUIT); an
answer of `None` is silence, of `HANG_UP` a closed connection.
"""

import asyncio
import ssl
from types import TracebackType
from typing import Self

HANG_UP = "hang up"


class MailServer:
    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        offers_starttls: bool = False,
        offers_auth: bool = False,
        answers: dict[str, str | None] | None = None,
    ) -> None:
        self._tls = tls
        self._offers_starttls = offers_starttls
        self._offers_auth = offers_auth
        self.answers = answers if answers is not None else {}
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.encrypted_commands: list[str] = []
        self.connections = 0
        self.fell_silent = asyncio.Event()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        wrapped = self._tls if not self._offers_starttls else None
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=wrapped)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_encrypted = self._tls is not None and not self._offers_starttls
        if not await self._say(writer, "GREETING", "220 mail.test ESMTP"):
            return
        while line := await reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.commands.append(command)
            if is_encrypted:
                self.encrypted_commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "STARTTLS":
                writer.write(b"220 go ahead\r\n")
                await writer.drain()
                assert self._tls is not None
                await writer.start_tls(self._tls)
                is_encrypted = True
                continue
            if not await self._say(writer, verb, self._usual(verb, is_encrypted=is_encrypted)):
                return
            if verb == "QUIT":
                return
            if verb == "DATA" and (self.answers.get("DATA") or "354").startswith("354"):
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await self._say(writer, "MESSAGE", "250 taken"):
                    return

    def _usual(self, verb: str, *, is_encrypted: bool) -> str:
        match verb:
            case "EHLO":
                extensions = ["mail.test"]
                if self._offers_starttls and not is_encrypted:
                    extensions.append("STARTTLS")
                if self._offers_auth:
                    extensions.append("AUTH PLAIN")
                last = len(extensions) - 1
                return "\r\n".join(
                    f"250{' ' if number == last else '-'}{extension}"
                    for number, extension in enumerate(extensions)
                )
            case "DATA":
                return "354 go on"
            case "AUTH":
                return "235 welcome"
            case "QUIT":
                return "221 bye"
            case _:
                return "250 fine"

    async def _say(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bool:
        answer = self.answers.get(verb, usual)
        if answer is None:
            self.fell_silent.set()
            await asyncio.Event().wait()
        if answer == HANG_UP or answer is None:
            return False
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        return True
