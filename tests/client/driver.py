"""
The contract's tests speak raw HTTP; this lets them speak through the library: every call that the library has a method for is
made by that method, and what it returns or raises must be what was on the wire.
"""

import asyncio
import inspect
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from careline_client import NO_RETRIES, APIError, AsyncCareline, Careline
from careline_client.plane import PREFIX

_KINDS = {
    "agent-classes": "agent_classes",
    "model-providers": "model_providers",
    "system-prompts": "system_prompts",
    "tools": "tools",
    "agent-definitions": "agent_definitions",
    "deployments": "deployments",
}


_request_id: ContextVar[str] = ContextVar("_request_id")


class _Recording(httpx.AsyncHTTPTransport):
    """`kept` is what was on the wire, by the request's id."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, httpx.Response] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        await response.aread()
        self.kept[request.headers["X-Request-ID"]] = _whole(request, response)
        return _whole(request, response)


class _RecordingSync(httpx.HTTPTransport):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, httpx.Response] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        response.read()
        self.kept[request.headers["X-Request-ID"]] = _whole(request, response)
        return _whole(request, response)


def _whole(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    return httpx.Response(
        response.status_code, headers=response.headers, content=response.content, request=request
    )


class LibraryDriver:
    """As much of `httpx.AsyncClient` as the tests use; `counted` are the calls that a method of the library made."""

    def __init__(self, base_url: str, *, is_sync: bool) -> None:
        self._transport: _Recording | _RecordingSync = _RecordingSync() if is_sync else _Recording()
        kind: Any = Careline if is_sync else AsyncCareline
        policy = replace(NO_RETRIES, new_request_id=_request_id.get)
        self._library: Any = kind(base_url, retries=policy, transport=self._transport)
        self.counted = 0

    async def get(self, url: str, **more: Any) -> httpx.Response:
        return await self.request("GET", url, **more)

    async def post(self, url: str, **more: Any) -> httpx.Response:
        return await self.request("POST", url, **more)

    async def patch(self, url: str, **more: Any) -> httpx.Response:
        return await self.request("PATCH", url, **more)

    async def delete(self, url: str, **more: Any) -> httpx.Response:
        return await self.request("DELETE", url, **more)

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        request_id = (headers or {}).get("X-Request-ID") or uuid.uuid4().hex
        _request_id.set(request_id)
        split = urlsplit(url)
        query = dict(parse_qsl(split.query)) | dict(params or {})
        call = self._method(method, split.path, json, query, dict(headers or {}))
        if call is None:
            call = lambda: self._library.request(  # noqa: E731 - the one that takes anything
                method, self._outside(split.path), query=query, body=json, headers=headers
            )
        else:
            self.counted += 1
        try:
            if inspect.iscoroutinefunction(self._library.request):
                returned = await call()
            else:
                returned = await asyncio.to_thread(call)
        except APIError as error:
            kept = self._transport.kept[request_id]
            assert error.status == kept.status_code
            assert error.response.content == kept.content
            if error.status == 422:
                assert [list(each.loc) for each in error.details] == [
                    each["loc"] for each in kept.json()["detail"]
                ]
            return kept
        kept = self._transport.kept[request_id]
        assert returned == (kept.json() if kept.content else None)
        return kept

    async def aclose(self) -> None:
        closed = self._library.close()
        if inspect.isawaitable(closed):
            await closed

    @staticmethod
    def _outside(path: str) -> str:
        return path if path.startswith("/v1") else PREFIX + path

    def _method(
        self, method: str, path: str, body: Any, query: dict[str, Any], headers: dict[str, str]
    ) -> Callable[[], Any] | None:
        """The library's own method for this request; None where it has none, or the test says what a method would not."""
        name, _, rest = path.strip("/").partition("/")
        id, _, action = rest.partition("/")
        has_fields = isinstance(body, dict)
        key = headers.pop("Idempotency-Key", None)
        if name == "audit" and not headers and query.keys() <= {"kind", "resource_id", "limit", "offset"}:
            return lambda: self._library.audit(**query)
        if name not in _KINDS or headers or path.endswith("/"):
            return None
        resources = getattr(self._library, _KINDS[name])
        match method, id, action:
            case "POST", "", "" if has_fields:
                return lambda: resources.create(body, idempotency_key=key)
            case "GET", "", "":
                return lambda: resources.list(**query)
            case "POST", "sync", "" if has_fields and body.keys() == {"tools"}:
                return lambda: resources.sync(body["tools"])
            case "POST", "discover", "" if has_fields and body.keys() == {"source"}:
                return lambda: resources.discover(body["source"])
            case "GET", _, "" if id:
                return lambda: resources.get(id)
            case "PATCH", _, "" if has_fields:
                return lambda: resources.update(id, body)
            case "DELETE", _, "":
                return lambda: resources.delete(id)
            case "POST", _, "verify":
                return lambda: resources.verify(id)
            case "GET", _, "models":
                return lambda: resources.models(id)
            case "GET", _, "config":
                return lambda: resources.config(id)
            case "POST", _, "tools" if has_fields and body.keys() == {"tool_ids"}:
                return lambda: resources.set_tools(id, body["tool_ids"])
        return None
