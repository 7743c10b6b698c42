"""
In which order the hosts of a PostgreSQL are tried: the one that answered last first, one that is silent last.

libpq gives a silent host two seconds at least, which is more than a call may take: always asked first, it would keep every call
from the host that answers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

_PATIENCE_SECONDS = 0.1
"""A host that was asked longer ago and has answered nobody since is not asked first again. Calls give up later than this."""


class HostOrder:
    def __init__(
        self, hosts: Sequence[tuple[str, str]], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._hosts = list(hosts)
        self._now = now
        self._unanswered_since: float | None = None

    def about_to_connect(self, _: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = self._now()
        elif self._now() - self._unanswered_since > _PATIENCE_SECONDS:
            self._hosts.append(self._hosts.pop(0))
            self._unanswered_since = self._now()
        parameters["host"] = ",".join(host for host, _ in self._hosts)
        parameters["port"] = ",".join(port for _, port in self._hosts)

    def connected(self, connection: Any, _: Any) -> None:
        told = connection.driver_connection.info
        self._hosts.sort(key=lambda each: each != (told.host, str(told.port)))
        self._unanswered_since = None


def prefer_who_answers(engine: AsyncEngine, url: URL) -> None:
    """Nothing where `url` names one host."""
    hosts, ports = url.query.get("host"), url.query.get("port")
    if not isinstance(hosts, str) or not isinstance(ports, str) or "," not in hosts:
        return
    order = HostOrder(list(zip(hosts.split(","), ports.split(","), strict=True)))
    sa.event.listen(engine.sync_engine, "do_connect", order.about_to_connect)
    sa.event.listen(engine.sync_engine, "connect", order.connected)
