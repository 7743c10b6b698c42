"""
What every request of the plane brings: a body of bounded size, a caller who may, and the key by which a repeat is recognised.
"""

import hashlib
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.problems import request_id_of
from agent.api.security import Callers
from agent.control.plane import KEPT_BY_KEY, KEPT_BY_REQUEST, RequestKey
from core.errors import FieldError, PermissionDenied, ValidationFailed
from core.identity import Caller

BODY_BYTES = 1024 * 1024
_LONGEST_KEY = 255


class BodyLimit:
    """
    Reads each body before anything else does, up to 1 MB, and leaves it for `request_key`; a longer one is not read to its end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        is_whole = False
        while not is_whole and len(body) <= BODY_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
        if not is_whole or len(body) > BODY_BYTES:
            await _refuse(scope, receive, send)
            return
        scope.setdefault("state", {})["control_body"] = bytes(body)
        is_given = False

        async def again() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, again, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    said = orjson.dumps({"detail": f"The body is larger than {BODY_BYTES} bytes."})
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": said})


class PlaneCallers:
    """Who may use the plane: trusted servers' and operators' keys, and anybody in local mode."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def __call__(self, request: Request) -> Caller:
        """
        Raises:
            AuthenticationFailed: no credentials, or not valid ones.
            PermissionDenied: they are a customer's or a visitor's.
        """
        caller = await self._callers.caller(request)
        if not caller.may_act_for_any_customer:
            raise PermissionDenied("The control plane is for keys of CARELINE_API_KEYS.")
        return caller


def name_of(caller: Caller) -> str:
    """As the audit names who changed something."""
    return f"{caller.kind.value}:{caller.name}" if caller.name else caller.kind.value


def request_key(request: Request, *, may_name_one: bool = False) -> RequestKey:
    """
    The client's own key where the route takes one, else what its repeats have in common.

    Raises:
        ValidationFailed: the key is empty or too long.
    """
    body: bytes = request.scope["state"].get("control_body", b"")
    path = request.url.path.rstrip("/")
    digest = hashlib.sha256(body).hexdigest()
    named = request.headers.get("idempotency-key")
    if named is None or not may_name_one:
        whole = _digest(request.method, path, request_id_of(request), digest)
        return RequestKey(key=f"request:{whole}", fingerprint=digest, kept=KEPT_BY_REQUEST)
    if not 1 <= len(named) <= _LONGEST_KEY:
        wrong = FieldError(("header", "Idempotency-Key"), "1 to 255 characters", "key_length")
        raise ValidationFailed("The request is wrong.", fields=(wrong,))
    return RequestKey(
        key=f"key:{_digest(path, named)}", fingerprint=_digest(path, _canonical(body)), kept=KEPT_BY_KEY
    )


def _canonical(body: bytes) -> str:
    """The same for bodies that say the same: repeats may order their fields otherwise."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return hashlib.sha256(body).hexdigest()
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
