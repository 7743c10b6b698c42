"""
A PostgreSQL with a streaming standby that has every commit before it is acknowledged, to be promoted when the primary is gone.
"""

import shutil
import subprocess
import time
from typing import Self

from tests.servers import PostgresServer, as_postgres, program

_PATIENCE_SECONDS = 20.0


class _Standby(PostgresServer):
    def follow(self, primary: PostgresServer) -> None:
        shutil.rmtree(self._data)
        subprocess.run(
            [
                program("pg_basebackup"),
                *("-D", str(self._data), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"),
                *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **as_postgres(),
        )


class PostgresPair:
    """Synchronous as long as the standby follows; `promote` makes it the primary."""

    def __init__(self) -> None:
        self.primary = PostgresServer()
        self.standby = _Standby()

    def url(self, database: str = "postgres") -> str:
        """Both hosts, as libpq writes it."""
        return f"postgresql://postgres@127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}/{database}"

    def __enter__(self) -> Self:
        self.primary.start()
        self.standby.follow(self.primary)
        self.standby.start()
        with self.primary.connection() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            ends_at = time.monotonic() + _PATIENCE_SECONDS
            while (
                connection.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone()
                is None
            ):
                if time.monotonic() > ends_at:
                    raise RuntimeError("the standby does not follow")
                time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.standby.close()
        self.primary.close()

    def promote(self) -> None:
        """Returns once it takes writes."""
        with self.standby.connection() as connection:
            connection.execute("SELECT pg_promote(true, 20)")
