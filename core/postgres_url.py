"""
What a PostgreSQL URL says of its hosts, of which there may be several: libpq's form and SQLAlchemy's, and what is wrong with one.
"""

import re
from urllib.parse import parse_qsl, quote, urlencode

POSTGRES_PORT = "5432"
_PARTS = re.compile(
    r"(?P<scheme>postgres[\w+]*)://(?P<credentials>[^:/@]*(?::[^@]*)?@)?(?P<hosts>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_WRITABLE = ("read-write", "primary")
_TARGETS = ("any", *_WRITABLE, "read-only", "standby", "prefer-standby")
"""Of libpq."""


def with_hosts_in_query(url: str) -> str:
    """
    The URL with several hosts written as `?host=A,B&port=1,2`, which SQLAlchemy reads, IPv6 addresses included, and with
    `target_session_attrs=read-write` where it names none. A URL with one host, or of another database, comes back as it is.

    Raises:
        ValueError: with what is wrong, without the password.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return url
    query = parse_qsl(parts["query"] or "", keep_blank_values=True)
    named = [value for name, value in query if name == "host"]
    ports = [value for name, value in query if name == "port"]
    if "," in parts["hosts"]:
        if named or ports:
            raise ValueError("names hosts before the path and in its query: use one of the two")
        nodes = [_node(text.strip()) for text in parts["hosts"].split(",")]
    elif len(named) > 1 or any("," in value for value in named):
        nodes = _queried(named, ports)
    else:
        _check_port(parts["hosts"], [*named, ""][0], ports)
        _check_target(dict(query).get("target_session_attrs", "any"))
        return url
    wanted = dict(query).get("target_session_attrs", _WRITABLE[0])
    if wanted not in _WRITABLE:
        raise ValueError(
            f"target_session_attrs={wanted} may find a server that takes no writes: use {' or '.join(_WRITABLE)}"
        )
    rest = [pair for pair in query if pair[0] not in ("host", "port", "target_session_attrs")]
    pairs = [
        ("host", ",".join(host for host, _ in nodes)),
        ("port", ",".join(port for _, port in nodes)),
        ("target_session_attrs", wanted),
        *rest,
    ]
    return (
        f"{parts['scheme']}://{parts['credentials'] or ''}{parts['path'] or '/'}"
        f"?{urlencode(pairs, safe=',:', quote_via=quote)}"
    )


def _check_target(wanted: str) -> None:
    if wanted not in _TARGETS:
        raise ValueError(f"target_session_attrs={wanted} is not known: use one of {', '.join(_TARGETS)}")


def _check_port(before_path: str, named: str, ports: list[str]) -> None:
    """Without a host it is that of a socket."""
    if before_path.startswith(":"):
        _port(before_path[1:], named)
    elif before_path:
        _node(before_path)
    for port in ports:
        _port(port, named or before_path)


def _queried(named: list[str], ports: list[str]) -> list[tuple[str, str]]:
    if len(named) > 1 and ports:
        raise ValueError("write host=A:1&host=B:2, or host=A,B&port=1,2")
    if len(named) > 1:
        return [_node(text) for text in named]
    hosts = named[0].split(",")
    given = ports[0].split(",") if ports else [POSTGRES_PORT]
    if len(given) == 1:
        given = given * len(hosts)
    if len(given) != len(hosts):
        raise ValueError(f"names {len(hosts)} hosts and {len(given)} ports")
    return [(_host(host), _port(port, host)) for host, port in zip(hosts, given, strict=True)]


def _node(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed:
            raise ValueError(f"{text!r}: a bracket does not close")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    return _host(host), _port(port or POSTGRES_PORT, host)


def _host(text: str) -> str:
    if not text:
        raise ValueError("names a host that is empty; hosts are separated by commas: HOST:PORT,HOST:PORT")
    return text


def _port(text: str, host: str) -> str:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"the port of {host!r} must be a number from 1 to 65535")
    return text
