"""
Claims about notifications over days of a virtual clock, on a real outbox: nothing lost, nothing twice, nobody woken, no flood,
and everybody's messages in the order in which they were promised.

The days are those in which Madrid's clocks go forward; far in the future, because the outbox notes by the real clock when
something was promised.
"""

import asyncio
import itertools
import random
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.workers.outbox import DispatchPolicy, OutboxDispatcher
from core.errors import DependencyRejectedInput, DependencyTimeout, DependencyUnavailable
from core.ids import new_id
from core.notification_rules import QuietHours, SendingRate
from core.records import EffectRecord, Notification, OutboxItem, OutboxKind, recipient_of
from core.resilience.breaker import BreakerPolicy
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import Branch, upgrade
from state.sql.notifications import SqlNotificationLog
from state.sql.outbox import SqlOutbox
from state.sql.types import microseconds
from tests.fakes import FakeClock
from tests.tool_world import FakeDesk
from tools.sending import SendingPolicy, SendingRules

START = datetime(2090, 3, 25, 12, tzinfo=UTC)
NIGHT = QuietHours.parse("21:00-08:00")
RATE = SendingRate(20.0, burst=2)
WINDOW = timedelta(minutes=30)
ZONES = {"+341": "Europe/Madrid", "+12": "America/New_York", "+813": None}
"""The last one's record does not say; the default is Tokyo."""
_MOST_LOOKS = 200
DEFAULT_ZONE = ZoneInfo("Asia/Tokyo")


class Phones:
    """An SMS channel that notes what arrives when; it is away in `outages`, and `dead` numbers are refused."""

    name = "sms"
    recognises_repeats = False

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.sent: list[tuple[datetime, Notification]] = []
        self.asked: list[Notification] = []
        self.outages: Sequence[tuple[datetime, datetime]] = ()
        self.dead: set[str] = set()
        self.doubtful = 0

    def is_valid_address(self, address: str) -> bool:
        return True

    async def send(self, notification: Notification) -> str:
        now = self._clock.now()
        self.asked.append(notification)
        if any(begin <= now < end for begin, end in self.outages):
            raise DependencyUnavailable("notifications")
        if self.doubtful:
            self.doubtful -= 1
            raise DependencyTimeout("notifications", may_have_happened=True)
        if notification.address in self.dead:
            raise DependencyRejectedInput("notifications", reason="invalid_address")
        self.sent.append((now, notification))
        return f"SM{len(self.sent)}"


