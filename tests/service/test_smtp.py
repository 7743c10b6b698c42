"""Claims about e-mail, in real SMTP conversations with a server that behaves and one that does not."""

import asyncio
import datetime
import email
import email.policy
import io
import ipaddress
import json
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import (
    CarelineError,
    DependencyError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    ToolMisconfigured,
)
from core.records import Notification
from tests.smtp_server import HANG_UP, MailServer
from tests.timing import assert_within
from tools.adapters.console import ConsoleChannel
from tools.adapters.smtp import SmtpChannel, SmtpServer

NOTE = Notification(
    key="effect_1",
    channel="email",
    address="anna@alvarez.example",
    subject="Your return",
    body="Dear Anna,\n.\nsend it to Main Street 1. Grüße!",
)


def channel_to(
    server: MailServer, *, url: str = "smtp://127.0.0.1", tls: ssl.SSLContext | None = None
) -> SmtpChannel:
    return SmtpChannel(
        SmtpServer.parse(f"{url}:{server.port}"),
        sender="help@shop.example",
        step_seconds=0.3,
        tls_context=tls,
    )


@pytest.fixture(scope="module")
def tls_contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's), for a certificate of 127.0.0.1 made for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    pem = folder / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    return serving, ssl.create_default_context(cafile=str(pem))


async def test_a_message_arrives_whole_with_an_id_made_from_its_key() -> None:
    async with MailServer() as server:
        reference = await channel_to(server).send(NOTE)
        again = await channel_to(server).send(NOTE)

    message = email.message_from_bytes(
        server.messages[0].replace(b"\r\n..", b"\r\n."), policy=email.policy.default
    )
    assert message["To"] == "anna@alvarez.example"
    assert message["From"] == "help@shop.example"
    assert message["Subject"] == "Your return"
    assert message["Message-ID"] == reference == again
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_content()
    assert body.splitlines()[:3] == ["Dear Anna,", ".", "send it to Main Street 1. Grüße!"]
    assert "MAIL FROM:<help@shop.example>" in server.commands
    assert "RCPT TO:<anna@alvarez.example>" in server.commands
    assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize(
    "subject",
    [
        "Hello\r\nBcc: ben@ben.example",
        "Hello\nBcc: ben@ben.example",
        "Hello\rBcc: ben@ben.example",
        "Hello\u2028Bcc: ben@ben.example",
        "Hello\x0bBcc: ben@ben.example",
        "Hello\r\n\r\nBcc: ben@ben.example",
        "Grüße " * 30 + "\r\nBcc: ben@ben.example",
    ],
)
async def test_a_subject_begins_no_header_and_reaches_nobody_else(subject: str) -> None:
    async with MailServer() as server:
        await channel_to(server).send(Notification("k", "email", "anna@alvarez.example", subject, "text"))

    message = email.message_from_bytes(server.messages[0], policy=email.policy.default)
    assert message["Bcc"] is None
    assert [command for command in server.commands if command.startswith("RCPT")] == [
        "RCPT TO:<anna@alvarez.example>"
    ]


@pytest.mark.parametrize(
    "address",
    [
        "anna@alvarez.example\r\nRCPT TO:<ben@ben.example>",
        "anna@alvarez.example, ben@ben.example",
        "<anna@alvarez.example> SIZE=1",
        "Anna <anna@alvarez.example>",
        "anna",
        "",
        "anna@",
        "@alvarez.example",
        "anna@@alvarez.example",
        "anna@alvarez..example",
        "a" * 65 + "@alvarez.example",
        "änna@alvarez.example",
    ],
)
async def test_what_is_not_one_bare_address_is_not_even_connected_for(address: str) -> None:
    async with MailServer() as server:
        with pytest.raises(DependencyRejectedInput) as refused:
            await channel_to(server).send(Notification("k", "email", address, "Hello", "text"))

    assert refused.value.reason == "invalid_address"
    assert server.connections == 0


@pytest.mark.parametrize(
    ("verb", "answer", "kind", "reason"),
    [
        ("RCPT", "550 no such user", DependencyRejectedInput, "invalid_address"),
        ("RCPT", "551 not here", DependencyRejectedInput, "invalid_address"),
        ("RCPT", "553 bad name", DependencyRejectedInput, "invalid_address"),
        ("RCPT", "450 greylisted", DependencyUnavailable, None),
        ("RCPT", "452 too many", DependencyUnavailable, None),
        ("RCPT", "554 no", ExternalApiFailed, None),
        ("MAIL", "421 closing", DependencyUnavailable, None),
        ("MAIL", "550 who are you", DependencyForbidsUs, "sender_refused"),
        ("MAIL", "530 log in first", DependencyRefusedUs, None),
        ("GREETING", "421 too busy", DependencyUnavailable, None),
        ("GREETING", "554 go away", ExternalApiFailed, None),
        ("DATA", "451 try later", DependencyUnavailable, None),
        ("MESSAGE", "550 unknown after all", DependencyRejectedInput, "invalid_address"),
        ("MESSAGE", "554 spam", ExternalApiFailed, None),
        ("MESSAGE", "452 disk full", DependencyUnavailable, None),
    ],
)
async def test_a_refusal_is_told_by_its_number_and_proves_that_nothing_was_sent(
    verb: str, answer: str, kind: type[CarelineError], reason: str | None
) -> None:
    async with MailServer(answers={verb: answer}) as server:
        with pytest.raises(DependencyError) as refused:
            await channel_to(server).send(NOTE)

    assert type(refused.value) is kind
    assert refused.value.reason == reason
    assert not refused.value.may_have_happened
    assert refused.value.dependency == "notifications"


