"""Claims about notifications in a turn: the rules hold there too, and the customer hears what became of the message."""

import dataclasses
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.workers.bounces import BounceWatch
from core.errors import DependencyRejectedInput, DependencyTimeout, DependencyUnavailable
from core.messages import ActionStatus
from core.notification_rules import QuietHours, SendingRate
from core.records import Bounce, Notification, recipient_of
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.sql.engine import Database
from state.sql.migrate import Branch, upgrade
from state.sql.notifications import SqlNotificationLog
from tests.tool_world import ANNA, FakeChannel, ToolWorld, status_of
from tools.handler import ToolErrorHandler
from tools.registry import standard_tools
from tools.sending import SendingPolicy, SendingRules

HELLO = {"subject": "Your return", "body": "Send it to Main Street 1."}
MADRID = msgspec.structs.replace(ANNA, timezone="Europe/Madrid", attributes={"chat": "anna_42"})


class RulesWorld(ToolWorld):
    """With three channels and rules; it is noon in Greenwich."""

    def __init__(self, log: SqlNotificationLog, policy: SendingPolicy) -> None:
        super().__init__(MADRID)
        self.log = log
        self.channels = {
            "email": self.channel,
            "sms": FakeChannel("sms"),
            "chat": FakeChannel("chat"),
            "webhook": FakeChannel("webhook"),
        }
        for name in ("sms", "chat", "webhook"):
            self.channels[name].is_valid_address = bool  # type: ignore[assignment, method-assign]
        self.rules = SendingRules(log, policy, clock=self.clock)
        quick = GuardPolicy(
            retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(minimum_calls=3), attempt_seconds=5.0
        )
        self.guards = {
            name: Guard(name, quick, clock=self.clock, rng=random.Random(7))
            for name in (*self.guards, *(f"notifications.{each}" for each in self.channels))
        }
        self.registry = standard_tools(
            knowledge=self.knowledge,
            desk=self.desk,
            directory=self.directory,
            channels=self.channels,
            guards=self.guards,
            clock=self.clock,
            rules=self.rules,
        )
        self.handler = ToolErrorHandler(
            self.registry,
            guards=self.guards,
            ledger=self.ledger,
            clock=self.clock,
            errors=StructuredErrorLogger(get_logger("tests")),
        )


Opening = Callable[..., RulesWorld]


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Opening]:
    upgrade(sqlite_url, branches=(Branch.RECORD,))
    database = Database(sqlite_url, timeout_seconds=5.0)

    def world(**policy: object) -> RulesWorld:
        usual = SendingPolicy(repeat_window=timedelta(minutes=10))
        return RulesWorld(SqlNotificationLog(database), dataclasses.replace(usual, **policy))  # type: ignore[arg-type]

    yield world
    await database.close()


async def test_in_quiet_hours_a_message_is_kept_and_the_customer_hears_why(opened: Opening) -> None:
    world = opened(quiet_hours=QuietHours.parse("12:30-14:00"), quiet_channels=frozenset({"sms"}))

    text = await world.call("notify", {**HELLO, "channel": "sms"})
    mail = await world.call("notify", HELLO, world.tool_call(step=2))

    assert text.action.status is ActionStatus.QUEUED  # noon in Greenwich is one o'clock in Madrid
    assert "quiet hours" in text.summary
    assert text.degraded == ()
    assert world.channels["sms"].sent == []
    assert text.outbox[0].recipient == recipient_of("sms", "+34600111222")
    assert text.outbox[0].payload["timezone"] == "Europe/Madrid"
    assert mail.action.status is ActionStatus.SUCCEEDED


async def test_a_customer_whose_record_names_no_place_is_where_the_default_says(opened: Opening) -> None:
    world = opened(
        quiet_hours=QuietHours.parse("20:30-21:30"),
        quiet_channels=frozenset({"email"}),
        zone=ZoneInfo("Asia/Tokyo"),
    )
    world.directory.customers[ANNA.customer_id] = ANNA

    assert (await world.call("notify", HELLO)).action.status is ActionStatus.QUEUED


async def test_the_same_text_again_is_not_sent_and_the_customer_hears_that(opened: Opening) -> None:
    world = opened()
    await world.call("notify", HELLO)

    again = await world.call(
        "notify", {**HELLO, "body": "Send it  to Main Street 1.\n"}, world.tool_call(step=2)
    )
    other = await world.call("notify", {**HELLO, "body": "Another."}, world.tool_call(step=3))

    assert again.action.status is ActionStatus.SUCCEEDED
    assert "not sent it a second time" in again.summary
    assert other.summary == "I have sent you the message."
    assert len(world.channel.sent) == 2


