"""
Claims about promised effects, on a real SQLite outbox: carried out once, told to the customer, never lost.
"""

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
import pytest

from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from core.clock import Clock, SystemClock
from core.errors import (
    CarelineError,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
)
from core.ids import receipt_for
from core.messages import Message, MessageRole
from core.notification_rules import SendingRate
from core.records import (
    EffectRecord,
    NewTicket,
    Notification,
    OutboxItem,
    OutboxKind,
    TeamChannel,
    Ticket,
    recipient_of,
)
from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryBudget, RetryPolicy
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.notifications import SqlNotificationLog
from state.sql.operator_queue import SqlOperatorQueue, Verdict
from state.sql.outbox import OutboxEntry, SqlOutbox
from state.store import IncomingMessage
from tests.tool_world import FakeChannel, FakeDesk
from tools.sending import SendingPolicy, SendingRules

QUICK = DispatchPolicy(
    poll_seconds=30.0, lease_seconds=30.0, first_wait_seconds=0.0, longest_wait_seconds=0.0, most_attempts=3
)


class WatchedOutbox(SqlOutbox):
    """Says when something was tried again later, and when something was done; may be lost when first asked."""

    def __init__(self, database: Database, *, is_lost_at_first: bool = False) -> None:
        super().__init__(database)
        self.was_postponed = asyncio.Event()
        self.was_done = asyncio.Event()
        self._is_lost = is_lost_at_first

    async def claim(self, *, owner: str, limit: int, lease_seconds: float) -> Sequence[OutboxItem]:
        if self._is_lost:
            self._is_lost = False
            raise DependencyUnavailable("sql")
        return await super().claim(owner=owner, limit=limit, lease_seconds=lease_seconds)

    async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
        await super().retry(item, wait_seconds=wait_seconds, error=error)
        self.was_postponed.set()

    async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
        lets_go = await super().done(item, reference=reference)
        self.was_done.set()
        return lets_go


class SlowChannel(FakeChannel):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def send(self, notification: Notification) -> str:
        self.was_asked.set()
        await self.may_answer.wait()
        return await super().send(notification)


@dataclass(slots=True)
class Place:
    database: Database
    store: SqlConversationStore
    outbox: WatchedOutbox
    desk: FakeDesk
    channel: FakeChannel
    conversation_id: str

    def dispatcher(
        self,
        *,
        policy: DispatchPolicy = QUICK,
        owner: str = "one",
        clock: Clock | None = None,
        channels: Mapping[str, FakeChannel] | None = None,
        rules: SendingRules | None = None,
    ) -> OutboxDispatcher:
        clock = clock or SystemClock()
        never_opens = GuardPolicy(
            retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(minimum_calls=10_000), attempt_seconds=5.0
        )
        return OutboxDispatcher(
            self.outbox,
            self.store,
            desk=self.desk,
            channels=channels or {"email": self.channel},
            guards={
                name: Guard(
                    name,
                    never_opens,
                    clock=clock,
                    rng=random.Random(1),
                    retry_budget=RetryBudget(reserve=10_000),
                )
                for name in ("tickets", "notifications")
            },
            clock=clock,
            rng=random.Random(1),
            owner=owner,
            policy=policy,
            rules=rules,
        )

    async def promise_ticket(self, key: str = "effect_t", *, error: str | None = None) -> OutboxItem:
        wanted = NewTicket(key, receipt_for(key), "cust_anna", self.conversation_id, "Lamp", "It is broken.")
        return await self.promise(key, OutboxKind.TICKET, wanted, error=error)

    async def promise_mail(
        self, key: str = "effect_m", *, body: str = "Send it back.", to: str = "anna@alvarez.example"
    ) -> OutboxItem:
        wanted = Notification(key, "email", to, "Your return", body)
        return await self.promise(key, OutboxKind.NOTIFICATION, wanted)

    async def promise(
        self, key: str, kind: OutboxKind, wanted: NewTicket | Notification, *, error: str | None = None
    ) -> OutboxItem:
        item = OutboxItem(
            key,
            kind,
            "default",
            self.conversation_id,
            msgspec.to_builtins(wanted),
            error=error,
            recipient=recipient_of(wanted.channel, wanted.address)
            if isinstance(wanted, Notification)
            else None,
        )
        await self.outbox.put(item)
        return item

    async def notes(self) -> list[str]:
        said: Sequence[Message] = await self.store.messages(
            "default", self.conversation_id, after=0, limit=100
        )
        return [message.text for message in said if message.role is MessageRole.SYSTEM]

    async def only_entry(self) -> OutboxEntry:
        (entry,) = await self.outbox.entries()
        return entry


