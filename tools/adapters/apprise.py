"""
Notification channel for chat services (Slack, Telegram, Matrix, Teams and a hundred others) by the library apprise.

The library blocks, so each sending has a thread of its own; and it says what went wrong in words only, so what does not prove
that nothing was sent counts as doubt.
"""

import asyncio
import logging
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from core.errors import (
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    NetworkFailed,
    ToolMisconfigured,
)
from core.ids import derived_id
from core.records import Notification
from tools.adapters.posting import DEPENDENCY, Answer
from tools.addresses import is_chat_address

_THREADS = 8
_STATUS = re.compile(r"error=(\d{3})\b")
_NEVER_CONNECTED = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|Connection refused"
)
_PLACE = "{address}"


class AppriseChannel:
    """
    `url` is apprise's for the service, with `{address}` where the customer's own goes, e.g. `tgram://TOKEN/{address}`.
    `seconds` bounds one sending. Close it by `async with`.

    Raises:
        ToolMisconfigured: the extra is not installed, or apprise cannot read the URL.
    """

    name = "chat"
    recognises_repeats = False

    def __init__(self, url: str, *, seconds: float) -> None:
        # Its lines hold the customers' texts, and those of its HTTP client the URLs with their tokens. The former are read
        # here and go nowhere else.
        lines = logging.getLogger("apprise")
        lines.propagate = False
        lines.setLevel(logging.DEBUG)
        lines.addHandler(logging.NullHandler())
        logging.getLogger("urllib3").setLevel(logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # its plugins' own affair
                import apprise

                apprise.Apprise.instantiate("json://localhost")  # loads the plugins
        except ImportError as exc:
            raise ToolMisconfigured(
                "chat notifications need the extra `apprise`: pip install 'careline[apprise]'"
            ) from exc
        self._library: Any = apprise
        self._asset = apprise.AppriseAsset(
            storage_mode=apprise.PersistentStoreMode.MEMORY, secure_logging=True
        )
        self._url = url
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="chat")
        self._busy = 0
        if _PLACE not in url or self._service("sample") is None:
            raise ToolMisconfigured(
                "apprise cannot read CARELINE_CHAT_URL: it must be one of its URLs and hold {address}, like "
                "tgram://TOKEN/{address}"
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def is_valid_address(self, address: str) -> bool:
        return is_chat_address(address)

    async def send(self, notification: Notification) -> str:
        """
        Returns an id made from the key: the services' own are not told.

        Raises:
            DependencyRejectedInput: `invalid_address`. DependencyUnavailable: `busy`, all threads wait for an answer.
                CarelineError: what apprise's words prove, with `may_have_happened` in doubt.
        """
        if not self.is_valid_address(notification.address):
            raise DependencyRejectedInput(DEPENDENCY, "not a chat address", reason="invalid_address")
        service = self._service(notification.address)
        if service is None:
            raise DependencyRejectedInput(
                DEPENDENCY, "the chat service takes no such address", reason="invalid_address"
            )
        if self._busy >= _THREADS:
            raise DependencyUnavailable(DEPENDENCY, "all threads wait for the chat service", reason="busy")
        self._busy += 1
        sending = self._threads.submit(self._notify, service, notification)
        loop = asyncio.get_running_loop()
        sending.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self._free))
        try:
            async with asyncio.timeout(self._seconds):
                is_sent, lines = await asyncio.wrap_future(sending)
        except TimeoutError as exc:
            raise DependencyTimeout(
                DEPENDENCY, "the chat service did not answer in time", may_have_happened=True
            ) from exc
        if not is_sent:
            _raise_for(lines)
        return derived_id("chat", notification.key)

    def _free(self) -> None:
        self._busy -= 1

    def _service(self, address: str) -> Any:
        service = self._library.Apprise.instantiate(
            self._url.replace(_PLACE, quote(address, safe="")), asset=self._asset
        )
        if service is not None:
            service.socket_connect_timeout = service.socket_read_timeout = self._seconds
        return service

    def _notify(self, service: Any, notification: Notification) -> tuple[bool, list[str]]:
        """In a thread."""
        to_one = self._library.Apprise(asset=self._asset)
        to_one.add(service)
        result = to_one.notify(
            title=notification.subject,
            body=notification.body,
            body_format=self._library.NotifyFormat.TEXT,
            log_level=logging.DEBUG,
        )
        return bool(result), [line.message for line in result.logs()]


def _raise_for(lines: list[str]) -> None:
    said = "\n".join(lines)
    if _NEVER_CONNECTED.search(said):
        raise DependencyUnavailable(DEPENDENCY, "the chat service cannot be reached", reason="refused")
    found = _STATUS.search(said)
    if found is not None:
        Answer(int(found[1]), httpx.Headers(), b"").raise_for_status()
    raise NetworkFailed(DEPENDENCY, "the chat service did not confirm", may_have_happened=True)
