"""
Notification channel for text messages over Twilio's API (`/2010-04-01/Accounts/{sid}/Messages.json`).

Twilio knows no idempotency key, so a message whose answer was lost may have gone out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import httpx

from core.errors import DependencyRejectedInput, ExternalApiFailed
from core.records import Bounce, Notification
from tools.adapters.posting import DEPENDENCY, Answer, get, post
from tools.addresses import is_phone_number

URL = "https://api.twilio.com"

_LONGEST = 1600
_NO_SUCH_RECIPIENT = frozenset({21211, 21214, 21217, 21265, 21610, 21614, 21635})
"""Not a number, not reachable, a short code, a landline, or its owner has answered STOP: twilio.com/docs/api/errors."""
_NOBODY_HAS_IT = 30005
_TAKES_NO_TEXT = 30006
"""
Said by the network later, and true of the next message, too; 30006 where we sent from a short code may only mean that. The others
pass (30003: switched off or without signal), or speak of the message (30004, 30007), of us (30001, 30002) or of nothing (30008).
"""
_LONGEST_SHORT_CODE = 6
_PAGE_SIZE = 1000
_MOST_PAGES = 20


class TwilioChannel:
    """`sender` is a number of ours (`+15005550006`), or a messaging service (`MG…`). `client` brings the credentials along."""

    name = "sms"
    recognises_repeats = False

    def __init__(self, client: httpx.AsyncClient, *, account: str, sender: str) -> None:
        self._client = client
        self._account = f"/2010-04-01/Accounts/{account}"
        self._sender = {"MessagingServiceSid": sender} if sender.startswith("MG") else {"From": sender}

    def is_valid_address(self, address: str) -> bool:
        return is_phone_number(address)

    async def send(self, notification: Notification) -> str:
        """
        Returns the message's SID.

        Raises:
            DependencyRejectedInput: `invalid_address`, the number takes no messages from us; `too_long`, over 1600
                characters. CarelineError: as `core.http` maps what happened.
        """
        if not self.is_valid_address(notification.address):
            raise DependencyRejectedInput(DEPENDENCY, "not a phone number", reason="invalid_address")
        text = f"{notification.subject}\n{notification.body}"
        if len(text) > _LONGEST:
            raise DependencyRejectedInput(DEPENDENCY, "too long for a text message", reason="too_long")
        form = {"To": notification.address, **self._sender, "Body": text}
        answer = await post(
            self._client,
            f"{self._account}/Messages.json",
            content=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            accepts="application/json",
        )
        _raise_for(answer)
        sid = answer.json().get("sid")
        if not isinstance(sid, str):
            raise ExternalApiFailed(DEPENDENCY, "Twilio's answer names no message", may_have_happened=True)
        return sid

    async def probe(self) -> None:
        """Whether Twilio lets us in; sends nothing."""
        _raise_for(await get(self._client, f"{self._account}/Messages.json", parameters={"PageSize": 1}))

    async def bounces(self, *, since: datetime) -> Sequence[Bounce]:
        """Of the messages sent since then, those that the network says can never arrive."""
        answer = await get(
            self._client,
            f"{self._account}/Messages.json",
            parameters={
                "DateSent>": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "PageSize": _PAGE_SIZE,
            },
        )
        found: list[Bounce] = []
        for _ in range(_MOST_PAGES):
            _raise_for(answer)
            page = answer.json()
            messages = page.get("messages")
            found += filter(None, map(_bounce, messages if isinstance(messages, list) else ()))
            following = page.get("next_page_uri")
            if not isinstance(following, str) or not following.startswith(self._account):
                break
            answer = await get(self._client, following, parameters={})
        return found


def _raise_for(answer: Answer) -> None:
    if answer.status_code == 400 and answer.json().get("code") in _NO_SUCH_RECIPIENT:
        raise DependencyRejectedInput(
            DEPENDENCY, f"Twilio refused the number ({answer.json()['code']})", reason="invalid_address"
        )
    answer.raise_for_status()


def _bounce(message: object) -> Bounce | None:
    if not isinstance(message, Mapping) or not _is_for_good(message):
        return None
    to, at = message.get("to"), message.get("date_updated") or message.get("date_sent")
    if not isinstance(to, str) or not isinstance(at, str):
        return None
    try:
        return Bounce(to, f"Twilio {message['error_code']}", parsedate_to_datetime(at))
    except ValueError:
        return None


def _is_for_good(message: Mapping[object, object]) -> bool:
    code = message.get("error_code")
    if code == _TAKES_NO_TEXT:
        return len(str(message.get("from") or "").lstrip("+")) > _LONGEST_SHORT_CODE
    return code == _NOBODY_HAS_IT