@pytest.fixture
async def place(sqlite_url: str) -> AsyncIterator[Place]:
    await asyncio.to_thread(upgrade, sqlite_url)
    database = Database(sqlite_url, timeout_seconds=5.0)
    store = SqlConversationStore(database, owner="test", lease_seconds=30.0)
    taken = await store.intake(
        IncomingMessage(
            tenant="default",
            principal="customer:cust_anna",
            customer_id="cust_anna",
            conversation_id=None,
            client_message_id="c1",
            text="My lamp is broken",
            locale="en",
            channel="api",
            at=datetime(2026, 11, 22, tzinfo=UTC),
        )
    )
    yield Place(
        database,
        store,
        WatchedOutbox(database),
        FakeDesk(SystemClock()),
        FakeChannel(),
        taken.conversation_id,
    )
    await database.close()


async def test_a_promised_ticket_is_opened_under_its_key_and_the_customer_is_told(place: Place) -> None:
    item = await place.promise_ticket()

    worked = await place.dispatcher().work_once()

    assert worked == 1
    assert list(place.desk.by_key) == [item.key]
    assert await place.notes() == [f"Your request {receipt_for(item.key)} is now ticket T-1."]
    entry = await place.only_entry()
    assert (entry.status, entry.reference) == ("done", "T-1")


async def test_an_outage_longer_than_all_attempts_gives_up_on_nothing(place: Place) -> None:
    await place.promise_ticket()
    dispatcher = place.dispatcher()
    place.desk.failure = DependencyUnavailable("tickets")

    for _ in range(10):
        await dispatcher.work_once()
    during = await place.only_entry()
    place.desk.failure = None
    await dispatcher.work_once()

    assert during.status == "due"
    assert during.item.attempts == 10
    assert (await place.only_entry()).status == "done"
    assert len(await place.notes()) == 1


async def test_a_crash_between_opening_and_noting_it_opens_no_second_ticket(place: Place) -> None:
    item = await place.promise_ticket()
    (claimed,) = await place.outbox.claim(owner="crashed", limit=1, lease_seconds=-1.0)
    wanted = msgspec.convert(claimed.payload, type=NewTicket)
    await place.desk.open_ticket("default", wanted)

    await place.dispatcher().work_once()

    assert len(place.desk.tickets) == 1
    assert await place.notes() == [f"Your request {receipt_for(item.key)} is now ticket T-1."]


async def test_two_dispatchers_open_each_ticket_once_and_tell_it_once(place: Place) -> None:
    for number in range(12):
        await place.promise_ticket(f"effect_{number}")

    await asyncio.gather(*(place.dispatcher(owner=str(number)).work_once() for number in range(4)))

    assert place.desk.calls == 12
    assert len(place.desk.tickets) == 12
    assert len(await place.notes()) == 12


@pytest.mark.parametrize(
    ("known", "becomes"),
    [
        ("confirmed", "done"),
        ("intent", "dead"),
        ("unknown", "dead"),
    ],
)
async def test_a_mail_that_a_turn_has_begun_is_not_sent_for_another_turn_that_put_it_off(
    place: Place, known: Literal["confirmed", "intent", "unknown"], becomes: str
) -> None:
    item = await place.promise_mail()
    await place.store.finish_effect(effect_of(item, known))

    await place.dispatcher().work_once()

    assert place.channel.sent == []
    assert (await place.only_entry()).status == becomes
    assert len(await place.notes()) == 1


@pytest.mark.parametrize("is_journaled", [True, False])
async def test_a_mail_that_was_only_put_off_is_sent(place: Place, *, is_journaled: bool) -> None:
    item = await place.promise_mail()
    status: Literal["intent", "queued"] = "intent" if is_journaled else "queued"
    await place.store.finish_effect(replace(effect_of(item, status), is_journaled=is_journaled))

    await place.dispatcher().work_once()

    assert len(place.channel.sent) == 1


def effect_of(item: OutboxItem, status: Literal["intent", "confirmed", "queued", "unknown"]) -> EffectRecord:
    return EffectRecord(
        tenant=item.tenant,
        key=item.key,
        turn_id="turn_1",
        step=1,
        tool="notify",
        arguments={"run": "run_a"},
        status=status,
    )


