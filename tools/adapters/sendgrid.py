"""
Notification channel for e-mail over SendGrid's API (`/v3/mail/send`), and its list of addresses that bounced.

SendGrid knows no idempotency key, so a message whose answer was lost may have gone out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import httpx
import msgspec

from core.errors import DependencyRejectedInput, ToolMisconfigured
from core.ids import derived_id
from core.records import Bounce, Notification
from tools.adapters.posting import DEPENDENCY, Answer, get, post
from tools.addresses import is_email_address

URL = "https://api.sendgrid.com"

_LISTS = ("/v3/suppression/bounces", "/v3/suppression/invalid_emails")
_PAGE_SIZE = 500
_MOST_PAGES = 40


class SendGridChannel:
    """`client` brings the key along. `sender` is one that SendGrid has verified."""

    name = "email"
    recognises_repeats = False

    def __init__(self, client: httpx.AsyncClient, *, sender: str) -> None:
        if not is_email_address(sender):
            raise ToolMisconfigured("the sender must be one bare e-mail address")
        self._client = client
        self._sender = sender

    def is_valid_address(self, address: str) -> bool:
        return is_email_address(address)

    async def send(self, notification: Notification) -> str:
        """
        Returns SendGrid's id of the message, else one made from the key.

        Raises:
            DependencyRejectedInput: `invalid_address`, SendGrid names the recipient's address as the fault.
                CarelineError: as `core.http` maps what happened.
        """
        if not self.is_valid_address(notification.address):
            raise DependencyRejectedInput(DEPENDENCY, "not an e-mail address", reason="invalid_address")
        reference = derived_id("mail", notification.key)
        content = msgspec.json.encode(
            {
                "personalizations": [
                    {"to": [{"email": notification.address}], "custom_args": {"careline_id": reference}}
                ],
                "from": {"email": self._sender},
                "subject": notification.subject,
                "content": [{"type": "text/plain", "value": notification.body}],
                "headers": {"Auto-Submitted": "auto-generated"},
            }
        )
        answer = await post(
            self._client,
            "/v3/mail/send",
            content=content,
            headers={"Content-Type": "application/json"},
            accepts="application/json",
        )
        _raise_for(answer)
        return answer.headers.get("x-message-id") or reference

    async def probe(self) -> None:
        """Whether SendGrid lets us in; sends nothing."""
        _raise_for(await get(self._client, "/v3/scopes", parameters={}))

    async def bounces(self, *, since: datetime) -> Sequence[Bounce]:
        found: list[Bounce] = []
        for path in _LISTS:
            for page in range(_MOST_PAGES):
                answer = await get(
                    self._client,
                    path,
                    parameters={
                        "start_time": int(since.timestamp()),
                        "limit": _PAGE_SIZE,
                        "offset": page * _PAGE_SIZE,
                    },
                )
                _raise_for(answer)
                rows = _rows(answer)
                found += filter(None, map(_bounce, rows))
                if len(rows) < _PAGE_SIZE:
                    break
        return found


def _raise_for(answer: Answer) -> None:
    if answer.status_code == 400:
        errors = answer.json().get("errors")
        for error in errors if isinstance(errors, list) else ():
            field = error.get("field") if isinstance(error, Mapping) else None
            if isinstance(field, str) and field.startswith("personalizations") and ".to" in field:
                raise DependencyRejectedInput(
                    DEPENDENCY, "SendGrid refused the recipient's address", reason="invalid_address"
                )
    answer.raise_for_status()


def _rows(answer: Answer) -> Sequence[object]:
    try:
        return msgspec.json.decode(answer.body, type=list[object])
    except msgspec.DecodeError:
        return ()


def _bounce(row: object) -> Bounce | None:
    if not isinstance(row, Mapping):
        return None
    email, created, status = row.get("email"), row.get("created"), str(row.get("status") or "")
    if not isinstance(email, str) or not isinstance(created, int) or status.startswith("4"):
        return None  # a 4.x.x is a mailbox that is full or busy: it may work again
    return Bounce(email, status or "invalid", datetime.fromtimestamp(created, UTC))
