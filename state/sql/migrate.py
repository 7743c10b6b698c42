"""
Bring a database to the tables of this version.

The revisions come in three branches, because the record, the customers and the tickets may live in different databases.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, OperationalError

from alembic import command
from core.errors import DependencyUnavailable
from state.sql.engine import UNREACHABLE, async_url

_CONNECT_SECONDS = 5
_LOCK = 0x4341_5245  # any number that no other program takes on this database

_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "not permitted",
    "permission denied",
)
"""What PostgreSQL says to those whom it knows and does not want. An error while connecting carries no code."""


class Branch(StrEnum):
    RECORD = "record"
    CUSTOMERS = "customers"
    TICKETS = "tickets"


def upgrade(url: str, *, branches: Sequence[Branch] = tuple(Branch)) -> None:
    """
    Blocking. Several replicas may start at once: one migrates, the others wait for it and find nothing to do.

    Raises:
        DependencyUnavailable: the database cannot be opened; reason "unreachable" where waiting may mend that.
    """
    try:
        _upgrade(async_url(url), branches)
    except (OperationalError, ArgumentError, ModuleNotFoundError) as exc:
        said = _first_line(exc)
        raise DependencyUnavailable(
            "sql",
            f"the database cannot be opened: {said}",
            reason=UNREACHABLE if _may_come_back(url, exc) else "refused",
        ) from exc


def _may_come_back(url: str, exc: Exception) -> bool:
    """A server that is there and does not want us needs an operator; a file that cannot be opened too."""
    if not isinstance(exc, OperationalError) or async_url(url).get_backend_name() == "sqlite":
        return False
    return not any(refusal in str(exc.orig) for refusal in _REFUSALS)


def _upgrade(parsed: URL, branches: Sequence[Branch]) -> None:
    is_sqlite = parsed.get_backend_name() == "sqlite"
    engine = (
        sa.create_engine(
            parsed.set(drivername="sqlite"), poolclass=sa.NullPool, connect_args={"isolation_level": None}
        )
        if is_sqlite
        else sa.create_engine(
            parsed, poolclass=sa.NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS}
        )
    )
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    with engine.connect() as connection:
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        for branch in branches:
            command.upgrade(config, f"{branch}@head")
        connection.commit()
    engine.dispose()


def _first_line(exc: Exception) -> str:
    cause = exc.orig if isinstance(exc, OperationalError) and exc.orig is not None else exc
    return str(cause).partition("\n")[0]


def _scripts() -> Path:
    """In a wheel the scripts lie beside this file, in a checkout at its top."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "alembic"
