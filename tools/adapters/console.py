"""
Notification channel for local mode: writes each message as one JSON line, for the person at the terminal.

The text goes to the stream only. The log gets the event without it, as for every channel.
"""

import json
import sys
from typing import TextIO

from core.ids import derived_id
from core.records import Notification
from core.telemetry.logging import get_logger

_log = get_logger(__name__)


class ConsoleChannel:
    """`stream` None is standard error as it stands at the time of sending."""

    recognises_repeats = False

    def __init__(self, name: str = "console", *, stream: TextIO | None = None) -> None:
        self.name = name
        self._stream = stream

    def is_valid_address(self, address: str) -> bool:
        return bool(address.strip())

    async def send(self, notification: Notification) -> str:
        reference = derived_id("note", notification.key)
        line = json.dumps(
            {
                "event": "notification",
                "channel": self.name,
                "to": notification.address,
                "subject": notification.subject,
                "body": notification.body,
                "reference": reference,
            }
        )
        print(line, file=self._stream or sys.stderr, flush=True)
        _log.info("notification.written", channel=self.name, reference=reference)
        return reference
