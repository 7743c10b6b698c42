"""
What an operator can do about a database that does not let us in, by what its driver said.
"""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest

from sqlalchemy.engine import URL

from core.errors import DependencyUnavailable

_NAMED = re.compile(r'(database|role) "([^"]*)" does not exist')


class DatabaseNotOpened(DependencyUnavailable):
    """`next_step` is a sentence for the operator, with names from the URL and never its password."""

    def __init__(self, message: str, *, reason: str, next_step: str, dependency: str = "sql") -> None:
        super().__init__(dependency, message, reason=reason)
        self.next_step = next_step


def next_step(url: URL, said: str, *, setting: str) -> str:
    """`said` is the driver's message, `setting` the variable that holds the URL."""
    missing = _NAMED.search(said)
    if missing is not None:
        kind, name = missing.groups()
        return _create_database(url, name, setting) if kind == "database" else _create_role(name, setting)
    for words, advice in _ADVICE:
        if any(word in said for word in words):
            return advice(url, setting)
    return f"Check that the database runs and that {setting} names it."


def _create_database(url: URL, name: str, setting: str) -> str:
    place = "".join(
        f" {flag} {value}"
        for flag, value in (("-h", url.host), ("-p", url.port), ("-U", url.username))
        if value is not None
    )
    return f'Create it: createdb{place} {name} (or in psql: CREATE DATABASE "{name}";), or correct the name in {setting}.'


def _create_role(name: str, setting: str) -> str:
    return f"Create it, in psql as an administrator: CREATE ROLE \"{name}\" LOGIN PASSWORD '…'; or correct the user in {setting}."


def _place(url: URL) -> str:
    """Of several hosts, all: `core.postgres_url` has brought them into the query."""
    hosts, ports = (_all(url.query.get(name)) for name in ("host", "port"))
    if not hosts:
        return f"{url.host or 'this machine'}:{url.port or 5432}"
    return " or ".join(f"{host}:{port}" for host, port in zip_longest(hosts, ports, fillvalue="5432"))


def _all(told: str | tuple[str, ...] | None) -> list[str]:
    if told is None:
        return []
    return (told if isinstance(told, str) else ",".join(told)).split(",")


_ADVICE: Sequence[tuple[Sequence[str], Callable[[URL, str], str]]] = (
    (
        ("password authentication failed", "no password supplied", "authentication failed"),
        lambda url, setting: (
            f"Check user and password in {setting} (percent-encode special characters); the server does not "
            f"say which is wrong. To set a new one, in psql: ALTER ROLE \"{url.username}\" PASSWORD '…';"
        ),
    ),
    (
        ("no pg_hba.conf entry",),
        lambda url, _: f"Let this machine in: the server at {_place(url)} has no line for it in pg_hba.conf.",
    ),
    (
        ("permission denied", "not permitted"),
        lambda url, _: (
            f'Give the right, as an administrator: GRANT ALL ON SCHEMA public TO "{url.username}"; and CONNECT on '
            f'the database "{url.database}".'
        ),
    ),
    (
        ("Connection refused",),
        lambda url, setting: (
            f"Nobody listens at {_place(url)}: start PostgreSQL there, or correct host and port in {setting}."
        ),
    ),
    (
        (
            "Name or service not known",
            "could not translate host name",
            "failed to resolve host",
            "name resolution",
        ),
        lambda url, setting: (
            f"The name in {_place(url)} is not known here: correct the host in {setting}, or check DNS."
        ),
    ),
    (
        ("timeout expired", "timed out"),
        lambda url, setting: (
            f"{_place(url)} does not answer: check that the server works, that no firewall is in between, and "
            f"the host in {setting}."
        ),
    ),
    (
        ("too many clients", "remaining connection slots"),
        lambda _, __: (
            "Raise the server's max_connections, or lower CARELINE_SQL_CONNECTIONS or the number of processes."
        ),
    ),
    (("starting up", "shutting down"), lambda _, __: "Wait: the server is starting or ending."),
    (
        ("unable to open database file", "readonly database", "disk I/O error"),
        lambda url, setting: (
            f"The folder of {url.database} must be there and writable for this user; or correct {setting}."
        ),
    ),
    (
        ("file is not a database", "malformed"),
        lambda url, setting: (
            f"{url.database} is damaged, or no SQLite file: restore it from a backup, or correct {setting}."
        ),
    ),
    (
        ("database is locked",),
        lambda url, _: f"Another program holds {url.database}: end it, or wait.",
    ),
)
