"""
Ask a company's own JSON API, and make its every way to fail ours.

Knows neither customers nor articles: the adapters beside it do.
"""

from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec
from pydantic import SecretStr

from core.errors import ExternalApiFailed, RateLimited, ToolMisconfigured
from core.http import make_client, raise_for_answer, translate
from core.lookup_settings import credential_header

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_LOOKUP_BYTES = 2 * 1024 * 1024


def make_lookup_client(
    dependency: str,
    url: str,
    *,
    timeout_seconds: float,
    connect_seconds: float,
    credentials: SecretStr | None,
) -> httpx.AsyncClient:
    """`credentials` as `core.lookup_settings.credential_header` reads them."""
    header = None if credentials is None else dict([credential_header(credentials.get_secret_value())])
    return make_client(
        dependency,
        base_url=url,
        timeout_seconds=timeout_seconds,
        connect_seconds=connect_seconds,
        headers=header,
        answer_bytes=_LOOKUP_BYTES,
    )


class JsonApi:
    """Paths are relative to the client's base URL, and count as written: `filled` has escaped what is put into them."""

    def __init__(self, client: httpx.AsyncClient, dependency: str) -> None:
        self._client = client
        self.dependency = dependency

    async def ask(
        self, method: Literal["GET", "POST"], path: str, *, body: Any = None
    ) -> tuple[Any, httpx.Response]:
        """
        The answer's document, its fractions as `Decimal`, and the answer itself.

        Raises:
            NotFound, RateLimited, DependencyError: as `core.http` says.
            ExternalApiFailed: reason "not_json".
        """
        try:
            response = await self._client.request(
                method,
                self._url(path),
                content=None if body is None else msgspec.json.encode(body),
                headers={"Accept": "application/json"}
                | ({} if body is None else {"Content-Type": "application/json"}),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise translate(self.dependency, exc) from exc
        raise_for_answer(self.dependency, response)
        try:
            return _JSON.decode(response.content), response
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ExternalApiFailed(
                self.dependency, f"{self.dependency}: the answer is no JSON", reason="not_json"
            ) from exc

    async def probe(self, path: str) -> None:
        """Returns where it works, or only asks us to wait. Raises as `ask`, and ToolMisconfigured where nothing is there."""
        try:
            response = await self._client.get(self._url(path))
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise translate(self.dependency, exc) from exc
        if response.status_code in {404, 410}:
            raise ToolMisconfigured(f"{self.dependency}: probe_path answers {response.status_code}")
        try:
            raise_for_answer(self.dependency, response)
        except RateLimited:
            return

    def is_own(self, url: httpx.URL) -> bool:
        """Whether our credentials may go there."""
        own = self._client.base_url
        return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)

    def absolute(self, url: str, base: httpx.URL) -> str:
        """
        An address that the API itself gave, as a link to its next page.

        Raises:
            ExternalApiFailed: reason "foreign_page": it leads elsewhere, where our credentials must not go.
        """
        try:
            found = base.join(url)
        except httpx.InvalidURL as exc:
            raise ExternalApiFailed(
                self.dependency, f"{self.dependency}: its next page is no address", reason="foreign_page"
            ) from exc
        if not self.is_own(found):
            raise ExternalApiFailed(
                self.dependency, f"{self.dependency}: its next page is on another host", reason="foreign_page"
            )
        return str(found)

    def _url(self, path: str) -> httpx.URL:
        if path.startswith(("http://", "https://")):
            return httpx.URL(path)
        return httpx.URL(str(self._client.base_url).rstrip("/") + path)


def filled(path: str, **values: str) -> str:
    """`path` with each `{name}` replaced, escaped so that no value can add a step, a parameter or a placeholder."""
    parts = []
    rest = path
    while rest:
        before, brace, rest = rest.partition("{")
        parts.append(before)
        if brace:
            name, _, rest = rest.partition("}")
            parts.append(quote(values[name], safe=""))
    return "".join(parts)
