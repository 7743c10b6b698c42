"""
The table: each row's name, what is done to the service, and the scenario that does it.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos import rows_links, rows_load, rows_machine, rows_replicas, rows_servers, rows_streams
from tests.chaos.report import Run


@dataclass(frozen=True)
class Row:
    fault: str
    scenario: Callable[[Run], Coroutine[Any, Any, None]]


ROWS: Mapping[str, Row] = {
    "redis-killed": Row("SIGKILL of Redis × 50", rows_servers.redis_killed),
    "postgres-killed": Row("SIGKILL of PostgreSQL × 20", rows_servers.postgres_killed),
    "both-down": Row("Redis and PostgreSQL down for 10 s", rows_servers.both_down),
    "replica-killed": Row("SIGKILL of a replica × 20", rows_replicas.replica_killed),
    "replica-stopped": Row("SIGSTOP of a replica past its leases × 10", rows_replicas.replica_stopped),
    "cut-both-ways": Row("replica A without Redis while B is without SQL, 30 s", rows_links.cut_both_ways),
    "senders-together": Row("4 senders × 50 messages on one conversation", rows_streams.senders_together),
    "streams-cut": Row("a stream cut at a random byte × 200", rows_streams.streams_cut),
    "rolling-sigterm": Row("SIGTERM of one replica after the other × 20", rows_streams.rolling_sigterm),
    "overloaded": Row("2.5 times what can be answered", rows_load.overloaded),
    "silent": Row("each dependency silent in turn: a black hole", rows_links.silent),
    "sql-disk-full": Row("the disk of PostgreSQL full", rows_machine.sql_disk_full),
    "redis-disk-full": Row("the disk of Redis full", rows_machine.redis_disk_full),
    "clock-off": Row("the clock of one replica one hour ahead, then one behind", rows_machine.clock_off),
}
