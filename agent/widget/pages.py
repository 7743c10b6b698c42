"""
Serve `/widget.js` to any page that embeds the chat window.
"""

import gzip
import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

_SOURCE = Path(__file__).with_name("widget.js")
_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Content-Type": "text/javascript; charset=utf-8",
    "Cross-Origin-Resource-Policy": "cross-origin",  # pages that isolate themselves may embed it too
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


def widget_router() -> APIRouter:
    source = _SOURCE.read_bytes()
    packed = gzip.compress(source, compresslevel=9, mtime=0)
    digest = hashlib.sha256(source).hexdigest()[:32]
    router = APIRouter(tags=["widget"])

    @router.head("/widget.js", include_in_schema=False)
    @router.get(
        "/widget.js",
        summary="The chat window, as a script to embed",
        response_class=Response,
        responses={
            200: {"content": {"text/javascript": {"schema": {"type": "string"}}}},
            304: {"description": "The copy that If-None-Match names is still the current one."},
        },
    )
    async def widget_script(request: Request) -> Response:
        wants_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        etag = f'"{digest}-gzip"' if wants_packed else f'"{digest}"'
        headers = {**_HEADERS, "ETag": etag}
        if etag in (
            each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")
        ):
            return Response(status_code=304, headers=headers)
        if wants_packed:
            headers["Content-Encoding"] = "gzip"
        return Response(packed if wants_packed else source, headers=headers)

    return router
