"""
Notification channel that hands each notification to a service of the company: JSON over HTTP, signed, at least once.

`verified` is what the receiver does; docs/notifications.md has it in a form to copy.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import httpx
import msgspec

from core.clock import Clock
from core.errors import (
    Conflict,
    DependencyError,
    DependencyRejectedInput,
)
from core.ids import derived_id
from core.records import Notification
from tools.adapters.posting import DEPENDENCY, Answer, post

TOLERANCE_SECONDS = 300
_LONGEST_ADDRESS = 256
Event = Literal["notification", "handoff"]
_ADDRESSED_TO: Mapping[Event, str] = {"notification": "customer_id", "handoff": "conversation_id"}


class WebhookChannel:
    """
    A repeat has the same id and a new signature; 2xx means taken, and so does 409, which says "I have that id".
    `url` is the service's. `event` is the type of what it is told: a notification for a customer, or that a conversation was
    handed to a person; the address is the customer's id or the conversation's.
    """

    name = "webhook"
    recognises_repeats = True

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        url: str,
        secret: str,
        clock: Clock,
        event: Event = "notification",
    ) -> None:
        self._client = client
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._event = event

    def telling(self, event: Event) -> "WebhookChannel":
        """The same service, told of something else."""
        return WebhookChannel(
            self._client, url=self._url, secret=self._secret.decode(), clock=self._clock, event=event
        )

    def is_valid_address(self, address: str) -> bool:
        """The address is an id."""
        return 0 < len(address) <= _LONGEST_ADDRESS and address.isprintable()

    async def send(self, notification: Notification) -> str:
        """
        Returns the id that the receiver got.

        Raises:
            CarelineError: never with `may_have_happened`, because a repeat does no harm.
        """
        if not self.is_valid_address(notification.address):
            raise DependencyRejectedInput(DEPENDENCY, "not an id", reason="invalid_address")
        reference = derived_id("note", notification.key)
        now = self._clock.now()
        body = msgspec.json.encode(
            {
                "id": reference,
                "type": self._event,
                "sent_at": now.astimezone(UTC).isoformat(),
                _ADDRESSED_TO[self._event]: notification.address,
                "subject": notification.subject,
                "body": notification.body,
            }
        )
        await self._post(reference, now, body)
        return reference

    async def probe(self) -> None:
        """A signed ping, which the receiver answers like any other message and does nothing about."""
        now = self._clock.now()
        reference = derived_id("ping", now.isoformat())
        body = msgspec.json.encode(
            {"id": reference, "type": "ping", "sent_at": now.astimezone(UTC).isoformat()}
        )
        await self._post(reference, now, body)

    async def _post(self, reference: str, now: datetime, body: bytes) -> None:
        timestamp = str(int(now.timestamp()))
        try:
            answer = await post(
                self._client,
                self._url,
                content=body,
                headers={
                    "Content-Type": "application/json",
                    "Careline-Id": reference,
                    "Careline-Timestamp": timestamp,
                    "Careline-Signature": "v1=" + signature(self._secret, timestamp, reference, body),
                },
            )
            _raise_for(answer)
        except DependencyError as exc:
            exc.may_have_happened = False
            raise


def signature(secret: bytes, timestamp: str, reference: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.id.body`, in hexadecimal."""
    return hmac.new(secret, f"{timestamp}.{reference}.".encode() + body, hashlib.sha256).hexdigest()


def verified(headers: Mapping[str, str], body: bytes, *, secret: bytes, now: float) -> bool:
    """Whether a request comes from us and is not older than five minutes; `headers` with names in small letters."""
    timestamp = headers.get("careline-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = "v1=" + signature(secret, timestamp, headers.get("careline-id", ""), body)
    return hmac.compare_digest(expected.encode(), headers.get("careline-signature", "").encode())


def _raise_for(answer: Answer) -> None:
    try:
        answer.raise_for_status()
    except Conflict:
        return
