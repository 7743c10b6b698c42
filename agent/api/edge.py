"""
The outermost layer of every HTTP request: its id, its count, who may embed us, and the answer when all else
fails.

Pure ASGI: streams pass through untouched.
"""

import re
import time
import traceback
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.api.eventlog import EventLog
from agent.api.origins import Origins
from agent.api.problems import problem_of, respond
from core.errors import PermissionDenied
from core.ids import new_id
from core.telemetry.logging import bound_ids
from core.telemetry.metrics import Metrics

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FRAMES_KEPT = 6


class Edge:
    def __init__(self, app: ASGIApp, *, origins: Origins, metrics: Metrics, log: EventLog) -> None:
        self._app = app
        self._origins = origins
        self._log = log
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_from(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        origin_headers = self._origins.response_headers(headers)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                marked = MutableHeaders(scope=message)
                marked["X-Request-ID"] = request_id
                for name, value in origin_headers:
                    marked.append(name, value)
            await send(message)

        began = time.perf_counter()
        try:
            with bound_ids(request_id=request_id):
                await self._pass_on(scope, headers, receive, send_marked)
        except ClientDisconnect:
            pass
        except Exception as exc:
            # A request must be answered whatever its handler did; the text of the exception may quote the
            # customer.
            self._log.error(
                "http.crashed", request_id=request_id, error=type(exc).__name__, frames=_where(exc)
            )
            if status:
                raise ConnectionAbortedError("the answer had begun") from None
            stored = _is_stored(scope) if scope["method"] == "POST" else None
            await respond(problem_of(exc), request_id=request_id, stored=stored)(scope, receive, send_marked)
        finally:
            self._metrics.request_answered(
                method=scope["method"] if scope["method"] in _METHODS else "other",
                route=getattr(scope.get("route"), "path", "unmatched"),
                status=status,
                seconds=time.perf_counter() - began,
            )

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        refusal = self._origins.refusal(headers)
        if refusal is not None:
            stored = False if scope["method"] == "POST" else None
            problem = problem_of(PermissionDenied(refusal))
            answer: Response = respond(problem, request_id=scope["state"]["request_id"], stored=stored)
            await answer(scope, receive, send)
        elif scope["method"] == "OPTIONS" and self._origins.is_preflight(headers):
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def request_id_from(headers: Headers) -> str:
    """The caller's own where it is fit to be logged, else a new one. Needs no quoting in JSON."""
    given = headers.get("x-request-id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else new_id("req")


def _is_stored(scope: Scope) -> bool:
    return bool(scope["state"].get("is_stored", False))


def _where(exc: Exception) -> Sequence[str]:
    frames = traceback.extract_tb(exc.__traceback__)[-_FRAMES_KEPT:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
