"""
What a Redis address says: one server, a Sentinel's service, or a cluster; and what is wrong with one that says nothing usable.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

REDIS_SHAPE = (
    "must be redis://HOST:PORT/DB, rediss://…, unix://PATH, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or "
    "redis+cluster://HOST:PORT,HOST:PORT"
)
_PLAIN = frozenset({"redis", "rediss", "unix"})
_FORMS: dict[str, tuple[Literal["sentinel", "cluster"], int]] = {
    "redis+sentinel": ("sentinel", 26379),
    "rediss+sentinel": ("sentinel", 26379),
    "redis+cluster": ("cluster", 6379),
    "rediss+cluster": ("cluster", 6379),
}
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """`url` is the address of a single server, as redis-py reads it; the others are given by their `nodes`."""

    form: Literal["server", "sentinel", "cluster"]
    url: str = ""
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    is_encrypted: bool = False


def redis_address(text: str) -> RedisAddress:
    """
    Raises:
        ValueError: with what is wrong, without the password.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in _PLAIN:
        if scheme != "unix":
            _check_server(text)
        return RedisAddress(form="server", url=text)
    if not separator or scheme not in _FORMS:
        raise ValueError(REDIS_SHAPE)
    form, default_port = _FORMS[scheme]
    rest, _, query = rest.partition("?")
    credentials, at, rest = rest.rpartition("@")
    hosts, _, path = rest.partition("/")
    username, _, password = credentials.partition(":")
    nodes = tuple(_node(each.strip(), default_port) for each in hosts.split(","))
    service, database = _service(path) if form == "sentinel" else _no_database(path)
    options = _options(query, form)
    return RedisAddress(
        form=form,
        nodes=nodes,
        service=service,
        database=database,
        username=unquote(username) or None if at else None,
        password=unquote(password) or None if at else None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        is_encrypted=scheme.startswith("rediss"),
    )


def _check_server(url: str) -> None:
    """redis-py takes a database that is no number for 0, and fails on the port only when it connects."""
    parts = urlsplit(url)
    try:
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        is_port = False
    if not is_port:
        raise ValueError(f"the port of {parts.hostname!r} must be a number from 1 to 65535")
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError(f"the database must be a number, as in {parts.scheme}://HOST:PORT/0")


def _node(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed:
            raise ValueError(f"{text!r}: a bracket does not close")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError("names a host that is empty; hosts are separated by commas: HOST:PORT,HOST:PORT")
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"the port of {host!r} must be a number from 1 to 65535")
    return host, int(port)


def _service(path: str) -> tuple[str, int]:
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError("names no service: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("the database after the service must be a number: …/SERVICE/0")
    return unquote(service), int(database or 0)


def _no_database(path: str) -> tuple[str, int]:
    if path.strip("/") not in ("", "0"):
        raise ValueError("a Redis cluster has only database 0: leave the path out")
    return "", 0


def _options(query: str, form: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _SENTINEL_OPTIONS if form == "sentinel" else frozenset()
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ValueError(f"has an option that is not known: {', '.join(unknown)}")
    return options
