"""
Claims about every way to reach a customer: sent once, exact about what may have happened, and silent towards an address that
is none. A new channel joins with one line in `STAGES`.
"""

import contextlib
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from core.errors import (
    DependencyError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
    ToolMisconfigured,
)
from core.http import make_client
from core.records import Notification
from tests.fakes import FakeClock
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.notification_services import basic, sendgrid_problem, twilio_problem
from tests.smtp_server import HANG_UP as SMTP_HANG_UP
from tests.smtp_server import MailServer
from tests.timing import assert_within
from tools.adapters.apprise import AppriseChannel
from tools.adapters.sendgrid import SendGridChannel
from tools.adapters.smtp import SmtpChannel, SmtpServer
from tools.adapters.twilio import TwilioChannel
from tools.adapters.webhook import WebhookChannel, verified
from tools.classify import fate_is_unknown
from tools.ports import NotificationChannel

pytestmark = pytest.mark.data

ACCOUNT = "AC" + "0" * 32
SECRET = b"a secret of thirty-two bytes or more"
SECONDS = 0.4
SILENCE = Answer(is_silent=True)
HANG_UP = Answer(hangs_up=True)
NOTE = Notification("effect_1", "?", "?", "Your return", "Dear Anna,\nsend it back. Grüße & 100 % 🙂")


@dataclass(slots=True)
class Stage:
    """A channel before its provider. `ok` is what the provider says when all is well."""

    name: str
    address: str
    wrong_addresses: tuple[str, ...]
    ok: Answer = field(default_factory=Answer)
    http: FaultyServer | None = None
    mail: MailServer | None = None

    async def open(self, stack: AsyncExitStack) -> NotificationChannel:
        if self.name == "smtp":
            self.mail = await stack.enter_async_context(MailServer())
            server = SmtpServer.parse(f"smtp://127.0.0.1:{self.mail.port}")
            return SmtpChannel(server, sender="help@shop.example", step_seconds=SECONDS)
        self.http = await stack.enter_async_context(FaultyServer(lambda _: self.ok).listening())
        if self.name == "apprise":
            return await stack.enter_async_context(
                AppriseChannel(f"json://127.0.0.1:{self.http.port}/{{address}}", seconds=SECONDS)
            )
        headers = {
            "twilio": {"Authorization": basic(ACCOUNT, "token")},
            "sendgrid": {"Authorization": "Bearer SG.key"},
            "webhook": {},
        }[self.name]
        url = self.http.url
        client = await stack.enter_async_context(
            make_client("notifications", base_url=url, timeout_seconds=SECONDS, headers=headers)
        )
        if self.name == "twilio":
            return TwilioChannel(client, account=ACCOUNT, sender="+15005550006")
        if self.name == "sendgrid":
            return SendGridChannel(client, sender="help@shop.example")
        return WebhookChannel(client, url=f"{url}/hooks/careline", secret=SECRET.decode(), clock=FakeClock())

    def note(self, **changes: Any) -> Notification:
        return msgspec.structs.replace(NOTE, channel=self.name, address=self.address, **changes)

    def delivered(self) -> int:
        if self.mail is not None:
            return len(self.mail.messages)
        return len(self._http.asked)

    def connections(self) -> int:
        return self.mail.connections if self.mail is not None else self._http.connections

    def says(self, answer: Answer) -> None:
        self._http.answer = lambda _: answer

    def is_lost_after_the_message(self, how: Answer) -> None:
        if self.mail is not None:
            self.mail.answers["MESSAGE"] = None if how == SILENCE else SMTP_HANG_UP
        else:
            self.says(how)

    async def goes_away(self) -> None:
        if self.mail is not None:
            await self.mail.__aexit__(None, None, None)
        else:
            await self._http.close()

    @property
    def _http(self) -> FaultyServer:
        assert self.http is not None
        return self.http