async def test_a_dispatcher_that_leaves_gives_back_what_it_has_not_done(place: Place) -> None:
    class SilentDesk(FakeDesk):
        def __init__(self) -> None:
            super().__init__(SystemClock())
            self.was_asked = asyncio.Event()

        async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
            self.was_asked.set()
            return await asyncio.Future()

    for number in range(3):
        await place.promise_ticket(f"effect_{number}")
    desk, place.desk = place.desk, SilentDesk()
    leaving = asyncio.create_task(place.dispatcher().run())
    await place.desk.was_asked.wait()
    leaving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaving
    place.desk = desk

    worked = await place.dispatcher(owner="two").work_once()

    assert worked == 3
    assert len(desk.tickets) == 3


async def test_a_dispatcher_that_is_asked_to_leave_ends_what_it_has_begun_and_gives_back_the_rest(
    place: Place,
) -> None:
    channel = place.channel = SlowChannel()
    for number in range(3):
        await place.promise_mail(f"effect_{number}")
    dispatcher = place.dispatcher()
    running = asyncio.create_task(dispatcher.run())
    await channel.was_asked.wait()
    leaving = asyncio.create_task(dispatcher.leave(5.0))
    await asyncio.sleep(0)
    channel.may_answer.set()
    await leaving
    await running

    assert len(channel.sent) == 1
    assert sorted(entry.status for entry in await place.outbox.entries()) == ["done", "due", "due"]
    assert len(await place.outbox.claim(owner="two", limit=5, lease_seconds=30.0)) == 2


async def test_an_outbox_that_takes_nothing_back_at_first_is_asked_again_before_it_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = place.channel = SlowChannel()
    for number in range(3):
        await place.promise_mail(f"effect_{number}")
    give_back, asked = place.outbox.give_back, 0

    async def slow_at_first(items: Sequence[OutboxItem], *, owner: str) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        await give_back(items, owner=owner)

    monkeypatch.setattr(place.outbox, "give_back", slow_at_first)
    dispatcher = place.dispatcher()
    running = asyncio.create_task(dispatcher.run())
    await channel.was_asked.wait()
    leaving = asyncio.create_task(dispatcher.leave(5.0))
    await asyncio.sleep(0)
    channel.may_answer.set()
    await leaving
    await running

    assert asked == 2
    assert len(await place.outbox.claim(owner="two", limit=5, lease_seconds=30.0)) == 2


async def test_what_has_passed_to_another_is_left_alone(place: Place) -> None:
    """The first took longer than the lease: the second is another's by then, and must not be begun twice."""
    taken: list[OutboxItem] = []
    other = place.outbox

    class SlowDesk(FakeDesk):
        async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
            if not taken:
                await asyncio.sleep(0.002)
                taken.extend(await other.claim(owner="two", limit=5, lease_seconds=30.0))
            return await super().open_ticket(tenant, ticket)

    desk = place.desk = SlowDesk(SystemClock())
    for number in range(2):
        await place.promise_ticket(f"effect_{number}")

    await place.dispatcher(policy=DispatchPolicy(lease_seconds=-1.0)).work_once()

    assert len(taken) == 2
    assert desk.calls == 1


async def test_an_announced_item_is_carried_out_by_itself(place: Place) -> None:
    for number in range(2):
        await place.promise_ticket(f"effect_{number}")

    assert await place.dispatcher().work_on("default", "effect_1") == 1
    assert await place.dispatcher().work_on("default", "effect_1") == 0

    assert list(place.desk.by_key) == ["effect_1"]


async def test_what_it_had_claimed_when_the_outbox_went_away_is_done_as_soon_as_that_is_back(
    place: Place,
) -> None:
    class LostOutbox(WatchedOutbox):
        is_lost = True

        async def done(self, item: OutboxItem, *, reference: str | None) -> bool:
            if self.is_lost:
                raise DependencyUnavailable("sql")
            return await super().done(item, reference=reference)

        async def retry(self, item: OutboxItem, *, wait_seconds: float, error: str) -> None:
            raise DependencyUnavailable("sql")

    for number in range(3):
        await place.promise_ticket(f"effect_{number}")
    outbox = place.outbox = LostOutbox(place.database)
    dispatcher = place.dispatcher()
    with pytest.raises(DependencyUnavailable):
        await dispatcher.work_once()
    outbox.is_lost = False

    worked = await dispatcher.work_once()

    assert worked == 3
    assert len(place.desk.tickets) == 3
    assert (await outbox.backlog()).waiting == 0


