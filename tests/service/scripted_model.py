"""
An OpenAI-compatible server on a real socket that plays a script, misbehaviour included.

One scene per request, the last one for ever. It speaks HTTP itself, because frameworks do not let a server
misbehave.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


class Stage:
    """What a scene can do with its connection. `request` is the body that it answers."""

    def __init__(self, writer: asyncio.StreamWriter, request: dict[str, Any] | None = None) -> None:
        self._writer = writer
        self.request = request or {}

    async def head(
        self, status: int = 200, *, content_type: str = "text/event-stream", **headers: str
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {content_type}",
            "Connection: close",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def send(self, text: str) -> None:
        self._writer.write(text.encode())
        await self._writer.drain()

    async def event(self, data: Any) -> None:
        await self.send(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")

    async def delta(self, delta: dict[str, Any], *, finish: str | None = None) -> None:
        await self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


Scene = Callable[[Stage], Awaitable[None]]


def says(text: str, *, piece: int = 7, done: bool = True, usage: tuple[int, int] | None = None) -> Scene:
    """
    A streamed answer; `done` False ends it after its finish_reason, as some servers do. `usage`, tokens read and written, is told
    where it is asked for.
    """

    async def play(stage: Stage) -> None:
        await stage.head()
        await stage.delta({"role": "assistant", "content": ""})
        for start in range(0, len(text), piece):
            await stage.delta({"content": text[start : start + piece]})
        await stage.delta({}, finish="stop")
        if usage is not None and stage.request.get("stream_options", {}).get("include_usage"):
            read, written = usage
            await stage.event({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}})
        if done:
            await stage.event("[DONE]")

    return play


def says_at_once(text: str) -> Scene:
    """A whole JSON answer, though a stream was asked for."""

    async def play(stage: Stage) -> None:
        await stage.head(content_type="application/json")
        message = {"role": "assistant", "content": text}
        await stage.send(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))

    return play


def calls(*wanted: tuple[str, str], piece: int = 5) -> Scene:
    """Tool calls, pairs of name and raw arguments, whose pieces come by turns: a bit of each."""

    async def play(stage: Stage) -> None:
        await stage.head()
        for index, (name, _) in enumerate(wanted):
            function = {"name": name, "arguments": ""}
            await stage.delta(
                {
                    "tool_calls": [
                        {"index": index, "id": f"call_{index}", "type": "function", "function": function}
                    ]
                }
            )
        longest = max(len(arguments) for _, arguments in wanted)
        for start in range(0, longest, piece):
            for index, (_, arguments) in enumerate(wanted):
                part = arguments[start : start + piece]
                if part:
                    await stage.delta({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        await stage.delta({}, finish="tool_calls")
        await stage.event("[DONE]")

    return play


def refuses(status: int, **headers: str) -> Scene:
    async def play(stage: Stage) -> None:
        await stage.head(status, content_type="application/json", **headers)
        await stage.send(json.dumps({"error": {"message": "secret host db-7 said no", "code": status}}))

    return play


def is_silent(*, after: str = "") -> Scene:
    """Takes the request, perhaps says something, and then says nothing until the client goes away."""

    async def play(stage: Stage) -> None:
        if after:
            await stage.head()
            await stage.delta({"content": after})
        await asyncio.Event().wait()

    return play


def breaks_off(text: str) -> Scene:
    """Streams, and hangs up in the middle of a word."""

    async def play(stage: Stage) -> None:
        await stage.head()
        for start in range(0, len(text), 7):
            await stage.delta({"content": text[start : start + 7]})

    return play


def sends(*pieces: str, content_type: str = "text/event-stream") -> Scene:
    """Anything at all, byte for byte."""

    async def play(stage: Stage) -> None:
        await stage.head(content_type=content_type)
        for piece in pieces:
            await stage.send(piece)

    return play


class ScriptedModelServer:
    """
    `requests` are the bodies it was sent. Enter it, then give `url` to a model client.

    `port` is for who must know it before the server listens, or close it and open it again. `lists` are the models that it says
    it has; without any it has no such list. `keys` are what it was given to be let in, request by request.
    """

    def __init__(self, *scenes: Scene, port: int = 0, lists: Sequence[str] = ()) -> None:
        self._port = port
        self._lists = lists
        self.keys: list[str] = []
        self._scenes: Sequence[Scene] = scenes
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def play(self, *scenes: Scene) -> None:
        """A new script, from its first scene on."""
        self._scenes = scenes
        self.requests.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._play_scene(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _play_scene(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length:")
            ),
            0,
        )
        body = await reader.readexactly(length)
        self.keys += [
            line.partition(":")[2].strip()
            for line in head.splitlines()
            if line.lower().startswith("authorization:")
        ]
        if head.startswith("GET /v1/models ") and self._lists:
            models = json.dumps({"data": [{"id": name} for name in self._lists]})
            await sends(models, content_type="application/json")(Stage(writer))
            return
        if not head.startswith("POST /v1/chat/completions "):
            await refuses(404)(Stage(writer))
            return
        scene = self._scenes[min(len(self.requests), len(self._scenes) - 1)]
        request = json.loads(body)
        self.requests.append(request)
        stage = Stage(writer, request)
        gone = asyncio.ensure_future(reader.read())
        playing = asyncio.ensure_future(scene(stage))
        try:
            await asyncio.wait({gone, playing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            playing.cancel()
            await asyncio.gather(gone, playing, return_exceptions=True)