async def test_over_the_rate_a_message_waits_for_its_turn(opened: Opening) -> None:
    world = opened(rates={"": SendingRate(60.0)})
    await world.call("notify", HELLO)

    second = await world.call("notify", {**HELLO, "body": "Another."}, world.tool_call(step=2))

    assert second.action.status is ActionStatus.QUEUED
    assert "as soon as its turn comes" in second.summary
    assert len(world.channel.sent) == 1


async def test_an_address_that_was_refused_is_refused_honestly_until_it_changes(opened: Opening) -> None:
    world = opened()
    world.channel.failure = DependencyRejectedInput("notifications", reason="invalid_address")
    first = await world.call("notify", HELLO)
    world.channel.failure = None

    second = await world.call("notify", {**HELLO, "body": "Another."}, world.tool_call(step=2))
    world.directory.customers[ANNA.customer_id] = msgspec.structs.replace(MADRID, email="new@alvarez.example")
    third = await world.call("notify", {**HELLO, "body": "Another."}, world.tool_call(step=3))

    for refused in (first, second):
        assert status_of(refused) == (ActionStatus.FAILED, "validation_error", "invalid_address")
        assert "address" in refused.summary
    assert third.action.status is ActionStatus.SUCCEEDED
    assert [each.address for each in world.channel.sent] == ["new@alvarez.example"]
    assert world.channel.calls == 2


async def test_an_address_that_bounced_later_is_refused_the_next_time(opened: Opening) -> None:
    world = opened()
    await world.call("notify", HELLO)

    class Provider:
        name = "email"

        async def bounces(self, *, since: object) -> list[Bounce]:
            return [
                Bounce(address, "5.1.1", world.clock.now())
                for address in ("Anna@alvarez.example", "x@y.example")
            ]

    class Broken:
        name = "sms"

        async def bounces(self, *, since: object) -> list[Bounce]:
            raise DependencyUnavailable("notifications")

    watch = BounceWatch([Broken(), Provider()], world.log, world.rules, every_seconds=60, clock=world.clock)
    marked = [await watch.run_once() for _ in range(2)]
    after = await world.call("notify", {**HELLO, "body": "Another."}, world.tool_call(step=2))

    assert marked == [1, 0]
    assert status_of(after) == (ActionStatus.FAILED, "validation_error", "invalid_address")
    assert len(world.channel.sent) == 1


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        (None, "anna@alvarez.example"),
        ("sms", "+34600111222"),
        ("chat", "anna_42"),
        ("webhook", "cust_anna"),
    ],
)
async def test_each_channel_has_its_own_address_on_file(
    opened: Opening, channel: str | None, address: str
) -> None:
    world = opened()

    await world.call("notify", {**HELLO, **({"channel": channel} if channel else {})})

    (sent,) = world.channels[channel or "email"].sent
    assert sent.address == address


@pytest.mark.parametrize("channel", ["sms", "chat"])
async def test_who_has_no_such_address_on_file_hears_it(opened: Opening, channel: str) -> None:
    world = opened()
    world.directory.customers[ANNA.customer_id] = msgspec.structs.replace(ANNA, phone=None)

    outcome = await world.call("notify", {**HELLO, "channel": channel})

    assert status_of(outcome) == (ActionStatus.FAILED, "validation_error", "invalid_address")


async def test_a_channel_that_is_down_takes_no_other_with_it(opened: Opening) -> None:
    world = opened()
    world.channels["sms"].failure = DependencyUnavailable("notifications")
    for step in range(1, 5):
        await world.call(
            "notify", {"subject": "S", "body": str(step), "channel": "sms"}, world.tool_call(step=step)
        )

    mail = await world.call("notify", HELLO, world.tool_call(step=9))

    assert world.guards["notifications.sms"].breaker.state is CircuitState.OPEN
    assert world.guards["notifications"].breaker.state is CircuitState.CLOSED
    assert mail.action.status is ActionStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("recognises_repeats", "status"), [(True, ActionStatus.QUEUED), (False, ActionStatus.UNKNOWN)]
)
async def test_in_doubt_only_a_receiver_that_drops_repeats_is_sent_to_again(
    opened: Opening, status: ActionStatus, *, recognises_repeats: bool
) -> None:
    world = opened()
    channel = world.channels["webhook"]
    channel.recognises_repeats = recognises_repeats
    channel.failure = DependencyTimeout("notifications", may_have_happened=True)

    outcome = await world.call("notify", {**HELLO, "channel": "webhook"})

    assert outcome.action.status is status
    assert len(outcome.outbox) == (1 if recognises_repeats else 0)


async def test_a_sending_that_failed_may_be_begun_again_at_once(opened: Opening) -> None:
    world = opened()
    world.channel.failure, world.channel.times = DependencyUnavailable("notifications"), 1
    promised = await world.call("notify", HELLO)

    (item,) = promised.outbox
    admission = await world.rules.admit("default", msgspec.convert(item.payload, type=Notification))

    assert admission.answer == "go"