async def test_what_is_given_back_is_not_taken_from_another(place: Place) -> None:
    await place.promise_ticket()
    items = await place.outbox.claim(owner="one", limit=5, lease_seconds=-1.0)
    await place.outbox.claim(owner="two", limit=5, lease_seconds=30.0)

    await place.outbox.give_back(items, owner="one")

    assert await place.outbox.claim(owner="three", limit=5, lease_seconds=30.0) == ()


async def test_what_the_desk_refuses_for_good_is_given_up_and_the_customer_knows(place: Place) -> None:
    item = await place.promise_ticket()
    place.desk.failure = DependencyRejectedInput("tickets")

    await place.dispatcher().work_once()

    assert (await place.only_entry()).status == "dead"
    (note,) = await place.notes()
    assert receipt_for(item.key) in note
    assert "could not" in note


async def test_a_desk_that_keeps_answering_with_errors_is_given_up_after_the_attempts(place: Place) -> None:
    await place.promise_ticket()
    dispatcher = place.dispatcher()
    place.desk.failure = ExternalApiFailed("tickets", answered_status=500)

    await dispatcher.work_once()
    await dispatcher.work_once()
    before = await place.only_entry()
    await dispatcher.work_once()

    assert before.status == "due"
    assert (await place.only_entry()).status == "dead"
    assert place.desk.calls == 3


async def test_one_broken_item_does_not_hold_up_the_next(place: Place) -> None:
    broken = OutboxItem("effect_0", OutboxKind.TICKET, "default", place.conversation_id, {"nonsense": 1})
    await place.outbox.put(broken)
    await place.promise_ticket("effect_1")

    await place.dispatcher().work_once()

    statuses = {entry.item.key: entry.status for entry in await place.outbox.entries()}
    assert statuses == {"effect_0": "dead", "effect_1": "done"}


async def test_a_promised_message_is_sent_and_told(place: Place) -> None:
    item = await place.promise_mail()

    await place.dispatcher().work_once()

    assert [sent.key for sent in place.channel.sent] == [item.key]
    assert (await place.only_entry()).status == "done"
    assert await place.notes() == [
        f"The message with receipt number {receipt_for(item.key)} has been sent to you."
    ]


@pytest.mark.parametrize(
    "failure", [DependencyUnavailable("notifications"), DependencyTimeout("notifications")]
)
async def test_a_message_that_was_not_taken_is_tried_again(place: Place, failure: CarelineError) -> None:
    await place.promise_mail()
    dispatcher = place.dispatcher()
    place.channel.failure, place.channel.times = failure, 2

    for _ in range(3):
        await dispatcher.work_once()

    assert len(place.channel.sent) == 1
    assert (await place.only_entry()).status == "done"


async def test_those_behind_one_that_waits_for_long_go_as_soon_as_that_has_gone(place: Place) -> None:
    """The second says what the first does, and so waits for it; the third waits for both. Neither waits for the next look."""
    for number, body in enumerate(("Send it back.", "Send it back.", "It has arrived.")):
        await place.promise_mail(f"effect_{number}", body=body)
        await asyncio.sleep(0.005)  # SQLite's clock tells milliseconds
    rules = SendingRules(
        SqlNotificationLog(place.database),
        SendingPolicy(repeat_window=timedelta(minutes=10)),
        clock=SystemClock(),
    )
    patient = DispatchPolicy(poll_seconds=60.0, first_wait_seconds=50.0, longest_wait_seconds=50.0)
    dispatcher = place.dispatcher(policy=patient, rules=rules)
    place.channel.failure, place.channel.times = DependencyUnavailable("notifications"), 1
    await dispatcher.work_once()
    waits = {entry.item.key: entry.error for entry in await place.outbox.entries()}

    await SqlOperatorQueue(place.database).decide("default", "effect_0", Verdict.RETRY)
    loop = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(5.0):
        while (await place.outbox.backlog()).waiting:
            await place.outbox.was_done.wait()
            place.outbox.was_done.clear()
    loop.cancel()

    assert waits == {"effect_0": "service_unavailable", "effect_1": "order", "effect_2": "order"}
    assert [sent.body for sent in place.channel.sent] == ["Send it back.", "It has arrived."]


