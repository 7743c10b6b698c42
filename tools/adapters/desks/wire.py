"""
One question to a help desk over HTTP, and its answer read into a struct.

Says what a failure means for a desk; what to ask is the business of each vendor's module.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from core.errors import DependencyError, DependencyRejectedInput, ExternalApiFailed, ToolMisconfigured
from core.http import raise_for_answer, translate

DEPENDENCY = "tickets"
MOST_PAGES = 20
"""Of a customer whose tickets fill more pages than these, only so many are read."""

T = TypeVar("T")

_GONE = frozenset({404, 410})
_CONFLICT = 409
_LONGEST_ANSWER = 500


def raise_for_desk(answer: httpx.Response) -> None:
    """
    Like `raise_for_answer`, but for what a desk blames its caller for: the chatting customer is no party to it.

    Raises:
        ToolMisconfigured: 404 or 410: the address, the project or our right to see it is wrong.
        ExternalApiFailed: 409: the desk is busy with that; it may be asked again.
        DependencyRejectedInput: with what the desk says of it, such as a field that it must have.
    """
    status = answer.status_code
    if status in _GONE:
        raise ToolMisconfigured(
            f"{DEPENDENCY}: answered {status}: the desk's address or project is wrong, or hidden from us",
            reason="desk_not_found",
        )
    if status == _CONFLICT:
        raise ExternalApiFailed(DEPENDENCY, f"{DEPENDENCY}: answered 409", answered_status=status)
    try:
        raise_for_answer(DEPENDENCY, answer)
    except DependencyRejectedInput as exc:
        exc.answer = _one_line(answer.text)[:_LONGEST_ANSWER] or None
        raise


class DeskWire:
    """
    `client` comes from `core.http.make_client`, with the desk's address and credentials; `check` raises for an answer that
    is no success.
    """

    def __init__(
        self, client: httpx.AsyncClient, *, check: Callable[[httpx.Response], None] = raise_for_desk
    ) -> None:
        self._client = client
        self._check = check

    async def read(
        self,
        path: str,
        reply: type[T],
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> T:
        """
        By GET, with a body by POST. Nothing has happened when it fails: `may_have_happened` is False.

        Raises:
            DependencyError, RateLimited, ToolMisconfigured: what `check` and `core.http.translate` say.
        """
        try:
            answer = await self._send("GET" if body is None else "POST", path, params=params, body=body)
            self._check(answer)
            return _decoded(answer, reply)
        except DependencyError as exc:
            exc.may_have_happened = False
            raise

    async def write(
        self, path: str, reply: type[T], *, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> T:
        """
        By POST.

        Raises:
            DependencyError, RateLimited, ToolMisconfigured: what `check` and `core.http.translate` say, and for an answer
                that cannot be read; `may_have_happened` is True where the fate is unknown.
        """
        answer = await self._send("POST", path, body=body, headers=headers)
        self._check(answer)
        return _decoded(answer, reply)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        sent = {**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})}
        try:
            return await self._client.request(method, path, params=params, content=content, headers=sent)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise translate(DEPENDENCY, exc) from exc


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def _decoded(answer: httpx.Response, reply: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=reply)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ExternalApiFailed(
            DEPENDENCY,
            f"{DEPENDENCY}: its answer cannot be read",
            answered_status=answer.status_code,
            reason="unreadable",
            may_have_happened=True,
        ) from exc
