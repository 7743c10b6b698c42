"""
Customers who talk with a running service over a real socket, and operators who look at its /readyz.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from core.ids import new_id

T = TypeVar("T")

Answer = dict[str, Any]

_POLL_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
"""For what takes a few seconds; a machine that runs everything at once may need more."""


async def eventually(ask: Callable[[], Awaitable[T | None]], *, seconds: float = PATIENCE_SECONDS) -> T:
    """What `ask` returns once that is something; fails when it never is."""
    ends_at = time.monotonic() + seconds
    while not (found := await ask()):
        assert time.monotonic() < ends_at, f"still {found!r} after {seconds} s"
        await asyncio.sleep(_POLL_SECONDS)
    return found


def missing(answer: Answer) -> list[tuple[str, str]]:
    """The (feature, dependency) pairs that the answer calls degraded."""
    return [(part["feature"], part["dependency"]) for part in answer["degraded"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What /readyz says. `down` are the names of what is away."""

    code: int
    status: str
    down: frozenset[str]


class Service:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    def customer(self, customer_id: str, *, locale: str | None = None) -> "Customer":
        return Customer(self.client, customer_id, locale=locale)

    async def readiness(self) -> Readiness:
        response = await self.client.get("/readyz")
        body = response.json()
        down = frozenset(name for name, seen in body["dependencies"].items() if seen["state"] == "down")
        return Readiness(code=response.status_code, status=str(body["status"]), down=down)

    async def shows_down(self, *dependencies: str) -> Readiness:
        async def ask() -> Readiness | None:
            seen = await self.readiness()
            return seen if seen.down >= set(dependencies) else None

        return await eventually(ask)

    async def is_whole_again(self) -> None:
        async def ask() -> bool:
            return await self.readiness() == Readiness(code=200, status="ready", down=frozenset())

        await eventually(ask)


class Customer:
    """One customer in one conversation. `seconds` is how long the last answer took."""

    def __init__(self, client: httpx.AsyncClient, customer_id: str, *, locale: str | None = None) -> None:
        self._client = client
        self._locale = locale
        self._customer_id = customer_id
        self.conversation_id: str | None = None
        self.seconds = 0.0

    async def send(
        self, text: str, *, client_message_id: str | None = None, names_himself: bool = True
    ) -> httpx.Response:
        wanted = {
            "message": text,
            "conversation_id": self.conversation_id,
            "client_message_id": client_message_id,
            "customer_id": self._customer_id if names_himself else None,
            "locale": self._locale,
        }
        started = time.monotonic()
        response = await self._client.post(
            "/v1/chat", json={name: value for name, value in wanted.items() if value is not None}
        )
        self.seconds = time.monotonic() - started
        return response

    async def say(self, text: str, *, client_message_id: str | None = None) -> Answer:
        own_id = client_message_id or new_id("cm")
        response = await self.send(text, client_message_id=own_id)
        if response.status_code == 503:  # a busy machine's: sent again with the same id, as every client does
            await asyncio.sleep(float(response.headers["Retry-After"]))
            response = await self.send(text, client_message_id=own_id)
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        self.conversation_id = answer["conversation_id"]
        return answer

    async def hears(self, text: str, **how: Any) -> str:
        """Only the reply's text."""
        said: str = (await self.say(text, **how))["reply"]["text"]
        return said

    async def reads_back(self) -> list[dict[str, Any]]:
        """The conversation from its first message on."""
        response = await self._client.get(f"/v1/conversations/{self.conversation_id}/messages")
        assert response.status_code == 200, response.text
        messages: list[dict[str, Any]] = response.json()["messages"]
        return messages

    async def is_told(self, *words: str) -> str:
        """The first message of the system that holds all of `words`, as soon as there is one."""

        async def ask() -> str | None:
            told = [each["text"] for each in await self.reads_back() if each["role"] == "system"]
            return next((text for text in told if all(word in text for word in words)), None)

        return await eventually(ask)
