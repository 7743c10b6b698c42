"""
Customers who write at their own pace, whatever becomes of the service, and send again elsewhere until they are answered.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiohttp

from tests.chaos.history import Attempt, Sent, Told

_ANSWERED = ("answered", "needs_customer")
_LONGEST_WAIT_SECONDS = 1.0


class Clients:
    """
    `urls` are the replicas; a conversation has one as its home, and leaves it for as long as that does not answer.

    `sent` is everything that was ever said. `patience_seconds` is how long one request may take; `roaming` is the share of
    messages that are sent to any replica instead.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chance: random.Random,
        patience_seconds: float = 4.0,
        roaming: float = 0.0,
        prefix: str = "",
    ) -> None:
        self._urls = urls
        self._chance = chance
        self._patience = aiohttp.ClientTimeout(total=patience_seconds, sock_connect=1.0)
        self._roaming = roaming
        self._prefix = prefix
        self._talks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._started = 0
        self.sent: list[Sent] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        assert self._session is not None
        await self._session.close()

    async def arrive(self, *, rate: float, until: Callable[[], bool], script: Sequence[str]) -> None:
        """`rate` new conversations a second, each at its time; each says the lines of `script` one after the other."""
        began = time.monotonic()
        count = 0
        while not until():
            await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
            count += 1
            self.begin(script)

    def begin(self, script: Sequence[str]) -> None:
        self._started += 1
        talk = asyncio.create_task(self._talk(f"{self._prefix}{self._started}", script))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def finish(self, *, seconds: float) -> None:
        """Until every conversation that has begun is over; those that are not by then stay unanswered."""
        if self._talks:
            await asyncio.wait(set(self._talks), timeout=seconds)

    async def _talk(self, name: str, script: Sequence[str]) -> None:
        home = self._chance.randrange(len(self._urls))
        conversation_id: str | None = None
        for order, line in enumerate(script):
            sent = self.new(f"s{name}", order, line.replace("NAME", f"lamp-{name}-"), conversation_id)
            strays = self._chance.random() < self._roaming
            place = self._chance.randrange(len(self._urls)) if strays else home
            await self.deliver(sent, home=place, customer_id=f"c{name}")
            conversation_id = sent.conversation_id

    def new(self, sender: str, order: int, text: str, conversation_id: str | None) -> Sent:
        sent = Sent(sender, order, f"{sender}-{order}", text, time.monotonic(), conversation_id)
        self.sent.append(sent)
        return sent

    async def deliver(self, sent: Sent, *, home: int, customer_id: str) -> None:
        """Send it until it is answered; about one in six is sent with `respond-async` first, and asked for afterwards."""
        body = {
            "message": sent.text,
            "customer_id": customer_id,
            "client_message_id": sent.client_message_id,
            **({"conversation_id": sent.conversation_id} if sent.conversation_id else {}),
        }
        is_async = self._chance.random() < 1 / 6
        wait = 0.05
        while sent.answered_at is None:
            headers = {"Prefer": "respond-async"} if is_async and not sent.attempts else {}
            url = self._urls[(home + len(sent.attempts) * (not sent.acknowledged_at)) % len(self._urls)]
            is_acknowledged = await self._attempt(sent, url, body, headers)
            if sent.answered_at is None:
                home += not is_acknowledged and sent.acknowledged_at is not None
                await asyncio.sleep(wait * self._chance.uniform(0.5, 1.0))
                wait = min(_LONGEST_WAIT_SECONDS, wait * 2)

    async def _attempt(self, sent: Sent, url: str, body: dict[str, Any], headers: dict[str, str]) -> bool:
        assert self._session is not None
        began = time.monotonic()
        answer: dict[str, Any] = {}
        try:
            async with self._session.post(
                f"{url}/v1/chat", json=body, headers=headers, timeout=self._patience
            ) as response:
                status = response.status
                answer = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            status = 0
        now = time.monotonic()
        is_stored = status in (200, 202) or answer.get("stored") is True
        sent.attempts.append(Attempt(began, now - began, status, is_stored))
        if is_stored and sent.acknowledged_at is None:
            sent.acknowledged_at = now
        if status in (200, 202):
            sent.conversation_id = answer["conversation_id"]
        if status == 200 and answer["status"] in _ANSWERED:
            sent.answered_at = now
            sent.told.append(told_of(answer))
        return is_stored


def told_of(answer: dict[str, Any]) -> Told:
    return Told(
        turn_id=answer["turn_id"],
        text=answer["reply"]["text"],
        degraded=tuple(part["dependency"] for part in answer["degraded"]),
        durability=answer["durability"],
    )
