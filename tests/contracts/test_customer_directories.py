"""Every customer directory keeps the port's promises: Careline's tables, the company's own ones, a CRM over HTTP."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest
import sqlalchemy as sa

from core.errors import DependencyUnavailable, NotFound
from core.http import make_client
from core.lookup_settings import CustomersSql
from core.records import Customer
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.foreign_customers import ForeignSqlCustomerDirectory
from state.sql.migrate import upgrade
from tests.contracts.crm import ANNA, BERT, ORDER_FIELDS, PEOPLE, SECRETS, Crm, api, as_crm_order
from tests.http_faults import FaultyServer
from tests.servers import free_port
from tools.adapters.http_customers import HttpCustomerDirectory
from tools.ports import CustomerDirectory

TLS = ssl.create_default_context()
"""Made once: it takes as long as the rest of a test."""

SHOP = CustomersSql.model_validate(
    {
        "table": "clients",
        "id_type": "integer",
        "customer": {
            "customer_id": "client_no",
            "name": ["first_name", "Last"],
            "email": "mail",
            "phone": "phone",
            "locale": "lang",
            "timezone": "tz",
            "attributes": {"plan": "plan", "points": "points"},
        },
        "orders": {
            "table": "sales",
            "customer_id": "client",
            "fields": {
                **{name: ORDER_FIELDS[name] for name in ("order_id", "status", "statuses", "item")},
                "order_id": "number",
                "placed_at": "created",
                "status": "state",
                "total": "amount",
                "currency": "currency",
                "items": "lines",
                "tracking": "parcel",
                "expected_at": "eta",
            },
        },
    }
)


NOBODY = (
    *("1003", "", ".", "..", "../1001", "1001/", "1001/orders", "/1001", "1001?x=1", "1001#", "1001%00"),
    *(
        "%31001",
        "01001",
        " 1001",
        "1001 ",
        "１００１",
        "1001 OR 1=1",
        "1001' --",
        "{customer_id}",
        "{tenant}",
    ),
    *("%", "_", "*", "1001,1002", "1001;1002", "9" * 30, "x" * 2_000, "1001\r\nX: y", "1e3", "-1"),
)


@dataclass(frozen=True, slots=True)
class World:
    """`away` is the same directory where its database or CRM is not there."""

    directory: CustomerDirectory
    away: CustomerDirectory


@pytest.fixture(
    params=[
        *("careline-sqlite", "careline-postgresql", "tables-sqlite", "tables-postgresql"),
        *("crm-inside", "crm-none", "crm-link", "crm-url", "crm-cursor", "crm-number"),
    ]
)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    kind, _, variety = request.param.partition("-")
    async with AsyncExitStack() as stack:
        if kind == "crm":
            server = FaultyServer(Crm(variety))
            await stack.enter_async_context(server.listening())
            directories = []
            for base in (server.url, f"http://127.0.0.1:{free_port()}"):
                client = make_client("customers", base_url=base, timeout_seconds=5.0, tls=TLS)
                await stack.enter_async_context(client)
                directories.append(HttpCustomerDirectory(client, api(base, variety)))
            yield World(*directories)
            return
        url: str = request.getfixturevalue("sqlite_url" if variety == "sqlite" else "postgres_database")
        if kind == "careline":
            upgrade(url)
        else:
            make_shop_tables(url)
        nowhere = (
            "sqlite+aiosqlite:////nowhere/shop.db"
            if variety == "sqlite"
            else f"postgresql+psycopg://shop@127.0.0.1:{free_port()}/shop"
        )
        database, away = (
            Database(each, timeout_seconds=5.0, is_foreign=kind == "tables") for each in (url, nowhere)
        )
        stack.push_async_callback(database.close)
        stack.push_async_callback(away.close)
        if kind == "tables":
            yield World(ForeignSqlCustomerDirectory(database, SHOP), ForeignSqlCustomerDirectory(away, SHOP))
            return
        own = SqlCustomerDirectory(database)
        for customer in PEOPLE:
            await own.put_customer("default", customer)
        yield World(own, SqlCustomerDirectory(away))


def make_shop_tables(url: str) -> None:
    """A shop's tables as they are, written by somebody else; dates are text in SQLite."""
    engine = sa.create_engine(url.replace("+aiosqlite", ""))
    is_sqlite = engine.dialect.name == "sqlite"
    moment = "TEXT" if is_sqlite else "TIMESTAMPTZ"
    amount = "NUMERIC(10,2)"
    lines = "TEXT" if is_sqlite else "JSONB"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE clients (client_no INTEGER PRIMARY KEY, first_name TEXT, "Last" TEXT, mail TEXT, phone TEXT, lang TEXT,'
            " tz TEXT, plan TEXT, points INTEGER, iban TEXT)"
        )
        connection.exec_driver_sql(
            f"CREATE TABLE sales (number TEXT, client INTEGER, created {moment}, state TEXT, amount {amount}, currency TEXT, "
            f"lines {lines}, parcel TEXT, eta {moment}, margin TEXT)"
        )
        for each in PEOPLE:
            first, _, last = each.name.partition(" ")
            connection.execute(
                sa.text(
                    "INSERT INTO clients VALUES (:no, :first, :last, :mail, :phone, :lang, :tz, :plan, :points, :iban)"
                ),
                {
                    "no": int(each.customer_id),
                    "first": first,
                    "last": last or None,
                    "mail": each.email,
                    "phone": each.phone,
                    "lang": each.locale,
                    "tz": each.timezone,
                    "plan": each.attributes.get("plan"),
                    "points": each.attributes.get("points"),
                    "iban": SECRETS[2],
                },
            )
            for order in each.orders:
                foreign = as_crm_order(order)
                connection.execute(
                    sa.text(
                        "INSERT INTO sales VALUES (:n, :c, :at, :s, :sum, :cur, :lines, :parcel, :eta, :margin)"
                    ),
                    {
                        "n": order.order_id,
                        "c": int(each.customer_id),
                        "at": order.placed_at.isoformat() if is_sqlite else order.placed_at,
                        "s": foreign["state"],
                        "sum": foreign["sum"]["amount"],
                        "cur": order.currency,
                        "lines": json.dumps(foreign["lines"]),
                        "parcel": order.tracking,
                        "eta": (order.expected_at.isoformat() if is_sqlite else order.expected_at)
                        if order.expected_at
                        else None,
                        "margin": SECRETS[3],
                    },
                )
    engine.dispose()