@pytest.mark.alone
@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("answer", [None, HANG_UP])
async def test_a_server_lost_before_the_message_has_sent_nothing(verb: str, answer: str | None) -> None:
    async with MailServer(answers={verb: answer}) as server:
        started = time.monotonic()
        with pytest.raises((DependencyTimeout, NetworkFailed, DependencyUnavailable)) as lost:
            await channel_to(server).send(NOTE)
        took = time.monotonic() - started

    assert not lost.value.may_have_happened
    assert_within(took, 1.5)


@pytest.mark.parametrize(("answer", "kind"), [(None, DependencyTimeout), (HANG_UP, NetworkFailed)])
async def test_a_server_lost_after_the_message_leaves_its_fate_unknown(
    answer: str | None, kind: type[DependencyError]
) -> None:
    async with MailServer(answers={"MESSAGE": answer}) as server:
        with pytest.raises(kind) as lost:
            await channel_to(server).send(NOTE)

    assert lost.value.may_have_happened
    assert len(server.messages) == 1


async def test_nonsense_after_the_message_leaves_its_fate_unknown() -> None:
    async with MailServer(answers={"MESSAGE": "teapot"}) as server:
        with pytest.raises(DependencyError) as lost:
            await channel_to(server).send(NOTE)

    assert lost.value.may_have_happened


async def test_a_server_that_does_not_say_goodbye_has_still_taken_the_message() -> None:
    async with MailServer(answers={"QUIT": None}) as server:
        await channel_to(server).send(NOTE)

    assert len(server.messages) == 1


async def test_a_closed_port_is_unavailable_and_sent_nothing() -> None:
    async with MailServer() as server:
        channel = channel_to(server)

    with pytest.raises(DependencyUnavailable) as refused:
        await channel.send(NOTE)

    assert not refused.value.may_have_happened


async def test_starttls_is_used_where_it_is_offered(
    tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    serving, asking = tls_contexts
    async with MailServer(tls=serving, offers_starttls=True, offers_auth=True) as server:
        await channel_to(server, url="smtp://mailer:p%40ss@127.0.0.1", tls=asking).send(NOTE)

    assert [command.partition(" ")[0] for command in server.encrypted_commands] == [
        "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT",
    ]  # fmt: skip


async def test_smtps_is_encrypted_from_the_first_byte(
    tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    serving, asking = tls_contexts
    async with MailServer(tls=serving) as server:
        await channel_to(server, url="smtps://127.0.0.1", tls=asking).send(NOTE)

    assert server.commands == server.encrypted_commands
    assert len(server.messages) == 1


async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    tls_contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    serving, _ = tls_contexts
    async with MailServer(tls=serving) as server:
        with pytest.raises((NetworkFailed, DependencyUnavailable)):
            await channel_to(server, url="smtps://127.0.0.1").send(NOTE)

    assert server.messages == []


async def test_wrong_credentials_are_ours_to_mend() -> None:
    async with MailServer(offers_auth=True, answers={"AUTH": "535 no"}) as server:
        with pytest.raises(DependencyRefusedUs) as refused:
            await channel_to(server, url="smtp://mailer:wrong@127.0.0.1").send(NOTE)

    assert not refused.value.may_retry
    assert server.messages == []


def test_a_password_crosses_a_network_only_under_tls() -> None:
    assert SmtpServer.parse("smtp://mailer:pw@mail.example:587").demands_starttls
    assert not SmtpServer.parse("smtp://mail.example").demands_starttls
    assert SmtpServer.parse("smtps://mailer:pw@mail.example").uses_tls


@pytest.mark.parametrize("url", ["http://mail.example", "mail.example:25", "smtp://", ""])
def test_a_url_that_is_none_is_refused_at_start(url: str) -> None:
    with pytest.raises(ToolMisconfigured):
        SmtpServer.parse(url)


async def test_a_probe_tells_up_from_down_and_sends_nothing() -> None:
    async with MailServer() as server:
        channel = channel_to(server)
        await channel.probe()

    with pytest.raises(DependencyUnavailable):
        await channel.probe()

    assert server.messages == []
    assert any(command.startswith("EHLO") for command in server.commands)


async def test_a_cancelled_sending_leaves_no_connection_behind() -> None:
    async with MailServer(answers={"RCPT": None}) as server:
        task = asyncio.create_task(channel_to(server).send(NOTE))
        await server.fell_silent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert server.messages == []


async def test_the_console_writes_each_message_on_one_line() -> None:
    stream = io.StringIO()

    await ConsoleChannel(stream=stream).send(
        Notification("k", "console", "anna@alvarez.example", "Hi", 'two\nlines \x1b[31m\u2028"quoted"')
    )

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["body"] == 'two\nlines \x1b[31m\u2028"quoted"'
    assert "\x1b" not in line
