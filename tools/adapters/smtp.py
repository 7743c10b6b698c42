"""
Notification channel over SMTP: one connection, one message, and an exact answer to the question whether it
may have gone out.

The steps are taken one by one, because the same timeout means "nothing was sent" before the message was
handed over and "nobody knows" after it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from urllib.parse import unquote, urlsplit

import aiosmtplib

from core.errors import (
    CarelineError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    ToolMisconfigured,
)
from core.ids import derived_id
from core.records import Notification
from tools.addresses import is_email_address

_DEPENDENCY = "notifications"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PORT = 25
_SUBMISSION_PORT = 587
_TLS_PORT = 465
_GOODBYE_SECONDS = 0.5
_NO_SUCH_RECIPIENT = frozenset({550, 551, 553})
_CREDENTIALS_WANTED = frozenset({530, 534, 535, 538})
_WIRE = SMTP_POLICY.clone(cte_type="7bit")  # a relay without 8BITMIME must not have to re-encode


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """
    Where and how to hand over mail. `uses_tls` is TLS from the first byte; else STARTTLS wherever it is
    offered.
    """

    host: str
    port: int
    uses_tls: bool
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """From `smtp://[USER:PASSWORD@]HOST[:PORT]` or `smtps://…`; user and password percent-encoded."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ToolMisconfigured(
                "the mail server's URL is smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…"
            )
        uses_tls = parts.scheme == "smtps"
        usual_port = _TLS_PORT if uses_tls else _SUBMISSION_PORT if parts.username else _PORT
        return cls(
            host=parts.hostname,
            port=parts.port or usual_port,
            uses_tls=uses_tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )

    @property
    def demands_starttls(self) -> bool:
        """A password crosses a network only under TLS."""
        return self.username is not None and not self.uses_tls and self.host not in _LOOPBACK


class SmtpChannel:
    """
    `step_seconds` bounds connecting and each reply; the whole conversation takes at most twice as long before
    the message.
    """

    name = "email"
    recognises_repeats = False

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        step_seconds: float = 4.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        if not is_email_address(sender):
            raise ToolMisconfigured("the sender must be one bare e-mail address")
        self._server = server
        self._sender = sender
        self._domain = sender.rpartition("@")[2]
        self._step_seconds = step_seconds
        self._tls_context = tls_context

    def is_valid_address(self, address: str) -> bool:
        return is_email_address(address)

    async def send(self, notification: Notification) -> str:
        """
        Returns the Message-ID, which the key alone decides: a message that does arrive twice can be
        recognised.

        Raises:
            DependencyRejectedInput: `invalid_address`, the recipient does not exist. DependencyUnavailable,
            DependencyTimeout, NetworkFailed, ExternalApiFailed, DependencyRefusedUs: with
                `may_have_happened` True once the message was handed over without an answer.
        """
        if not self.is_valid_address(notification.address):
            raise DependencyRejectedInput(_DEPENDENCY, "not an e-mail address", reason="invalid_address")
        message_id = f"<{derived_id('mail', notification.key)}@{self._domain}>"
        content = self._message(notification, message_id).as_bytes(policy=_WIRE)
        async with self._connected() as client:
            with _translated(about_sender=True):
                await client.mail(self._sender)
            with _translated():
                await client.rcpt(notification.address)
            with _translated(may_have_happened=True):
                await client.data(content)
        return message_id

    async def probe(self) -> None:
        """Whether the server greets us and lets us in; sends nothing."""
        async with self._connected():
            pass

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.uses_tls,
            start_tls=True if server.demands_starttls else False if server.uses_tls else None,
            tls_context=self._tls_context,
            local_hostname=self._domain,
            timeout=self._step_seconds,
        )
        try:
            with _translated():
                # Greeting, EHLO, STARTTLS and login: who dawdles over each is no use in a chat.
                async with asyncio.timeout(2 * self._step_seconds):
                    await client.connect()
                    if client.last_ehlo_response is None:
                        await client.ehlo()
            yield client
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_GOODBYE_SECONDS)
        finally:
            client.close()

    def _message(self, notification: Notification, message_id: str) -> EmailMessage:
        message = EmailMessage(policy=_WIRE)
        message["From"] = Address(addr_spec=self._sender)
        message["To"] = Address(addr_spec=notification.address)
        # A line break would begin a header of the model's choosing.
        message["Subject"] = " ".join(_printable(notification.subject).split())
        message["Message-ID"] = message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(notification.body)
        return message


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


@contextlib.contextmanager
def _translated(*, about_sender: bool = False, may_have_happened: bool = False) -> Iterator[None]:
    try:
        yield
    except aiosmtplib.SMTPResponseException as exc:
        raise _refusal(exc, about_sender=about_sender, may_have_happened=may_have_happened) from exc
    except TimeoutError as exc:  # aiosmtplib's own timeouts are among them
        raise DependencyTimeout(_DEPENDENCY, "no reply in time", may_have_happened=may_have_happened) from exc
    except aiosmtplib.SMTPConnectError as exc:
        raise DependencyUnavailable(_DEPENDENCY, "no connection") from exc
    except aiosmtplib.SMTPNotSupported as exc:
        raise ExternalApiFailed(
            _DEPENDENCY, "the server lacks what is needed", reason="not_supported"
        ) from exc
    except (aiosmtplib.SMTPException, OSError) as exc:
        raise NetworkFailed(_DEPENDENCY, "connection lost", may_have_happened=may_have_happened) from exc


def _refusal(
    exc: aiosmtplib.SMTPResponseException, *, about_sender: bool, may_have_happened: bool
) -> CarelineError:
    """What the server's number means. Its text is for the log only, where the cause carries it."""
    code = exc.code
    said = f"answered {code}"
    if 400 <= code < 500:
        return DependencyUnavailable(_DEPENDENCY, said)
    if code in _CREDENTIALS_WANTED or isinstance(exc, aiosmtplib.SMTPAuthenticationError):
        return DependencyRefusedUs(_DEPENDENCY, said)
    if code in _NO_SUCH_RECIPIENT:
        if about_sender:
            return DependencyForbidsUs(_DEPENDENCY, said, reason="sender_refused")
        return DependencyRejectedInput(_DEPENDENCY, said, reason="invalid_address")
    is_understood = 500 <= code < 600
    return ExternalApiFailed(
        _DEPENDENCY, said, answered_status=code, may_have_happened=may_have_happened and not is_understood
    )