class _Now:
    """In the place of the database's clock."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)

    def __call__(self) -> sa.ColumnElement[int]:
        return sa.literal(microseconds(self.clock.now()), sa.BigInteger)


_now = _Now()


@pytest.fixture(autouse=True)
def _the_outbox_goes_by_the_virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("types", "outbox", "sending_order"):
        monkeypatch.setattr(f"state.sql.{module}.database_now", _now)


@dataclass(slots=True)
class World:
    database: Database
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    promised: list[Notification] = field(default_factory=list)

    def __post_init__(self) -> None:
        _now.clock = self.clock
        self.outbox = SqlOutbox(self.database)
        self.log = SqlNotificationLog(self.database)
        self.phones = Phones(self.clock)
        policy = SendingPolicy(
            quiet_hours=NIGHT,
            quiet_channels=frozenset({"sms"}),
            zone=DEFAULT_ZONE,
            rates={"sms": RATE},
            repeat_window=WINDOW,
        )
        self.rules = SendingRules(self.log, policy, clock=self.clock)
        self.dispatchers = [self._dispatcher(name) for name in ("one", "two")]

    outbox: SqlOutbox = field(init=False)
    log: SqlNotificationLog = field(init=False)
    phones: Phones = field(init=False)
    rules: SendingRules = field(init=False)
    dispatchers: list[OutboxDispatcher] = field(init=False)

    def _dispatcher(self, owner: str) -> OutboxDispatcher:
        patient = GuardPolicy(retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(minimum_calls=10_000))
        return OutboxDispatcher(
            self.outbox,
            SqlConversationStore(self.database, owner=owner, lease_seconds=30.0),
            desk=FakeDesk(self.clock),
            channels={"sms": self.phones},
            guards={
                name: Guard(name, patient, clock=self.clock, rng=random.Random(1))
                for name in ("tickets", "notifications")
            },
            clock=self.clock,
            rng=random.Random(1),
            owner=owner,
            policy=DispatchPolicy(first_wait_seconds=5.0, longest_wait_seconds=300.0),
            rules=self.rules,
        )

    async def promise(self, address: str, text: str) -> None:
        note = Notification(new_id("effect"), "sms", address, "News", text, ZONES.get(address))
        self.promised.append(note)
        await self.outbox.put(
            OutboxItem(
                note.key,
                OutboxKind.NOTIFICATION,
                "default",
                "conv_none",
                msgspec.to_builtins(note),
                recipient=recipient_of("sms", address),
            )
        )

    async def work(self) -> None:
        for dispatcher in self.dispatchers:
            for _ in range(_MOST_LOOKS):
                if not await dispatcher.work_once():
                    break
            else:
                raise AssertionError("what it has looked at is due again at once")

    async def statuses(self) -> Mapping[str, str]:
        return {entry.item.key: entry.status for entry in await self.outbox.entries(limit=1000)}

    async def run_until_done(self) -> None:
        """From one due time to the next, as the loops would, but for their pauses."""
        for _ in range(2_000):
            await self.work()
            due = [e.due_at for e in await self.outbox.entries(status="due", limit=1000)]
            if not due:
                return
            self.clock.advance(max(1.0, (min(due) - self.clock.now()).total_seconds()))
        raise AssertionError("it does not come to an end")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database to copy."""
    path = tmp_path_factory.mktemp("template") / "careline.db"
    upgrade(f"sqlite+aiosqlite:///{path}", branches=(Branch.RECORD,))
    return path


async def opened(template: Path, folder: Path) -> World:
    path = folder / f"{new_id('db')}.db"
    await asyncio.to_thread(shutil.copy, template, path)
    return World(Database(f"sqlite+aiosqlite:///{path}", timeout_seconds=5.0))


