"""
The table: each row's name, what is done to the service, and the scenario that does it.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos import rows_servers
from tests.chaos.report import Run


@dataclass(frozen=True)
class Row:
    fault: str
    scenario: Callable[[Run], Coroutine[Any, Any, None]]


ROWS: Mapping[str, Row] = {
    "redis-killed": Row("SIGKILL of Redis × 50", rows_servers.redis_killed),
    "postgres-killed": Row("SIGKILL of PostgreSQL × 20", rows_servers.postgres_killed),
    "both-down": Row("Redis and PostgreSQL down for 10 s", rows_servers.both_down),
}