async def test_what_piled_up_in_an_outage_goes_out_at_the_channels_pace(place: Place) -> None:
    went_at: list[float] = []

    class TimedChannel(FakeChannel):
        async def send(self, notification: Notification) -> str:
            reference = await super().send(notification)
            went_at.append(asyncio.get_running_loop().time())
            return reference

    channel = place.channel = TimedChannel()
    for number in range(6):
        await place.promise_mail(f"effect_{number}", to=f"anna{number}@alvarez.example")
    rules = SendingRules(
        SqlNotificationLog(place.database),
        SendingPolicy(rates={"": SendingRate(0.2)}),
        clock=SystemClock(),
    )
    dispatcher = place.dispatcher(policy=dataclasses.replace(QUICK, poll_seconds=0.02), rules=rules)
    channel.failure = DependencyUnavailable("notifications")
    await dispatcher.work_once()
    channel.failure = None

    loop = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(30.0):
        while (await place.outbox.backlog()).waiting:
            await place.outbox.was_done.wait()
            place.outbox.was_done.clear()
    loop.cancel()

    assert len(channel.sent) == 6
    # A slot may be used late, never early: five of them lie between the first and the last.
    assert went_at[-1] - went_at[0] >= 5 * 0.2 - 0.1


async def test_a_message_of_unknown_fate_is_left_to_a_person(place: Place) -> None:
    await place.promise_mail()
    dispatcher = place.dispatcher()
    place.channel.failure = DependencyTimeout("notifications", may_have_happened=True)

    await dispatcher.work_once()
    place.channel.failure = None
    await dispatcher.work_once()

    assert place.channel.calls == 1
    entry = await place.only_entry()
    assert (entry.status, entry.error) == ("dead", "fate_unknown")
    assert "cannot tell whether" in (await place.notes())[0]


async def test_a_worker_that_died_while_sending_leaves_doubt_and_no_second_message(place: Place) -> None:
    await place.promise_mail()
    reached = asyncio.Event()

    class DyingChannel(FakeChannel):
        async def send(self, notification: Notification) -> str:
            self.sent.append(notification)
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    place.channel = DyingChannel()
    impatient = DispatchPolicy(lease_seconds=-1.0)
    dying = asyncio.create_task(place.dispatcher(policy=impatient).work_once())
    await reached.wait()
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying

    await place.dispatcher().work_once()

    assert len(place.channel.sent) == 1
    assert (await place.only_entry()).status == "dead"


async def test_the_loop_wakes_when_a_dependency_is_back(place: Place) -> None:
    await place.promise_ticket()
    dispatcher = place.dispatcher()
    place.desk.failure = DependencyUnavailable("tickets")
    loop = asyncio.create_task(dispatcher.run())
    async with asyncio.timeout(5.0):
        await place.outbox.was_postponed.wait()

    place.desk.failure = None
    dispatcher.wake()

    async with asyncio.timeout(5.0):
        await place.outbox.was_done.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_a_loop_that_is_cancelled_just_as_it_wakes_ends_all_the_same(place: Place) -> None:
    class RestingClock(SystemClock):
        def __init__(self) -> None:
            self.rests = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            self.rests.set()
            await super().sleep(seconds)

    for steps in range(12):
        clock = RestingClock()
        dispatcher = place.dispatcher(clock=clock)
        loop = asyncio.create_task(dispatcher.run())
        await clock.rests.wait()
        dispatcher.wake()
        for _ in range(steps):
            await asyncio.sleep(0)

        loop.cancel()
        ended, _ = await asyncio.wait({loop}, timeout=5.0)

        assert ended, f"cancelled {steps} steps after it was woken"


async def test_the_loop_outlives_an_outbox_that_cannot_be_asked(place: Place) -> None:
    await place.promise_ticket()

    place.outbox = WatchedOutbox(place.database, is_lost_at_first=True)
    loop = asyncio.create_task(place.dispatcher(policy=DispatchPolicy(poll_seconds=0.01)).run())

    async with asyncio.timeout(5.0):
        await place.outbox.was_done.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_a_conversation_that_is_gone_does_not_stop_the_work(place: Place) -> None:
    place.conversation_id = "conv_erased"
    await place.promise_ticket()

    await place.dispatcher().work_once()

    assert (await place.only_entry()).status == "done"


@pytest.mark.parametrize(
    "failure",
    [
        None,
        DependencyRejectedInput("notifications"),
        DependencyTimeout("notifications", may_have_happened=True),
    ],
)
async def test_a_customer_hears_nothing_of_what_tells_the_team(
    place: Place, failure: CarelineError | None
) -> None:
    wanted = Notification("call_1", TeamChannel.EMAIL, "team@shop.example", "A customer waits", "Go.")
    await place.promise("call_1", OutboxKind.NOTIFICATION, wanted)
    place.channel.failure = failure

    await place.dispatcher(channels={TeamChannel.EMAIL: place.channel}).work_once()

    assert await place.notes() == []
    assert (await place.only_entry()).status == ("done" if failure is None else "dead")