async def test_a_customer_comes_with_every_field_and_the_newest_20_orders_newest_first(world: World) -> None:
    found = await world.directory.customer("default", ANNA.customer_id)

    assert found == msgspec.structs.replace(ANNA, orders=ANNA.orders[:20])


async def test_what_is_not_known_is_none_and_no_orders_are_none(world: World) -> None:
    found = await world.directory.customer("default", BERT.customer_id)

    assert (found.name, found.email, found.phone, found.locale, found.timezone) == (
        "Bert",
        None,
        None,
        None,
        None,
    )
    assert found.orders == ()


async def test_moments_have_a_zone(world: World) -> None:
    found = await world.directory.customer("default", ANNA.customer_id)

    assert all(order.placed_at.utcoffset() is not None for order in found.orders)


async def test_what_nobody_declared_does_not_come_along(world: World) -> None:
    found: Customer = await world.directory.customer("default", ANNA.customer_id)

    told = msgspec.json.encode(found).decode()
    assert [secret for secret in SECRETS if secret in told] == []


async def test_who_is_not_there_is_not_found_whatever_the_id_looks_like(world: World) -> None:
    for customer_id in NOBODY:
        with pytest.raises(NotFound):
            await world.directory.customer("default", customer_id)


async def test_a_customer_of_another_tenant_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.directory.customer("other", ANNA.customer_id)


async def test_a_directory_that_cannot_be_asked_says_so_and_never_that_nobody_is_there(world: World) -> None:
    with pytest.raises(DependencyUnavailable) as raised:
        await world.away.customer("default", ANNA.customer_id)

    assert raised.value.dependency == "customers"
