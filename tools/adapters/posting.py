"""
Post one notification over HTTP and read no more of the answer than is needed to know what came of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import msgspec

from core.errors import ToolMisconfigured
from core.http import raise_for_answer, translate

DEPENDENCY = "notifications"

_MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is what was sent first of it, JSON or not."""

    status_code: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> Mapping[str, object]:
        """Empty where it is no JSON object."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except msgspec.DecodeError:
            return {}

    def raise_for_status(self) -> None:
        """
        Nothing for a 2xx. No customer and no repeat can help where the address of the service itself is wrong.

        Raises:
            CarelineError: as `core.http.raise_for_answer`; ToolMisconfigured for 404 and 410.
        """
        if self.status_code in (404, 410):
            raise ToolMisconfigured(
                f"{DEPENDENCY}: answered {self.status_code}: check the URL and the account in the settings"
            )
        raise_for_answer(DEPENDENCY, self)


async def post(
    client: httpx.AsyncClient, url: str, *, content: bytes, headers: Mapping[str, str], accepts: str = "*/*"
) -> Answer:
    """
    Once; whatever the status.

    Raises:
        CarelineError: as `core.http.translate`, with `may_have_happened` True once the request was on its way.
    """
    return await _exchange(
        client, client.build_request("POST", url, content=content, headers={"Accept": accepts, **headers})
    )


async def get(client: httpx.AsyncClient, url: str, *, parameters: Mapping[str, str | int]) -> Answer:
    """Raises as `post`."""
    # Empty parameters would take away those that the URL has.
    request = client.build_request(
        "GET", url, params=parameters or None, headers={"Accept": "application/json"}
    )
    return await _exchange(client, request)


async def _exchange(client: httpx.AsyncClient, request: httpx.Request) -> Answer:
    try:
        response = await client.send(request, stream=True)
        try:
            return Answer(response.status_code, response.headers, await _start_of(response))
        finally:
            await response.aclose()
    except Exception as exc:
        raise translate(DEPENDENCY, exc) from exc


async def _start_of(response: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= _MOST_BYTES:
            break
    return bytes(read[:_MOST_BYTES])
