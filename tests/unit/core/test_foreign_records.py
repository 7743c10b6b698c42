"""Other systems' money, dates and names become ours exactly, or not at all."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataIntegrityFailed
from core.field_paths import steps_of, value_at
from core.foreign_records import customer_of, order_of
from core.lookup_settings import CustomerFields, OrderFields
from core.records import Customer, Order

FIELDS = {"order_id": "id", "placed_at": "at", "status": "status", "total": "total", "currency": "cur"}
RECORD = {"id": 7, "at": "2026-11-20T10:00:00Z", "status": "open", "total": "12.50", "cur": "EUR"}


def order(record: dict[str, Any] | None = None, **fields: Any) -> Order:
    mapping = OrderFields.model_validate(FIELDS | fields)
    return order_of("crm", mapping, partial(value_at, RECORD | (record or {})))


def customer(record: dict[str, Any], **fields: Any) -> Customer:
    mapping = CustomerFields.model_validate({"customer_id": "id", "name": "name"} | fields)
    return customer_of("crm", mapping, partial(value_at, {"id": "1", "name": "Anna"} | record))


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.b.0", ("a", "b", "0")),
        ("/a/b.c", ("a", "b.c")),
        ("/a~1b/~0c/0", ("a/b", "~c", "0")),
        ("/", ("",)),
        ("", ()),
    ],
)
def test_a_path_is_a_pointer_or_dotted_names(path: str, steps: tuple[str, ...]) -> None:
    assert tuple(steps_of(path)) == steps


@pytest.mark.parametrize("path", [".", "a..b", ".a", "a.", "a. b", "/a~2", "/~"])
def test_a_path_that_is_neither_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"~|path"):
        steps_of(path)


@pytest.mark.parametrize("path", ["x", "a.x", "a.b.c", "l.2", "l.-1", "l.1_0", "l.x", "n.x", "s.0", "l.²"])
def test_where_there_is_nothing_there_is_none(path: str) -> None:
    assert value_at({"a": {"b": 1}, "l": [1, 2], "n": None, "s": "text"}, path) is None


@pytest.mark.parametrize(
    ("total", "currency", "money", "cents"),
    [
        ("12.50", "EUR", "decimal", 1250),
        ("12.5", "EUR", "decimal", 1250),
        (" 12 ", "EUR", "decimal", 1200),
        (12, "EUR", "decimal", 1200),
        (Decimal("0.29"), "EUR", "decimal", 29),
        (0.29, "EUR", "decimal", 29),
        ("1.005", "EUR", "decimal", 101),
        ("-3.10", "EUR", "decimal", -310),
        (1250, "EUR", "minor_units", 1250),
        ("1250", "usd", "minor_units", 1250),
        (1200, "JPY", "decimal", 120_000),
        (1200, "JPY", "minor_units", 120_000),
        (1234, "KWD", "minor_units", 123),
        ("1.234", "KWD", "decimal", 123),
    ],
)
def test_money_is_hundredths_of_the_unit(total: Any, currency: str, money: str, cents: int) -> None:
    found = order({"total": total, "cur": currency}, money=money)

    assert (found.total_cents, found.currency) == (cents, currency.upper())


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_no_cent_is_lost_on_the_way(cents: int) -> None:
    written = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"

    assert order({"total": written}).total_cents == cents
    assert order({"total": Decimal(written)}).total_cents == cents
    assert order({"total": cents}, money="minor_units").total_cents == cents


@pytest.mark.parametrize(
    "total", [None, "", "12,50", "€ 12", "1 000", "inf", "nan", True, [1], {"v": 1}, "1e30"]
)
def test_what_is_no_amount_is_refused(total: Any) -> None:
    with pytest.raises(DataIntegrityFailed, match=r"crm: total \(total\)"):
        order({"total": total})


def test_a_fraction_of_a_cent_is_not_in_minor_units() -> None:
    with pytest.raises(DataIntegrityFailed, match="minor units"):
        order({"total": "12.50"}, money="minor_units")


@pytest.mark.parametrize(
    ("at", "how", "moment"),
    [
        ("2026-11-20T10:00:00Z", {}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T10:00:00+02:00", {}, datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ("2026-11-20 10:00:00", {}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T10:00", {"naive_dates_in": "Europe/Berlin"}, datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-07-20", {"naive_dates_in": "Europe/Berlin"}, datetime(2026, 7, 19, 22, tzinfo=UTC)),
        (1_763_632_800, {"dates": "seconds"}, datetime(2025, 11, 20, 10, tzinfo=UTC)),
        ("1763632800.5", {"dates": "seconds"}, datetime(2025, 11, 20, 10, 0, 0, 500_000, tzinfo=UTC)),
        (1_763_632_800_000, {"dates": "milliseconds"}, datetime(2025, 11, 20, 10, tzinfo=UTC)),
        (date(2026, 11, 20), {}, datetime(2026, 11, 20, tzinfo=UTC)),
        (datetime(2026, 11, 20, 10), {"naive_dates_in": "Asia/Tokyo"}, datetime(2026, 11, 20, 1, tzinfo=UTC)),  # noqa: DTZ001
    ],
)
def test_every_date_gets_its_zone(at: Any, how: dict[str, str], moment: datetime) -> None:
    assert order({"at": at}, **how).placed_at == moment


@pytest.mark.parametrize(
    ("at", "how"),
    [
        ("20.11.2026", "iso"),
        (5, "iso"),
        ([2026], "iso"),
        ("soon", "seconds"),
        (10**20, "seconds"),
        (True, "seconds"),
        (float("nan"), "milliseconds"),
        ("0001-01-01T00:00:00+14:00", "iso"),
    ],
)
def test_what_is_no_date_is_refused(at: Any, how: str) -> None:
    with pytest.raises(DataIntegrityFailed, match=r"crm: placed_at \(at\)"):
        order({"at": at}, dates=how)


@pytest.mark.parametrize(
    ("items", "item", "names"),
    [
        (["Kettle", "Cup"], None, ("Kettle", "Cup")),
        ([{"p": {"t": "Kettle"}}], "p.t", ("Kettle",)),
        ('[{"t": "Kettle"}]', "t", ("Kettle",)),
        ("Kettle", None, ("Kettle",)),
        ("[not json", None, ("[not json",)),
        (None, None, ()),
        ([], None, ()),
        (["x"] * 60, None, ("x",) * 50),
    ],
)
def test_items_are_names(items: Any, item: str | None, names: tuple[str, ...]) -> None:
    assert order({"lines": items}, items="lines", item=item).items == names


def test_a_status_is_translated_where_that_is_declared() -> None:
    assert order({"status": "F"}, statuses={"F": "shipped"}).status == "shipped"
    assert order({"status": "new"}, statuses={"F": "shipped"}).status == "new"


def test_a_currency_that_no_order_names_is_the_declared_one() -> None:
    assert order({"cur": None}, default_currency="CHF").currency == "CHF"
    assert order(currency=None, default_currency="CHF").currency == "CHF"


def test_a_name_is_put_together_from_what_is_there() -> None:
    names = ["first", "middle", "last"]

    assert customer({"first": "Anna", "last": " Müller "}, name=names).name == "Anna Müller"
    with pytest.raises(DataIntegrityFailed, match=r"name .* is missing"):
        customer({"first": "", "last": None}, name=names)


def test_a_time_zone_that_does_not_exist_is_none() -> None:
    assert customer({"tz": "Europe/Berlin"}, timezone="tz").timezone == "Europe/Berlin"
    assert customer({"tz": "Berlin"}, timezone="tz").timezone is None
    assert customer({"tz": "../../etc/passwd"}, timezone="tz").timezone is None


def test_attributes_are_plain_values_or_lists_of_them() -> None:
    record = {"a": 1, "b": [True, "x", Decimal("2.5")], "c": Decimal(3), "d": None}

    found = customer(record, attributes={name: name for name in record})

    assert found.attributes == {"a": 1, "b": [True, "x", 2.5], "c": 3, "d": None}


@pytest.mark.parametrize("value", [{"secret": 1}, [{"secret": 1}], [[1]]])
def test_an_attribute_brings_nothing_along_that_was_not_declared(value: Any) -> None:
    with pytest.raises(DataIntegrityFailed, match=r"attributes\.plan \(plan\) is no plain value"):
        customer({"plan": value}, attributes={"plan": "plan"})
