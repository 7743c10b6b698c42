"""A company's tables as they may be: ids of three types, tenants, and mappings that do not fit; on both databases."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import DataIntegrityFailed, DependencyUnavailable, NotFound, ToolMisconfigured
from core.lookup_settings import CustomersSql
from state.sql.advice import DatabaseNotOpened
from state.sql.engine import Database
from state.sql.foreign_customers import ForeignSqlCustomerDirectory
from state.sql.foreign_mapping import MappingDoesNotFit, check_mapping
from tests.servers import PostgresServer, free_port

ID = "0b9f3c7e-5a1d-4f60-9c55-0a4a4b8d9e01"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_database")
    return url


@asynccontextmanager
async def directory(
    url: str, id_column: str, rows: Sequence[tuple[Any, ...]], **mapping: Any
) -> AsyncIterator[ForeignSqlCustomerDirectory]:
    """Over a table `people` (id, name, shop), of which each row is given."""
    engine = sa.create_engine(url.replace("+aiosqlite", ""))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE people (id {id_column}, name TEXT, shop TEXT)")
        for row in rows:
            values = dict(zip(("id", "name", "shop"), row, strict=True))
            connection.execute(sa.text("INSERT INTO people VALUES (:id, :name, :shop)"), values)
    engine.dispose()
    database = Database(url, timeout_seconds=5.0, is_foreign=True)
    try:
        shape = {"table": "people", "customer": {"customer_id": "id", "name": "name"}} | mapping
        yield ForeignSqlCustomerDirectory(database, CustomersSql.model_validate(shape))
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("id_type", "column", "stored", "asked"),
    [
        ("text", "VARCHAR(40)", "K-7", "K-7"),
        ("text", "CHAR(10)", "K-7", "K-7"),
        ("integer", "INTEGER", 42, "42"),
        ("integer", "BIGINT", 2**40, str(2**40)),
    ],
)
async def test_ids_are_found_in_the_type_that_they_have(
    empty_url: str, id_type: str, column: str, stored: Any, asked: str
) -> None:
    async with directory(empty_url, column, [(stored, "Anna", None)], id_type=id_type) as people:
        assert (await people.customer("default", asked)).name == "Anna"


async def test_a_uuid_is_found_as_it_is_usually_written(postgres_database: str) -> None:
    async with directory(postgres_database, "UUID", [(ID, "Anna", None)], id_type="uuid") as people:
        assert (await people.customer("default", ID)).customer_id == ID
        for other in (ID.upper(), ID.replace("-", ""), "nobody"):
            with pytest.raises(NotFound):
                await people.customer("default", other)


async def test_with_a_tenant_column_everybody_has_their_own(empty_url: str) -> None:
    rows = [("1", "Anna", "acme"), ("1", "Bert", "other")]
    async with directory(empty_url, "TEXT", rows, tenant_column="shop") as people:
        await people.check()
        assert (await people.customer("acme", "1")).name == "Anna"
        assert (await people.customer("other", "1")).name == "Bert"
        with pytest.raises(NotFound):
            await people.customer("default", "1")


async def test_two_rows_for_one_customer_are_no_customer(empty_url: str) -> None:
    async with directory(empty_url, "TEXT", [("1", "Anna", None), ("1", "Eve", None)]) as people:
        with pytest.raises(DataIntegrityFailed, match="several rows"):
            await people.customer("default", "1")


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"table": "persons"}, "persons"),
        ({"table": "crm.people"}, "crm"),
        ({"customer": {"customer_id": "id", "name": "nmae"}}, "nmae"),
        ({"customer": {"customer_id": "id", "name": "Name of"}}, None),
        ({"customer": {"customer_id": "id", "name": "Nmae"}}, "Nmae"),
        ({"tenant_column": "tenant"}, "tenant"),
    ],
)
async def test_what_does_not_fit_the_database_is_named_by_the_check(
    empty_url: str, mapping: dict[str, Any], said: str | None
) -> None:
    if said is None:
        with pytest.raises(ValueError, match="make a view"):
            CustomersSql.model_validate({"table": "people"} | mapping)
        return
    async with directory(empty_url, "TEXT", [], **mapping) as people:
        with pytest.raises(ToolMisconfigured, match=said):
            await people.check()


async def test_a_type_of_id_that_is_not_the_columns_is_named_by_the_check(postgres_database: str) -> None:
    async with directory(postgres_database, "INTEGER", [], id_type="text") as people:
        with pytest.raises(ToolMisconfigured, match="operator does not exist"):
            await people.check()


COMPANY: dict[str, Any] = {
    "table": "people",
    "customer": {"customer_id": "id", "name": ["name"], "attributes": {"shop": "shop"}},
    "orders": {
        "table": "bought",
        "customer_id": "who",
        "fields": {
            "order_id": "number",
            "placed_at": "day",
            "status": "state",
            "total": "sum",
            "default_currency": "EUR",
        },
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """`COMPANY` with `customer`, `orders` or `fields` (of the orders) changed in part."""
    fields = {**COMPANY["orders"]["fields"], **changes.pop("fields", {})}
    orders = {**COMPANY["orders"], "fields": fields, **changes.pop("orders", {})}
    customer = {**COMPANY["customer"], **changes.pop("customer", {})}
    return {**COMPANY, "customer": customer, "orders": orders, **changes}


@pytest.mark.parametrize(
    ("mapping", "field", "said"),
    [
        (changed(table="persons"), "table", "persons"),
        (changed(customer={"customer_id": "nr"}), "customer.customer_id", "nr"),
        (changed(customer={"name": ["name", "nmae"]}), "customer.name.1", "nmae"),
        (changed(customer={"email": "mial"}), "customer.email", "mial"),
        (changed(customer={"attributes": {"plan": "paln"}}), "customer.attributes.plan", "paln"),
        (changed(orders={"table": "orders"}), "orders.table", "orders"),
        (changed(orders={"customer_id": "whom"}), "orders.customer_id", "whom"),
        (changed(fields={"tracking": "parcel"}), "orders.fields.tracking", "parcel"),
        (
            changed(tenant_column="shop", orders={"tenant_column": "shop"}),
            "orders.tenant_column",
            "shop",
        ),
    ],
)
async def test_the_field_that_does_not_fit_is_named_with_what_to_do(
    empty_url: str, mapping: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(MappingDoesNotFit, match=said) as wrong:
        await check(empty_url, mapping, id_column="TEXT")

    assert str(wrong.value).startswith(f"CARELINE_CUSTOMERS_SQL: {field}: ")
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in wrong.value.next_step
    assert "SELECT" not in str(wrong.value)


async def test_tables_that_are_as_declared_are_well(empty_url: str) -> None:
    await check(empty_url, COMPANY, id_column="TEXT")


async def test_a_type_of_id_that_does_not_fit_is_named_as_a_field(postgres_database: str) -> None:
    with pytest.raises(MappingDoesNotFit, match="CARELINE_CUSTOMERS_SQL: id_type: text is not"):
        await check(postgres_database, COMPANY, id_column="INTEGER")


async def test_a_right_that_is_missing_is_named_with_its_table(postgres_database: str) -> None:
    await check(postgres_database, COMPANY, id_column="TEXT")
    engine = sa.create_engine(postgres_database)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS clerk")
        connection.exec_driver_sql("CREATE ROLE clerk LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON people TO clerk")
    engine.dispose()

    with pytest.raises(MappingDoesNotFit, match=r"^CARELINE_CUSTOMERS_SQL: orders\.table: permission denied"):
        await check(postgres_database.replace("postgres@", "clerk@"), COMPANY)


async def test_a_database_that_is_away_is_not_taken_for_one_that_refuses_us(
    postgres_server: PostgresServer,
) -> None:
    with pytest.raises(DatabaseNotOpened) as refused:
        await check(postgres_server.url("nowhere"), COMPANY)
    with pytest.raises(DependencyUnavailable) as away:
        await check(f"postgresql://me@127.0.0.1:{free_port()}/shop", COMPANY)

    assert refused.value.dependency == "customers"
    assert "createdb" in refused.value.next_step
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in refused.value.next_step
    assert not isinstance(away.value, DatabaseNotOpened)


async def check(url: str, mapping: dict[str, Any], *, id_column: str | None = None) -> None:
    """With an `id_column`, the company's tables are made first."""
    if id_column is not None:
        engine = sa.create_engine(url.replace("+aiosqlite", ""))
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE people (id {id_column}, name TEXT, shop TEXT)")
            connection.exec_driver_sql(
                f"CREATE TABLE bought (number TEXT, who {id_column}, day TEXT, state TEXT, sum INTEGER)"
            )
        engine.dispose()
    database = Database(url, timeout_seconds=5.0, dependency="customers", is_foreign=True)
    try:
        declared = CustomersSql.model_validate(mapping)
        await check_mapping(database, declared, url=url, setting="CARELINE_CUSTOMERS_DATABASE_URL")
    finally:
        await database.close()


async def test_nothing_is_written_where_nothing_may_be(postgres_database: str) -> None:
    """A role that can only read one table is enough."""
    async with directory(postgres_database, "TEXT", [("1", "Anna", None)]):
        engine = sa.create_engine(postgres_database)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
            connection.exec_driver_sql("CREATE ROLE reader LOGIN")
            connection.exec_driver_sql("GRANT SELECT ON people TO reader")
        engine.dispose()
    url = postgres_database.replace("postgres@", "reader@")
    database = Database(url, timeout_seconds=5.0, is_foreign=True)
    shape = {"table": "people", "customer": {"customer_id": "id", "name": "name"}}
    people = ForeignSqlCustomerDirectory(database, CustomersSql.model_validate(shape))

    assert (await people.customer("default", "1")).name == "Anna"
    await database.close()