MAIL = (
    "anna@alvarez.example",
    ("anna", "anna@alvarez.example, ben@ben.example", "anna@a.example\r\nBcc: b@b"),
)
TWILIO_OK = as_json({"sid": "SM" + "1" * 32, "status": "queued"}, status=201)
STAGES: Mapping[str, tuple[str, tuple[str, ...], Answer]] = {
    "smtp": (*MAIL, Answer()),
    "sendgrid": (*MAIL, Answer(status=202, headers={"X-Message-Id": "abc"})),
    "twilio": (
        "+34600111222",
        ("600111222", "+34 600", "whatsapp:+34600111222", "+34600111222\n", ""),
        TWILIO_OK,
    ),
    "apprise": ("anna_42", ("a/b", "../x", "a?b=c", "a@evil.example/", ""), Answer()),
    "webhook": ("cust_anna", ("", "a\nb", "x" * 300), Answer(status=204)),
}
OVER_HTTP = [name for name in STAGES if name != "smtp"]


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    address, wrong, ok = STAGES[request.param]
    return Stage(request.param, address, wrong, ok)


@pytest.fixture
async def channel(stage: Stage) -> AsyncIterator[NotificationChannel]:
    async with AsyncExitStack() as stack:
        yield await stage.open(stack)


async def test_a_message_is_delivered_once_and_has_a_reference(
    stage: Stage, channel: NotificationChannel
) -> None:
    reference = await channel.send(stage.note())

    assert reference
    assert stage.delivered() == 1


async def test_the_text_arrives_as_it_was_written(stage: Stage, channel: NotificationChannel) -> None:
    await channel.send(stage.note())

    if stage.http is None:
        return  # tests/service/test_smtp.py reads the mail
    body = stage.http.asked[0].body.decode()
    if stage.name == "twilio":
        text = parse_qs(body)["Body"][0]
    elif stage.name == "sendgrid":
        text = json.loads(body)["content"][0]["value"]
    else:
        text = json.loads(body)["message" if stage.name == "apprise" else "body"]
    assert NOTE.body in text


async def test_what_is_no_address_is_refused_before_anything_is_sent(
    stage: Stage, channel: NotificationChannel
) -> None:
    for address in stage.wrong_addresses:
        assert not channel.is_valid_address(address)
        with pytest.raises(DependencyRejectedInput) as refused:
            await channel.send(msgspec.structs.replace(stage.note(), address=address))
        assert refused.value.reason == "invalid_address"

    assert channel.is_valid_address(stage.address)
    assert stage.connections() == 0


async def test_a_provider_that_is_gone_was_sent_nothing(stage: Stage, channel: NotificationChannel) -> None:
    await stage.goes_away()

    with pytest.raises(DependencyUnavailable) as lost:
        await channel.send(stage.note())

    assert not lost.value.may_have_happened
    assert lost.value.may_retry


@pytest.mark.alone
@pytest.mark.parametrize(
    ("how", "kind"),
    [(SILENCE, DependencyTimeout), (HANG_UP, NetworkFailed)],
    ids=["silence-DependencyTimeout", "hang up-NetworkFailed"],
)
async def test_a_provider_lost_after_the_message_leaves_doubt_where_a_repeat_would_be_a_second_message(
    stage: Stage, channel: NotificationChannel, how: Answer, kind: type[DependencyError]
) -> None:
    stage.is_lost_after_the_message(how)
    started = time.monotonic()

    with pytest.raises(kind) as lost:
        await channel.send(stage.note())

    assert lost.value.may_have_happened is not channel.recognises_repeats
    assert_within(time.monotonic() - started, 3 * SECONDS + 1.0)


@pytest.mark.parametrize("stage", OVER_HTTP, indirect=True)
@pytest.mark.parametrize(
    ("status", "kind", "is_doubtful"),
    [
        (400, DependencyRejectedInput, False),
        (401, DependencyRefusedUs, False),
        (403, DependencyForbidsUs, False),
        (404, ToolMisconfigured, False),
        (410, ToolMisconfigured, False),
        (413, DependencyRejectedInput, False),
        (422, DependencyRejectedInput, False),
        (429, RateLimited, False),
        (500, ExternalApiFailed, True),
        (502, ExternalApiFailed, True),
        (503, DependencyUnavailable, False),
        (504, DependencyTimeout, True),
        (302, ExternalApiFailed, False),
    ],
)
async def test_each_error_status_has_its_leaf(
    stage: Stage, channel: NotificationChannel, status: int, kind: type[Exception], *, is_doubtful: bool
) -> None:
    stage.says(Answer(status=status, body=b'{"code": 1, "errors": [{"message": "no", "field": null}]}'))

    with pytest.raises(kind) as failed:
        await channel.send(stage.note())

    assert type(failed.value) is kind
    assert fate_is_unknown(failed.value) is (is_doubtful and not channel.recognises_repeats)
    assert getattr(failed.value, "reason", None) != "invalid_address"
    assert stage.delivered() == 1


