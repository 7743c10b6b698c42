"""
Look at a database without changing it: whether it lets us in, has this version's tables, and what its clock says.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from state.sql.advice import DatabaseNotOpened, next_step
from state.sql.engine import async_url
from state.sql.migrate import Branch, first_line, scripts
from state.sql.tables import outbox
from state.sql.types import database_now

_CONNECT_SECONDS = 2  # libpq takes no less
_STATEMENT_MILLISECONDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    `missing` are revisions that this version wants and the database has not, `unknown` those that this version does not know.
    `clock_ahead_seconds` is None where the database has this machine's clock. `promised` counts the outbox by status;
    `overdue_seconds` is how long the oldest due item has waited for somebody.
    """

    exists: bool = True
    missing: Sequence[str] = ()
    unknown: Sequence[str] = ()
    clock_ahead_seconds: float | None = None
    promised: Mapping[str, int] | None = None
    overdue_seconds: float = 0.0


def inspect(url: str, *, branches: Sequence[Branch], setting: str) -> Standing:
    """
    Blocking, for about two seconds at most.

    Raises:
        DatabaseNotOpened: with the next step.
    """
    parsed = async_url(url)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if (
        is_sqlite
        and parsed.database not in (None, "", ":memory:")
        and not Path(str(parsed.database)).exists()
    ):
        return Standing(exists=False)
    engine = sa.create_engine(
        parsed.set(drivername="sqlite") if is_sqlite else parsed,
        poolclass=sa.NullPool,
        connect_args={"timeout": _CONNECT_SECONDS}
        if is_sqlite
        else {
            "connect_timeout": _CONNECT_SECONDS,
            "options": f"-c statement_timeout={_STATEMENT_MILLISECONDS}",
        },
    )
    try:
        with engine.connect() as connection:
            return _standing(connection, branches, is_sqlite=is_sqlite)
    except (DBAPIError, ModuleNotFoundError) as exc:
        said = first_line(exc)
        raise DatabaseNotOpened(
            said, reason="refused", next_step=next_step(parsed, said, setting=setting)
        ) from exc
    finally:
        engine.dispose()


def _standing(connection: sa.Connection, branches: Sequence[Branch], *, is_sqlite: bool) -> Standing:
    here = set(MigrationContext.configure(connection).get_current_heads())
    known = ScriptDirectory(str(scripts()))
    wanted = {each.revision for branch in branches for each in known.get_revisions(f"{branch}@head")}
    missing = sorted(wanted - here)
    unknown = sorted(here - {each.revision for each in known.walk_revisions()})
    ahead: float | None = None
    if not is_sqlite:
        before = time.time()
        told = connection.execute(sa.select(database_now())).scalar_one() / 1_000_000
        ahead = told - (before + time.time()) / 2
    if missing or Branch.RECORD not in branches:
        return Standing(missing=missing, unknown=unknown, clock_ahead_seconds=ahead)
    counted = connection.execute(sa.select(outbox.c.status, sa.func.count()).group_by(outbox.c.status))
    oldest = connection.execute(
        sa.select(database_now() - sa.func.min(outbox.c.due_at)).where(
            outbox.c.status == "due",
            sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < database_now()),
        )
    ).scalar_one()
    return Standing(
        unknown=unknown,
        clock_ahead_seconds=ahead,
        promised={row[0]: row[1] for row in counted},
        overdue_seconds=max(0.0, (oldest or 0) / 1_000_000),
    )
