"""Claims about the record of sendings, on both databases and between replicas: one text once, one pace, one order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from core.ids import derived_id
from core.notification_rules import UNLIMITED, SendingRate
from core.records import Admission, OutboxItem, OutboxKind
from state.sql.engine import Database
from state.sql.migrate import Branch, upgrade
from state.sql.notifications import SqlNotificationLog
from state.sql.operator_queue import SqlOperatorQueue, Verdict
from state.sql.outbox import SqlOutbox

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=10)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_database")
    await asyncio.to_thread(upgrade, url, branches=(Branch.RECORD,))
    opened = Database(url, timeout_seconds=5.0)
    yield opened
    await opened.close()


async def admit(
    log: SqlNotificationLog,
    key: str,
    *,
    at: float = 0.0,
    text: str = "hello",
    recipient: str = "anna",
    tenant: str = "default",
    rate: SendingRate = UNLIMITED,
    window: timedelta = WINDOW,
) -> Admission:
    return await log.admit(
        tenant,
        key,
        channel="sms",
        recipient=recipient,
        text=text,
        now=NOON + timedelta(seconds=at),
        repeat_window=window,
        rate=rate,
    )


async def test_the_same_text_to_the_same_address_goes_once_within_the_window(database: Database) -> None:
    log = SqlNotificationLog(database)
    await admit(log, "a")
    await log.settle("default", "a", came_to="sent", reference="SM1")

    again = await admit(log, "b", at=599)
    later = await admit(log, "c", at=601)

    assert again == Admission("sent", reference="SM1")
    assert later.answer == "go"


@pytest.mark.parametrize("other", [{"text": "bye"}, {"recipient": "ben"}, {"tenant": "other"}])
async def test_another_text_address_or_tenant_is_no_repeat(database: Database, other: dict[str, str]) -> None:
    log = SqlNotificationLog(database)
    await admit(log, "a")
    await log.settle("default", "a", came_to="sent")

    assert (await admit(log, "b", **other)).answer == "go"  # type: ignore[arg-type]


async def test_of_two_replicas_with_the_same_text_one_goes(database: Database) -> None:
    log = SqlNotificationLog(database)

    answers = await asyncio.gather(*(admit(log, f"k{n}") for n in range(8)))

    assert sorted(each.answer for each in answers) == ["go"] + ["wait"] * 7


@pytest.mark.parametrize(
    ("came_to", "at", "answer"),
    [
        (None, 10, "wait"),
        (None, 130, "doubtful"),  # whoever began it is gone
        ("unknown", 10, "doubtful"),
        ("not_sent", 10, "go"),
        ("sent", 10, "sent"),
    ],
)
async def test_a_repeat_shares_the_fate_of_the_first(
    database: Database, came_to: str | None, at: float, answer: str
) -> None:
    log = SqlNotificationLog(database)
    await admit(log, "a")
    if came_to is not None:
        await log.settle("default", "a", came_to=came_to)  # type: ignore[arg-type]

    assert (await admit(log, "b", at=at)).answer == answer


async def test_what_was_sent_is_sent_whoever_asks_or_reports_later(database: Database) -> None:
    log = SqlNotificationLog(database)
    await admit(log, "a")
    await log.settle("default", "a", came_to="sent", reference="SM1")
    await log.settle("default", "a", came_to="not_sent")

    assert await admit(log, "a", at=3) == Admission("sent", reference="SM1")


async def test_a_flood_is_spread_over_replicas_at_the_channels_rate(database: Database) -> None:
    log = SqlNotificationLog(database)
    rate = SendingRate(1.0, burst=3)

    answers = await asyncio.gather(*(admit(log, f"k{n}", recipient=f"r{n}", rate=rate) for n in range(10)))

    assert [each.answer for each in answers].count("go") == 3
    waits = sorted(each.wait_seconds for each in answers if each.answer == "wait")
    assert waits == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


async def test_a_slot_is_used_at_its_time_and_lost_after_it(database: Database) -> None:
    log = SqlNotificationLog(database)
    rate = SendingRate(1.0, burst=1)
    for key in ("a", "b", "c"):
        await admit(log, key, recipient=key, rate=rate)

    early = await admit(log, "b", recipient="b", rate=rate, at=0.5)
    in_time = await admit(log, "b", recipient="b", rate=rate, at=1.0)
    late = [await admit(log, key, recipient=key, rate=rate, at=3600) for key in ("c", "d")]

    assert (early.answer, early.wait_seconds) == ("wait", 0.5)
    assert in_time.answer == "go"
    assert [each.answer for each in late] == ["go", "wait"]


async def test_who_was_promised_first_is_sent_to_first(database: Database) -> None:
    log, outbox = SqlNotificationLog(database), SqlOutbox(database)
    items = [
        OutboxItem(key, OutboxKind.NOTIFICATION, "default", "conv", {}, recipient="anna")
        for key in ("z", "b")
    ]
    for item in items:
        await outbox.put(item)
        # SQLite's clock tells milliseconds, and what was promised in one of them has no first.
        await asyncio.sleep(0.005)

    second = await admit(log, "b", text="second")
    in_a_turn = await admit(log, "turn", text="third")
    first = await admit(log, "z", text="first")
    await outbox.done(items[0], reference=None)
    second_again = await admit(log, "b", text="second")

    assert (second.answer, second.why) == ("wait", "order")
    assert (in_a_turn.answer, in_a_turn.why) == ("wait", "order")
    assert first.answer == second_again.answer == "go"


def in_line(key: str, recipient: str = "anna", tenant: str = "default") -> OutboxItem:
    return OutboxItem(key, OutboxKind.NOTIFICATION, tenant, "conv", {}, recipient=recipient)


async def put_in_line(outbox: SqlOutbox, *items: tuple[OutboxItem, str]) -> None:
    """Each waits an hour for what it is said to wait for."""
    for item, why in items:
        await outbox.put(item)
        await asyncio.sleep(0.005)
        (claimed,) = await outbox.claim(owner="w", limit=1, lease_seconds=60)
        await outbox.defer(claimed, wait_seconds=3600, why=why)


async def due_now(outbox: SqlOutbox) -> list[str]:
    claimed = await outbox.claim(owner="w", limit=10, lease_seconds=-1)
    return [item.key for item in claimed]


async def test_the_next_to_the_same_address_is_due_as_one_is_settled(database: Database) -> None:
    outbox = SqlOutbox(database)
    await put_in_line(
        outbox,
        (in_line("d"), "service_unavailable"),
        (in_line("c"), "order"),
        (in_line("b"), "repeat"),
        (in_line("other", recipient="ben"), "order"),
        (in_line("theirs", tenant="other"), "order"),
    )

    let_go = [await outbox.done(in_line("d"), reference=None)]
    after_the_first = await due_now(outbox)
    let_go.append(await outbox.dead(in_line("c"), error="refused"))
    after_the_second = await due_now(outbox)
    let_go.append(await outbox.done(in_line("b"), reference=None))

    assert (after_the_first, after_the_second, await due_now(outbox)) == (["c"], ["b"], [])
    assert let_go == [True, True, False]


@pytest.mark.parametrize("why", ["quiet_hours", "rate", "service_unavailable"])
async def test_one_that_waits_for_its_own_time_is_not_let_go_nor_those_behind_it(
    database: Database, why: str
) -> None:
    outbox = SqlOutbox(database)
    await put_in_line(outbox, (in_line("c"), "order"), (in_line("b"), why), (in_line("a"), "order"))

    assert not await outbox.done(in_line("c"), reference=None)
    assert await due_now(outbox) == []


@pytest.mark.parametrize(
    ("verdict", "due"), [(Verdict.DONE, ["b"]), (Verdict.DROP, ["b"]), (Verdict.RETRY, ["c"])]
)
async def test_an_operators_word_lets_the_next_go(
    database: Database, verdict: Verdict, due: list[str]
) -> None:
    outbox = SqlOutbox(database)
    await put_in_line(outbox, (in_line("c"), "service_unavailable"), (in_line("b"), "order"))

    await SqlOperatorQueue(database).decide("default", "c", verdict)

    assert await due_now(outbox) == due


async def test_a_refused_address_is_refused_for_its_tenant_until_it_is_allowed(database: Database) -> None:
    log = SqlNotificationLog(database)
    for reason in ("5.1.1", "again"):
        await log.refuse_address("default", channel="email", recipient="anna", reason=reason, at=NOON)

    assert await log.refused_among("default", ["ben", "anna"]) == {"anna"}
    assert not await log.refused_among("other", ["anna"])
    assert await log.allow_address("default", "anna")
    assert not await log.refused_among("default", ["anna"])


async def test_senders_are_known_until_they_are_forgotten(database: Database) -> None:
    log = SqlNotificationLog(database)
    for tenant in ("one", "two"):
        await admit(log, derived_id("k", tenant), tenant=tenant)

    assert sorted(await log.senders_to("anna")) == ["one", "two"]
    await log.forget(NOON + timedelta(seconds=1))
    assert await log.senders_to("anna") == []


async def test_a_deferred_item_was_not_tried(database: Database) -> None:
    outbox = SqlOutbox(database)
    await outbox.put(OutboxItem("a", OutboxKind.NOTIFICATION, "default", "conv", {}))

    for _ in range(3):
        (item,) = await outbox.claim(owner="w", limit=5, lease_seconds=60)
        await outbox.defer(item, wait_seconds=0, why="quiet_hours")

    (entry,) = await outbox.entries()
    assert (entry.item.attempts, entry.status, entry.error) == (0, "due", "quiet_hours")