@pytest.mark.parametrize("stage", ["twilio", "sendgrid", "webhook"], indirect=True)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_provider_says_how_long_to_wait(
    stage: Stage, channel: NotificationChannel, status: int
) -> None:
    stage.says(Answer(status=status, headers={"Retry-After": "17"}))

    with pytest.raises((RateLimited, DependencyUnavailable)) as told:
        await channel.send(stage.note())

    assert told.value.retry_after == 17.0


@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
@pytest.mark.parametrize("code", [21211, 21614, 21610])
async def test_twilio_names_a_number_that_takes_no_messages(
    stage: Stage, channel: NotificationChannel, code: int
) -> None:
    stage.says(as_json({"code": code, "message": "…", "status": 400}, status=400))

    with pytest.raises(DependencyRejectedInput) as refused:
        await channel.send(stage.note())

    assert refused.value.reason == "invalid_address"


@pytest.mark.parametrize("stage", ["sendgrid"], indirect=True)
async def test_sendgrid_names_the_recipients_address(stage: Stage, channel: NotificationChannel) -> None:
    fault = {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email"}
    stage.says(as_json({"errors": [fault]}, status=400))

    with pytest.raises(DependencyRejectedInput) as refused:
        await channel.send(stage.note())

    assert refused.value.reason == "invalid_address"


@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_every_request_to_twilio_keeps_to_its_description(stage: Stage, channel: TwilioChannel) -> None:
    await channel.send(stage.note())
    stage.says(Answer(body=b'{"messages": []}'))
    await channel.probe()
    await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))

    assert stage.http is not None
    assert [twilio_problem(asked) for asked in stage.http.asked] == [None, None, None]


@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_twilios_description_refuses_what_is_malformed(stage: Stage, channel: TwilioChannel) -> None:
    await channel.send(stage.note())

    assert stage.http is not None
    good = stage.http.asked[0]
    wrong_account = replace(good, target=good.target.replace(ACCOUNT, "AC12"))
    no_recipient = replace(good, body=b"Body=hello&ValidityPeriod=soon")
    assert twilio_problem(wrong_account) is not None
    assert twilio_problem(no_recipient) is not None
    nobody = replace(good, headers={k: v for k, v in good.headers.items() if k != "authorization"})
    assert twilio_problem(nobody) is not None


@pytest.mark.parametrize("stage", ["sendgrid"], indirect=True)
async def test_every_request_to_sendgrid_keeps_to_its_description(
    stage: Stage, channel: SendGridChannel
) -> None:
    await channel.send(stage.note())
    stage.says(Answer(body=b"[]"))
    await channel.probe()
    await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))

    assert stage.http is not None
    assert [sendgrid_problem(asked) for asked in stage.http.asked] == [None] * 4


@pytest.mark.parametrize("stage", ["sendgrid"], indirect=True)
@pytest.mark.parametrize("missing", ["personalizations", "from", "content"])
async def test_sendgrids_description_refuses_what_is_malformed(
    stage: Stage, channel: SendGridChannel, missing: str
) -> None:
    await channel.send(stage.note())

    assert stage.http is not None
    good = stage.http.asked[0]
    body = json.loads(good.body)
    if missing == "content":
        body["content"] = [{"type": "text/plain"}]
    else:
        del body[missing]
    assert sendgrid_problem(replace(good, body=json.dumps(body).encode())) is not None


