"""
Fetch addresses politely: one request at a time for each host with a pause between, as its robots.txt says, waiting when told to.

All of it goes through `core.outward`, so no address leads inside unless that was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from urllib.parse import urljoin, urlsplit

from core.clock import Clock
from core.errors import CarelineError, DependencyUnavailable, RateLimited, ValidationFailed
from core.http import parse_retry_after
from core.outward import OutwardAnswer

DEPENDENCY = "ingest"
ROBOT = "careline"
"""The name that robots.txt knows us by."""

_ROBOTS_BYTES = 500_000
_ATTEMPTS = 4
_WAIT_SECONDS = 5.0  # where a site that is busy does not say for how long
_LONGEST_WAIT_SECONDS = 300.0
_BUSY = frozenset({429, 503})


class Web(Protocol):
    """`core.outward.OutwardClient`."""

    async def request(
        self,
        method: Literal["GET", "HEAD", "POST", "PUT"],
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        follow_redirects: bool = True,
    ) -> OutwardAnswer: ...


class Rules(Protocol):
    """A robots.txt that was read."""

    def can_fetch(self, url: str, user_agent: str) -> bool: ...

    def crawl_delay(self, user_agent: str) -> float | None: ...


@dataclass(frozen=True, slots=True)
class _AllAllowed:
    def can_fetch(self, url: str, user_agent: str) -> bool:
        return True

    def crawl_delay(self, user_agent: str) -> float | None:
        return None


class Fetcher:
    """`pause_seconds` is the least between the end of a request and the next to the same host."""

    def __init__(self, web: Web, *, clock: Clock, pause_seconds: float = 1.0) -> None:
        self._web = web
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._rules: dict[str, Rules] = {}
        self._free_at: dict[str, float] = {}

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def may_fetch(self, url: str) -> bool:
        """
        Whether the site's robots.txt lets us.

        Raises:
            DependencyUnavailable: it cannot be read, and then nothing may be fetched (RFC 9309).
        """
        return (await self._rules_of(url)).can_fetch(url, ROBOT)

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, pause_seconds: float | None = None
    ) -> OutwardAnswer:
        """
        The answer, whatever its status, and redirects too; one that says "later" is asked again, when it says.

        Raises:
            RateLimited: it goes on saying "later", or for longer than we wait.
            CarelineError: as `core.outward.OutwardClient.request`.
        """
        host = _origin(url)
        pause = self._pause_seconds if pause_seconds is None else pause_seconds
        if host in self._rules:
            pause = max(pause, self._rules[host].crawl_delay(ROBOT) or 0.0)
        for attempt in range(1, _ATTEMPTS + 1):
            await self._clock.sleep(self._free_at.get(host, 0.0) - self._clock.monotonic())
            try:
                answer = await self._web.request("GET", url, headers=headers, follow_redirects=False)
            except ValidationFailed as exc:
                if exc.reason != "inward_address":
                    raise
                raise ValidationFailed(
                    f"{exc}; where it is in your own network, say --inside", reason=exc.reason
                ) from exc
            finally:
                self._free_at[host] = self._clock.monotonic() + pause
            if answer.status_code not in _BUSY:
                return answer
            told = parse_retry_after(answer.headers.get("retry-after"), now=self._clock.now())
            wait = _WAIT_SECONDS * attempt if told is None else told
            if wait > _LONGEST_WAIT_SECONDS:
                break
            self._free_at[host] = self._clock.monotonic() + max(wait, pause)
        raise RateLimited(
            f"it answers {answer.status_code}: try again later", dependency=DEPENDENCY, retry_after=told
        )

    async def _rules_of(self, url: str) -> Rules:
        host = _origin(url)
        if host not in self._rules:
            self._rules[host] = await self._read_rules(f"{host}/robots.txt")
        return self._rules[host]

    async def _read_rules(self, url: str) -> Rules:
        for _ in range(5):
            try:
                answer = await self.get(url)
            except CarelineError as exc:
                raise DependencyUnavailable(DEPENDENCY, f"{url} cannot be read: {exc}") from exc
            location = answer.headers.get("location")
            if answer.status_code // 100 != 3 or location is None:
                break
            url = urljoin(url, location)
        if 200 <= answer.status_code < 300:
            from protego import Protego

            # Protego's types are its own; it has what `Rules` says.
            rules: Any = Protego.parse(answer.body[:_ROBOTS_BYTES].decode("utf-8", "replace"))
            parsed: Rules = rules
            return parsed
        if answer.status_code >= 500:
            raise DependencyUnavailable(DEPENDENCY, f"{url} cannot be read: it answers {answer.status_code}")
        return _AllAllowed()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
