"""
Customers who read their answers as streams, and go on at the other replica where a stream breaks off.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import aiohttp

from core.messages import TurnStatus
from tests.chaos.clients import told_of
from tests.chaos.history import Attempt, Sent

_SECONDS_TO_GIVE_UP = 60.0
_ANSWERED = (TurnStatus.ANSWERED, TurnStatus.NEEDS_CUSTOMER)


class Page:
    """
    What a reader holds of one answer over all its connections, put together as the SSE standard says: what is not closed by an
    empty line was never heard.
    """

    def __init__(self) -> None:
        self.text = ""
        self.last_id: str | None = None
        self.turn_id: str | None = None
        self.errors: list[str] = []
        self.message: dict[str, Any] | None = None
        self.is_over = False
        self._rest = b""

    def begin_connection(self) -> None:
        self._rest = b""
        self.is_over = False

    def take(self, data: bytes) -> int:
        """How many events it brought."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            self._hear(event)
        return len(events)

    def _hear(self, event: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if not line.startswith(b":"))
        if b"data" not in fields:
            return
        name, payload = fields[b"event"].decode(), json.loads(fields[b"data"])
        self.last_id = fields[b"id"].decode()
        match name:
            case "accepted":
                self.turn_id = payload["turn_id"]
            case "reset":
                self.text = ""
            case "delta":
                self.text += payload["text"]
            case "message":
                self.message = payload
            case "error":
                self.errors.append(str(payload))
            case "done" | "drain":
                self.is_over = True


class Readers:
    """`urls` are the ways to the replicas. `resumed` are the seconds from each break to the next event from elsewhere."""

    def __init__(self, urls: Sequence[str], session: aiohttp.ClientSession, *, chance: random.Random) -> None:
        self._urls = urls
        self._session = session
        self._chance = chance
        self.sent: list[Sent] = []
        self.resumed: list[float] = []
        self.mended: list[str] = []
        self.wrong: list[str] = []

    async def ask(self, number: int, text: str) -> None:
        """Until the answer has been read to its end, wherever that is."""
        name = f"r{number}"
        sent = Sent(name, 0, f"{name}-0", text, time.monotonic())
        self.sent.append(sent)
        page = Page()
        place = self._chance.randrange(len(self._urls))
        broke_at: float | None = None
        while page.message is None and time.monotonic() < sent.sent_at + _SECONDS_TO_GIVE_UP:
            if sent.attempts:
                await asyncio.sleep(0.05)
            await self._read(sent, page, self._urls[place % len(self._urls)], broke_at)
            broke_at = time.monotonic()
            place += 1
        if page.message is None:
            return
        sent.conversation_id = page.message["conversation_id"]
        if page.message["status"] in _ANSWERED:
            sent.answered_at = time.monotonic()
            sent.told.append(told_of(page.message))
        stored = page.message["reply"]["text"]
        if page.text != stored:
            self.wrong.append(f"{sent.client_message_id}: read {page.text!r}, and the reply is {stored!r}")

    async def _read(self, sent: Sent, page: Page, url: str, broke_at: float | None) -> None:
        began = time.monotonic()
        errors = len(page.errors)
        page.begin_connection()
        status = 0
        try:
            async with self._request(sent, page, url) as response:
                status = response.status
                async for data in response.content.iter_any():
                    if status != 200:
                        page.errors.append(f"{status} {data[:200]!r}")
                    elif page.take(data) and broke_at is not None:
                        self.resumed.append(time.monotonic() - broke_at)
                        broke_at = None
        except (aiohttp.ClientError, TimeoutError) as broken:
            self.mended.append(type(broken).__name__)
        self.mended += page.errors[errors:]
        sent.attempts.append(Attempt(began, time.monotonic() - began, status, page.turn_id is not None))
        if page.turn_id is not None and sent.acknowledged_at is None:
            sent.acknowledged_at = time.monotonic()

    def _request(self, sent: Sent, page: Page, url: str) -> "aiohttp.client._RequestContextManager":
        headers = {"Accept": "text/event-stream"}
        if page.last_id is not None:
            headers["Last-Event-ID"] = page.last_id
        if page.turn_id is not None:
            return self._session.get(f"{url}/v1/turns/{page.turn_id}/events", headers=headers)
        body = {
            "message": sent.text,
            "customer_id": f"c-{sent.sender}",
            "client_message_id": sent.client_message_id,
        }
        return self._session.post(f"{url}/v1/chat", json=body, headers=headers)


def open_session() -> aiohttp.ClientSession:
    """A connection for each request: what is cut is one stream."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15, sock_connect=1))