@pytest.mark.parametrize("stage", ["webhook"], indirect=True)
async def test_a_repeat_has_the_same_id_and_can_be_verified(stage: Stage, channel: WebhookChannel) -> None:
    await channel.send(stage.note())
    await channel.send(stage.note())

    assert stage.http is not None
    first, second = stage.http.asked
    now = FakeClock().now().timestamp()
    assert first.path == "/hooks/careline"
    assert first.headers["careline-id"] == second.headers["careline-id"] == json.loads(first.body)["id"]
    assert verified(first.headers, first.body, secret=SECRET, now=now)


@pytest.mark.parametrize("stage", ["webhook"], indirect=True)
async def test_what_was_changed_forged_or_replayed_later_is_not_believed(
    stage: Stage, channel: WebhookChannel
) -> None:
    await channel.send(stage.note())

    assert stage.http is not None
    (asked,) = stage.http.asked
    now = FakeClock().now().timestamp()
    headers = dict(asked.headers)
    assert not verified(headers, asked.body + b" ", secret=SECRET, now=now)
    assert not verified(headers, asked.body, secret=SECRET + b"x", now=now)
    assert not verified(headers | {"careline-id": "note_other"}, asked.body, secret=SECRET, now=now)
    assert not verified(headers, asked.body, secret=SECRET, now=now + 301)
    assert not verified({}, asked.body, secret=SECRET, now=now)
    assert not verified(headers | {"careline-signature": "v1=ö"}, asked.body, secret=SECRET, now=now)


@pytest.mark.parametrize("stage", ["webhook"], indirect=True)
async def test_a_receiver_that_has_the_id_already_has_taken_it(stage: Stage, channel: WebhookChannel) -> None:
    stage.says(Answer(status=409))

    assert await channel.send(stage.note())


@pytest.mark.parametrize("stage", ["twilio", "sendgrid", "webhook"], indirect=True)
async def test_a_probe_tells_up_from_down(stage: Stage, channel: TwilioChannel) -> None:
    stage.says(Answer(body=b"{}"))
    await channel.probe()

    stage.says(Answer(status=401))
    with pytest.raises(DependencyRefusedUs):
        await channel.probe()


@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_a_text_that_is_too_long_is_refused_before_it_is_sent(
    stage: Stage, channel: NotificationChannel
) -> None:
    with pytest.raises(DependencyRejectedInput) as refused:
        await channel.send(stage.note(body="x" * 1601))

    assert refused.value.reason == "too_long"
    assert stage.connections() == 0


@pytest.mark.parametrize("stage", ["sendgrid"], indirect=True)
async def test_sendgrid_lists_what_bounced_over_all_pages(stage: Stage, channel: SendGridChannel) -> None:
    def rows(asked: Asked) -> Answer:
        if asked.path != "/v3/suppression/bounces":
            return as_json([{"created": 3, "email": "typo@x.example", "reason": "…"}])
        full = asked.query["offset"] == "0"
        page = [
            {"created": n, "email": f"{n}@x.example", "status": "5.1.1"} for n in range(500 if full else 2)
        ]
        page[0]["status"] = "4.2.2"
        return as_json(page)

    assert stage.http is not None
    stage.http.answer = rows

    found = await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))

    assert len(found) == 499 + 1 + 1
    assert found[-1].address == "typo@x.example"
    assert stage.http.asked[0].query["start_time"] == "1795132800"


@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_twilio_lists_what_never_arrived_over_all_pages(stage: Stage, channel: TwilioChannel) -> None:
    day = "Fri, 20 Nov 2026 10:00:00 +0000"
    messages = [
        {"to": "+34600000001", "error_code": 30005, "date_updated": day},
        {"to": "+34600000002", "error_code": None, "date_updated": day},
        {"to": "+34600000003", "error_code": 30003, "date_updated": day},
        {"to": "+34600000004", "error_code": 30006, "date_updated": "nonsense"},
    ]

    def page(asked: Asked) -> Answer:
        more = {"next_page_uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1&PageToken=x"}
        is_last = "Page" in asked.query
        return as_json({"messages": messages, **({} if is_last else more)})

    assert stage.http is not None
    stage.http.answer = page

    found = await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))

    assert [bounce.address for bounce in found] == ["+34600000001"] * 2