PROMISES = st.lists(
    st.tuples(
        st.integers(0, 36 * 60),  # minutes after the start
        st.sampled_from(sorted(ZONES)),
        st.sampled_from(["ready", "shipped", "late"]),
    ),
    min_size=1,
    max_size=14,
)
OUTAGES = st.lists(st.tuples(st.integers(0, 36 * 60), st.integers(1, 600)), max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(promises=PROMISES, outages=OUTAGES)
def test_whatever_is_promised_is_sent_once_in_order_at_the_rate_and_never_at_night(
    template: Path, tmp_path: Path, promises: list[tuple[int, str, str]], outages: list[tuple[int, int]]
) -> None:
    async def live() -> World:
        world = await opened(template, tmp_path)
        world.phones.outages = [
            (START + timedelta(minutes=begin), START + timedelta(minutes=begin + length))
            for begin, length in outages
        ]
        for minute, address, text in sorted(promises):
            wait = (START + timedelta(minutes=minute) - world.clock.now()).total_seconds()
            if wait > 0:
                world.clock.advance(wait)
            await world.promise(address, text)
            await world.work()
        await world.run_until_done()
        statuses = await world.statuses()
        await world.database.close()
        assert set(statuses.values()) == {"done"}
        return world

    world = asyncio.run(live())

    _nothing_is_lost_or_twice(world)
    _nobody_is_woken(world)
    _no_flood(world)
    _each_in_order(world)


def _nothing_is_lost_or_twice(world: World) -> None:
    sent = [note.key for _, note in world.phones.sent]
    assert len(sent) == len(set(sent))
    times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for at, note in world.phones.sent:
        times[note.address, note.body].append(at)
    for each in times.values():
        assert all(later - earlier >= WINDOW for earlier, later in itertools.pairwise(each))
    for note in world.promised:  # what was not sent itself was said by its twin
        assert note.key in sent or times[note.address, note.body]


def _nobody_is_woken(world: World) -> None:
    for at, note in world.phones.sent:
        zone = ZoneInfo(note.timezone) if note.timezone else DEFAULT_ZONE
        assert not NIGHT.contain(at, zone)


def _no_flood(world: World) -> None:
    times = [at for at, _ in world.phones.sent]
    for first in range(len(times)):
        for last in range(first + 1, len(times)):
            # Slots may be used up to ten seconds late.
            span = (times[last] - times[first]).total_seconds() + 10
            assert last - first + 1 <= RATE.burst + span / RATE.interval_seconds


def _each_in_order(world: World) -> None:
    order = {note.key: number for number, note in enumerate(world.promised)}
    for address in ZONES:
        numbers = [order[note.key] for _, note in world.phones.sent if note.address == address]
        assert numbers == sorted(numbers)


async def test_after_an_outage_what_waited_goes_out_at_the_rate(template: Path, tmp_path: Path) -> None:
    world = await opened(template, tmp_path)
    world.phones.outages = [(START, START + timedelta(hours=2))]
    for number in range(30):
        await world.promise(f"+1{number}", f"Text {number}")  # Tokyo sleeps: nobody's record says where
    await world.run_until_done()
    await world.database.close()

    times = [at for at, _ in world.phones.sent]
    assert len(times) == 30
    assert (times[-1] - times[0]).total_seconds() >= 27 * RATE.interval_seconds
    _no_flood(world)


async def test_a_stop_that_lasted_longer_than_the_slots_makes_no_flood(
    template: Path, tmp_path: Path
) -> None:
    world = await opened(template, tmp_path)
    world.clock.advance(14 * 3600)  # morning in Tokyo
    for number in range(20):
        await world.promise(f"+1{number}", "The same for all")
    await world.work()
    world.clock.advance(3600)  # nobody worked meanwhile, and every slot went by
    await world.run_until_done()
    await world.database.close()

    assert len(world.phones.sent) == 20
    _no_flood(world)


async def test_an_address_that_was_refused_is_not_tried_again(template: Path, tmp_path: Path) -> None:
    world = await opened(template, tmp_path)
    world.phones.dead = {"+12"}
    for text in ("first", "second"):
        await world.promise("+12", text)
        await world.run_until_done()
    await world.promise("+341", "to another")
    await world.run_until_done()
    statuses = list((await world.statuses()).values())
    await world.database.close()

    assert [note.body for note in world.phones.asked] == ["first", "to another"]
    assert sorted(statuses) == ["dead", "dead", "done"]


async def test_two_dispatchers_at_once_send_each_text_once(template: Path, tmp_path: Path) -> None:
    world = await opened(template, tmp_path)
    for _ in range(6):
        await world.promise("+341", "The same")
    while set((await world.statuses()).values()) != {"done"}:
        await asyncio.gather(*(dispatcher.work_once() for dispatcher in world.dispatchers))
        world.clock.advance(5)
    await world.database.close()

    assert len(world.phones.sent) == 1


async def test_a_receiver_that_drops_repeats_gets_what_is_in_doubt_again(
    template: Path, tmp_path: Path
) -> None:
    world = await opened(template, tmp_path)
    world.clock.advance(14 * 3600)  # morning in Tokyo
    world.phones.recognises_repeats = True
    world.phones.doubtful = 2
    await world.promise("+813", "ready")
    (died,) = await world.outbox.claim(owner="died", limit=1, lease_seconds=0)
    plan = EffectRecord(
        tenant="default",
        key=f"{died.key}:outbox",
        turn_id=died.key,
        step=1,
        tool="notify",
        arguments={"run": "x"},
    )
    await SqlConversationStore(world.database, owner="died", lease_seconds=30.0).begin_effect(plan)
    await world.run_until_done()
    statuses = list((await world.statuses()).values())
    await world.database.close()

    assert len({note.key for note in world.phones.asked}) == 1
    assert len(world.phones.asked) == 3
    assert statuses == ["done"]
