"""
Bring a database to the tables of this version.

The revisions come in three branches, because the record, the customers and the tickets may live in different databases.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from state.sql.advice import DatabaseNotOpened, next_step
from state.sql.engine import UNREACHABLE, async_url

_VERSIONS = "alembic_version"
_SAID = re.compile(r"^(revision|down_revision|branch_labels) = (.+)$", re.MULTILINE)
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
        DatabaseNotOpened: with the next step; reason "unreachable" where waiting may mend that.
    """
    try:
        _upgrade(async_url(url), branches)
    except (OperationalError, ArgumentError, ModuleNotFoundError) as exc:
        said = first_line(exc)
        raise DatabaseNotOpened(
            f"the database cannot be opened: {said}",
            reason=UNREACHABLE
            if isinstance(exc, OperationalError) and may_come_back(url, str(exc.orig))
            else "refused",
            next_step=next_step(async_url(url), said, setting=setting_of(branches))
            if isinstance(exc, OperationalError)
            else f"Correct {setting_of(branches)}.",
        ) from exc


def setting_of(branches: Sequence[Branch]) -> str:
    """The variable that names a database with these tables."""
    if Branch.RECORD in branches:
        return "CARELINE_DATABASE_URL"
    return f"CARELINE_{branches[0].upper()}_DATABASE_URL"


def may_come_back(url: str, said: str) -> bool:
    """A server that is there and does not want us needs an operator; a file that cannot be opened too. `said` is the driver's."""
    if async_url(url).get_backend_name() == "sqlite":
        return False
    return not any(refusal in said for refusal in _REFUSALS)


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
    with engine.connect() as connection:
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        if not newest(branches) <= _found(connection):
            _carry_out(connection, branches)
        connection.commit()
    engine.dispose()


def _carry_out(connection: sa.Connection, branches: Sequence[Branch]) -> None:
    # Only where there is something to do: with what it brings it takes 7 MB of memory, and a quarter of a second.
    from alembic.config import Config

    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    for branch in branches:
        command.upgrade(config, f"{branch}@head")


def _found(connection: sa.Connection) -> set[str]:
    if not sa.inspect(connection).has_table(_VERSIONS):
        return set()
    return set(connection.execute(sa.text(f"SELECT version_num FROM {_VERSIONS}")).scalars())  # noqa: S608


def newest(branches: Sequence[Branch]) -> set[str]:
    """The last revision of each branch, as the scripts' own heads say: read, not run."""
    after: dict[str | None, list[str]] = {}
    begins: dict[str, str] = {}
    for script in scripts().glob("versions/*.py"):
        said = dict(_SAID.findall(script.read_text(encoding="utf-8")))
        revision, before = said["revision"].strip('"'), said["down_revision"].strip('"')
        after.setdefault(None if before == "None" else before, []).append(revision)
        begins |= dict.fromkeys(re.findall(r'"(\w+)"', said["branch_labels"]), revision)
    found = set()
    for branch in branches:
        last = begins[branch]
        while last in after:
            (last,) = after[last]
        found.add(last)
    return found


def first_line(exc: Exception) -> str:
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    return str(cause).partition("\n")[0]


def scripts() -> Path:
    """In a wheel the scripts lie beside this file, in a checkout at its top."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "alembic"