@pytest.mark.parametrize(
    ("code", "sender", "is_for_good"),
    [
        (30001, "+15005550006", False),  # the provider's queue was full
        (30002, "+15005550006", False),  # our account is suspended
        (30003, "+15005550006", False),  # switched off, without signal, abroad
        (30004, "+15005550006", False),  # the carrier blocks this message, or us
        (30005, "+15005550006", True),  # nobody has this number
        (30006, "+15005550006", True),  # a landline
        (30006, "12345", False),  # that carrier takes nothing from short codes: it is the sender
        (30007, "+15005550006", False),  # taken for spam
        (30008, "+15005550006", False),  # nobody knows why
    ],
)
@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_twilio_marks_a_number_only_where_no_message_of_ours_can_ever_arrive(
    stage: Stage, channel: TwilioChannel, code: int, sender: str, is_for_good: bool
) -> None:
    day = "Fri, 20 Nov 2026 10:00:00 +0000"
    message = {"to": "+34600000001", "from": sender, "error_code": code, "date_updated": day}
    stage.says(as_json({"messages": [message]}))

    found = await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))

    assert [bounce.address for bounce in found] == (["+34600000001"] if is_for_good else [])


@pytest.mark.parametrize(
    ("code", "is_the_number"),
    [
        *((code, True) for code in (21211, 21214, 21217, 21265, 21610, 21614, 21635)),
        *((code, False) for code in (21212, 21408, 21606, 21612, 21617, 21660)),
    ],
)
@pytest.mark.parametrize("stage", ["twilio"], indirect=True)
async def test_twilios_refusal_is_the_numbers_fault_or_ours(
    stage: Stage, channel: TwilioChannel, code: int, is_the_number: bool
) -> None:
    stage.says(as_json({"code": code, "status": 400, "message": "…"}, status=400))

    with pytest.raises(DependencyRejectedInput) as refused:
        await channel.send(stage.note())

    assert (refused.value.reason == "invalid_address") is is_the_number


def test_a_chat_url_that_apprise_cannot_read_is_refused_at_start() -> None:
    for url in ("nonsense://x/{address}", "json://127.0.0.1/x"):
        with pytest.raises(ToolMisconfigured, match="CARELINE_CHAT_URL"):
            AppriseChannel(url, seconds=1.0)


@pytest.mark.parametrize("stage", ["apprise"], indirect=True)
async def test_a_chat_service_that_hangs_takes_no_more_threads_than_there_are(
    stage: Stage, channel: NotificationChannel
) -> None:
    stage.says(SILENCE)
    assert isinstance(channel, AppriseChannel)
    channel._busy = 8

    with pytest.raises(DependencyUnavailable) as refused:
        await channel.send(stage.note())

    assert refused.value.reason == "busy"
    assert stage.connections() == 0


@pytest.mark.parametrize("stage", ["webhook"], indirect=True)
async def test_the_documented_receiver_believes_us_and_nobody_else(
    stage: Stage, channel: WebhookChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "notifications.md"
    (source,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - our own page
    monkeypatch.setattr(time, "time", lambda: FakeClock().now().timestamp())
    await channel.send(stage.note())

    assert stage.http is not None
    (asked,) = stage.http.asked
    assert names["is_from_careline"](dict(asked.headers), asked.body, SECRET)
    assert not names["is_from_careline"](dict(asked.headers), asked.body + b" ", SECRET)
    assert not names["is_from_careline"](dict(asked.headers), asked.body, b"another")


@pytest.mark.parametrize("status", [200, 500])
async def test_what_apprise_says_of_a_message_is_logged_nowhere(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(log)
    monkeypatch.setattr(root, "handlers", [*root.handlers, handler])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    address, wrong, _ = STAGES["apprise"]
    stage = Stage("apprise", address, wrong, Answer(status=status))
    async with AsyncExitStack() as stack:
        channel = await stage.open(stack)
        with contextlib.suppress(ExternalApiFailed):
            await channel.send(stage.note())

    assert stage.delivered() == 1
    assert [secret for secret in (address, NOTE.body, NOTE.subject) if secret in log.getvalue()] == []
