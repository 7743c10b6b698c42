"""
Which hosts and sites may reach the service through a browser.

Sites are those of `CARELINE_ALLOWED_ORIGINS`. In local mode, where nobody proves who they are, a page from
anywhere else and a host name that merely points here (DNS rebinding) are turned away as well.
"""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_SHOWN_HEADERS = "X-Request-ID, Retry-After"
_ASKED_HEADERS = "Authorization, Content-Type, Accept, Idempotency-Key, X-Request-ID, Prefer, Last-Event-ID"
_PREFLIGHT_SECONDS = "600"


class Origins:
    def __init__(self, allowed: Sequence[str], *, is_local: bool) -> None:
        self._allowed = frozenset(each.rstrip("/").lower() for each in allowed)
        self._is_local = is_local

    def refusal(self, headers: Headers) -> str | None:
        """Why a request is turned away before anything looks at it; None for most."""
        if not self._is_local:
            return None
        if not _is_loopback_host(headers.get("host", "")):
            return "Without credentials configured, this service answers on a loopback host name only."
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(origin) and not _is_loopback_origin(origin):
            return "Without credentials configured, this service answers pages of this machine only."
        return None

    def is_preflight(self, headers: Headers) -> bool:
        return "access-control-request-method" in headers and self._is_allowed(headers.get("origin", ""))

    def response_headers(self, headers: Headers) -> Sequence[tuple[str, str]]:
        origin = headers.get("origin")
        if origin is None:
            return ()
        if not self._is_allowed(origin):
            return (("Vary", "Origin"),)
        answer = [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _SHOWN_HEADERS),
        ]
        if "access-control-request-method" in headers:
            answer += [
                ("Access-Control-Allow-Methods", "GET, POST"),
                ("Access-Control-Allow-Headers", _ASKED_HEADERS),
                ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
            ]
        return answer

    def _is_allowed(self, origin: str) -> bool:
        return origin.lower() in self._allowed


def _is_loopback_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and _is_loopback_host(parts.netloc)


def _is_loopback_host(host: str) -> bool:
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not port.isdecimal():
        return False
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
