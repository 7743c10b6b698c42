"""
Several private Redis servers that belong together: a master with its replica under three Sentinels, and a cluster of three.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import redis

from tests.servers import RedisServer, free_port, program

SERVICE = "careline"
_PATIENCE_SECONDS = 20.0


class SentinelGroup:
    """`servers[0]` is the first master; Sentinels take half a second of silence for its death."""

    def __init__(self) -> None:
        self.servers = [RedisServer()]
        self.servers.append(RedisServer("--replicaof", "127.0.0.1", str(self.servers[0].port)))
        self._ports = [free_port() for _ in range(3)]
        self._folder = Path(tempfile.mkdtemp(prefix="careline-test-sentinel-"))
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        until(self._is_followed)
        for port in self._ports:
            file = self._folder / f"{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 3000\n"
            )
            with (self._folder / f"{port}.log").open("wb") as log:
                self._sentinels.append(
                    subprocess.Popen(
                        [program("redis-server"), str(file), "--sentinel"],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        until(self._know_each_other)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._sentinels:
            process.kill()
            process.wait()
        for server in self.servers:
            server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def silence_a_sentinel(self) -> None:
        os.kill(self._sentinels[0].pid, signal.SIGSTOP)

    def master_port(self) -> int:
        """As the last Sentinel says."""
        with redis.Redis(port=self._ports[-1], socket_timeout=1) as client:
            return int(client.sentinel_masters()[SERVICE]["port"])

    def wait_for_another_master(self, than: int) -> None:
        until(lambda: self.master_port() != than)

    def _is_followed(self) -> bool:
        with self.servers[0].client() as client:
            return bool(client.info("replication")["connected_slaves"] == 1)

    def _know_each_other(self) -> bool:
        for port in self._ports:
            with redis.Redis(port=port, socket_timeout=1) as client:
                state = client.sentinel_masters()[SERVICE]
                if state["num-other-sentinels"] != 2 or state["num-slaves"] != 1:
                    return False
        return True


class ClusterGroup:
    """Three masters with all slots between them, and no replicas."""

    def __init__(self) -> None:
        self.servers = [
            RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port())) for _ in range(3)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        subprocess.run(
            [
                *("redis-cli", "--cluster", "create"),
                *(f"127.0.0.1:{server.port}" for server in self.servers),
                "--cluster-yes",
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        until(self._is_whole)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.close()

    def keys_by_server(self) -> list[list[bytes]]:
        found = []
        for server in self.servers:
            with server.client() as client:
                found.append(list(client.scan_iter("*")))
        return found

    def _is_whole(self) -> bool:
        for server in self.servers:
            with server.client() as client:
                if client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    return False
        return True


def until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with contextlib.suppress(redis.RedisError, KeyError):
            if is_so():
                return
        if time.monotonic() > ends_at:
            raise RuntimeError("the group of Redis servers did not come together")
        time.sleep(0.05)
