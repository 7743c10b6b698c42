"""
Listen on a socket of ours with uvicorn, and end in good order.
"""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence

import uvicorn
from fastapi import FastAPI

from agent.bootstrap import Careline
from agent.cli.common import fail, out
from core.settings import Settings

_OBJECTS_BETWEEN_LOOKS = 10_000
_GOODBYE_SECONDS = 1


def bind(host: str, port: int) -> socket.socket:
    """Taken before anything is opened, so that a port in use is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's delay off only for sockets that say TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        fail(
            f"cannot listen on {host}:{port}: {exc.strerror}",
            next_step="Another program may have the port: choose another with --port, or end that program.",
        )
    return listener


def url_of(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def announce(listener: socket.socket, settings: Settings, *, hints: Sequence[str] = ()) -> None:
    """Print the address; `hints` under it."""
    out.print(f"Careline listens on {url_of(listener)}", soft_wrap=True, markup=False)
    for hint in hints:
        out.print(hint, soft_wrap=True, markup=False)
    if settings.is_local:
        out.print("Local mode: no credentials are set, so it answers this machine only.")


async def listen(app: FastAPI, careline: Careline, listener: socket.socket) -> None:
    """Answer requests until a signal ends it; running turns get `drain_seconds`, then streams are told to go."""
    settings = careline.settings
    _spare_the_collector()
    config = uvicorn.Config(
        app,
        loop="none",
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=round(settings.drain_seconds) + _GOODBYE_SECONDS,
    )
    await _Server(config, careline.drain, settings.drain_seconds).serve(sockets=[listener])


def _spare_the_collector() -> None:
    """
    What was made to start with stays for good: it need not be looked through again and again. A turn leaves hardly any cycles, so
    looking for them each 700 objects finds nothing, several times a turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, 10, 10)


class _Server(uvicorn.Server):
    """uvicorn, which waits for open streams at its end: `drain` ends them in good order."""

    def __init__(
        self, config: uvicorn.Config, drain: Callable[[float], Awaitable[None]], seconds: float
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn raises a signal again after it has obeyed it: an end in good order would look like a crash (exit code -15)."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.gather(super().shutdown(sockets), self._drain(self._seconds))
