"""The company's records in SQL keep their ports' promises on both databases."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from core.clock import SystemClock
from core.errors import NotFound
from core.records import Article, Customer, NewTicket, Order, OutboxItem, OutboxKind
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.knowledge import SqlArticles, SqlEmbeddings
from state.sql.outbox import SqlOutbox
from state.sql.secrets import SqlSecrets
from state.sql.tickets import SqlTicketDesk
from tests.contracts.databases import NOON, database, database_url  # noqa: F401

TICKET = NewTicket("k1", "R-1", "ada", "conv_1", "Late", "The parcel is late.", contact="ada@example.org")
ITEM = OutboxItem("k1", OutboxKind.NOTIFICATION, "default", "conv_1", {"channel": "email"}, locale="de")


@pytest.fixture
def desk(database: Database) -> SqlTicketDesk:  # noqa: F811
    return SqlTicketDesk(database, clock=SystemClock())


@pytest.fixture
def outbox(database: Database) -> SqlOutbox:  # noqa: F811
    return SqlOutbox(database)


@pytest.fixture
def articles(database: Database) -> SqlArticles:  # noqa: F811
    return SqlArticles(database)


async def test_one_key_opens_one_ticket_however_often_and_parallel(desk: SqlTicketDesk) -> None:
    opened = await asyncio.gather(*(desk.open_ticket("default", TICKET) for _ in range(5)))

    assert len({ticket.reference for ticket in opened}) == 1
    assert len(await desk.find_tickets("default", "ada", limit=10)) == 1


async def test_references_are_unique_over_tenants_and_readable(desk: SqlTicketDesk) -> None:
    first = await desk.open_ticket("default", TICKET)
    other = await desk.open_ticket("other", TICKET)

    assert first.reference == "T-1001"
    assert other.reference != first.reference
    assert (first.receipt, first.subject) == ("R-1", "Late")


async def test_tickets_are_found_newest_first_and_only_ones_own(desk: SqlTicketDesk) -> None:
    for n in range(3):
        await desk.open_ticket("default", msgspec.structs.replace(TICKET, key=f"k{n}", subject=f"s{n}"))
    await desk.open_ticket("default", msgspec.structs.replace(TICKET, key="b", customer_id="bob"))

    found = await desk.find_tickets("default", "ada", limit=2)

    assert [ticket.subject for ticket in found] == ["s2", "s1"]


async def test_a_customer_comes_with_the_newest_twenty_orders(database: Database) -> None:  # noqa: F811
    directory = SqlCustomerDirectory(database)
    orders = tuple(
        Order(f"o{n:02}", NOON + timedelta(days=n), "shipped", ("Kettle", "Lid"), 1999, "EUR", "TRK", NOON)
        for n in range(25)
    )
    ada = Customer("ada", "Ada", "ada@example.org", "+49 1", "de", "Europe/Berlin", {"plan": "gold"}, orders)

    await directory.put_customer("default", ada)
    await directory.put_customer("default", ada)

    found = await directory.customer("default", "ada")
    assert found == msgspec.structs.replace(ada, orders=tuple(reversed(orders))[:20])


async def test_an_unknown_customer_is_not_found_in_another_tenant_either(database: Database) -> None:  # noqa: F811
    directory = SqlCustomerDirectory(database)
    await directory.put_customer("default", Customer("ada", "Ada"))

    with pytest.raises(NotFound):
        await directory.customer("other", "ada")


async def test_no_two_workers_get_the_same_item(outbox: SqlOutbox) -> None:
    for n in range(6):
        await outbox.put(msgspec.structs.replace(ITEM, key=f"k{n}"))

    claims = await asyncio.gather(*(outbox.claim(owner=f"w{n}", limit=4, lease_seconds=30) for n in range(3)))

    keys = [item.key for claim in claims for item in claim]
    assert len(keys) == len(set(keys))
    assert len(keys) >= 4


async def test_an_item_keeps_its_payload_and_counts_attempts(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)

    (first,) = await outbox.claim(owner="w", limit=1, lease_seconds=-1)
    (second,) = await outbox.claim(owner="v", limit=1, lease_seconds=30)

    assert first == msgspec.structs.replace(ITEM, attempts=1)
    assert second.attempts == 2


async def test_a_done_item_never_comes_back(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)
    (item,) = await outbox.claim(owner="w", limit=1, lease_seconds=-1)
    await outbox.done(item, reference="T-1001")

    await outbox.put(ITEM)
    await outbox.retry(item, wait_seconds=0, error="late report of a worker that lost its lease")

    assert await outbox.claim(owner="w", limit=1, lease_seconds=30) == ()
    (entry,) = await outbox.entries(status="done")
    assert entry.reference == "T-1001"


async def test_the_backlog_counts_what_waits_and_what_was_given_up(outbox: SqlOutbox) -> None:
    for n in range(4):
        await outbox.put(msgspec.structs.replace(ITEM, key=f"k{n}"))
    first, second = await outbox.claim(owner="w", limit=2, lease_seconds=30)
    await outbox.done(first, reference="T-1001")
    await outbox.dead(second, error="refused")

    backlog = await outbox.backlog()

    assert (backlog.waiting, backlog.dead) == (2, 1)


async def test_promises_are_unattended_only_while_nobody_works_on_any(outbox: SqlOutbox) -> None:
    nothing_there = await outbox.unattended_seconds()
    for n in range(2):
        await outbox.put(msgspec.structs.replace(ITEM, key=f"k{n}"))
    await asyncio.sleep(0.05)
    nobody = await outbox.unattended_seconds()
    (item,) = await outbox.claim(owner="w", limit=1, lease_seconds=30)
    somebody = await outbox.unattended_seconds()
    await outbox.done(item, reference=None)
    gone_again = await outbox.unattended_seconds()
    (item,) = await outbox.claim(owner="w", limit=1, lease_seconds=-1)
    its_lease_ran_out = await outbox.unattended_seconds()
    await outbox.retry(item, wait_seconds=60, error="desk is down")

    assert nothing_there == somebody == await outbox.unattended_seconds() == 0.0
    assert 0.05 <= nobody < 30.0
    assert 0.0 < gone_again < its_lease_ran_out < 30.0


async def test_a_retried_item_waits(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)
    (item,) = await outbox.claim(owner="w", limit=1, lease_seconds=30)

    await outbox.retry(item, wait_seconds=60, error="desk is down")

    assert await outbox.claim(owner="w", limit=1, lease_seconds=30) == ()
    (entry,) = await outbox.entries(status="due")
    assert entry.error == "desk is down"


async def test_one_item_is_claimed_by_its_key_only_while_it_is_due_and_free(outbox: SqlOutbox) -> None:
    for n in range(2):
        await outbox.put(msgspec.structs.replace(ITEM, key=f"k{n}"))

    (claimed,) = await outbox.claim_one("default", "k1", owner="w", lease_seconds=30)

    assert claimed.key == "k1"
    assert await outbox.claim_one("default", "k1", owner="v", lease_seconds=30) == ()
    assert await outbox.claim_one("other", "k0", owner="v", lease_seconds=30) == ()


async def test_a_lease_is_renewed_by_its_owner_alone(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)
    (item,) = await outbox.claim(owner="slow", limit=1, lease_seconds=-1)
    assert await outbox.renew_claim(item, owner="slow", lease_seconds=-1)
    await outbox.claim(owner="quick", limit=1, lease_seconds=30)

    assert not await outbox.renew_claim(item, owner="slow", lease_seconds=30)
    assert await outbox.renew_claim(item, owner="quick", lease_seconds=30)


async def test_a_late_report_does_not_give_up_what_is_done_or_dropped(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)
    (item,) = await outbox.claim(owner="w", limit=1, lease_seconds=-1)
    await outbox.done(item, reference="T-1")

    await outbox.dead(item, error="late")

    (entry,) = await outbox.entries()
    assert (entry.status, entry.reference, entry.error) == ("done", "T-1", None)


async def test_what_is_done_is_forgotten_after_its_time_and_what_waits_never(outbox: SqlOutbox) -> None:
    for n in range(3):
        await outbox.put(msgspec.structs.replace(ITEM, key=f"k{n}"))
    first, second = await outbox.claim(owner="w", limit=2, lease_seconds=30)
    await outbox.done(first, reference="T-1001")
    await outbox.dead(second, error="refused")

    assert await outbox.forget(kept_seconds=60) == 0
    assert await outbox.forget(kept_seconds=-1) == 1

    assert {entry.status for entry in await outbox.entries()} == {"due", "dead"}


async def test_entries_are_found_by_status_kind_and_tenant(outbox: SqlOutbox) -> None:
    await outbox.put(ITEM)
    await outbox.put(msgspec.structs.replace(ITEM, key="k2", tenant="other"))
    await outbox.put(msgspec.structs.replace(ITEM, key="k3", kind=OutboxKind.TICKET))

    assert [each.item.key for each in await outbox.entries(tenant="other")] == ["k2"]
    assert [each.item.key for each in await outbox.entries(kind=OutboxKind.TICKET)] == ["k3"]
    assert await outbox.entries(status="dropped") == ()
    assert len(await outbox.entries(limit=2)) == 2


async def test_more_articles_than_a_statement_has_parameters_go_in(articles: SqlArticles) -> None:
    await articles.put("default", [Article(f"a{n:04}", "T", "body") for n in range(900)])

    assert len(await articles.all("default")) == 900


async def test_a_vector_is_found_by_model_and_text(database: Database) -> None:  # noqa: F811
    embeddings = SqlEmbeddings(database)
    await embeddings.put_many("m", {f"h{n}": bytes([n % 256]) for n in range(450)})
    await embeddings.put_many("m", {"h1": b"other"})

    found = await embeddings.get_many("m", [f"h{n}" for n in range(500)])

    assert len(found) == 450
    assert found["h1"] == b"\x01"
    assert await embeddings.get_many("n", ["h1"]) == {}


async def test_all_replicas_get_the_same_secret(database: Database) -> None:  # noqa: F811
    store = SqlSecrets(database)

    values = await asyncio.gather(*(store.secret("visitors") for _ in range(4)))

    assert len(set(values)) == 1
    assert len(values[0]) == 32
    assert await store.secret("other") != values[0]
