"""
Make a customer and orders of ours from another system's record, by a declared mapping.

Money becomes hundredths of the currency's unit, dates get a zone. What does not fit is named by field and path, never by value.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from core.errors import DataIntegrityFailed
from core.field_paths import value_at
from core.lookup_settings import CustomerFields, OrderFields
from core.records import Customer, Order

ORDERS_SHOWN = 20

Read = Callable[[str], Any]
"""The value at a path of one record; None where there is none."""

_DIGITS: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""ISO 4217's minor units where they are not hundredths."""
_LARGEST_CENTS = 10**15
_MOST_ITEMS = 50


@dataclass(frozen=True, slots=True)
class _Reader:
    dependency: str
    read: Read

    def wrong(self, field: str, path: str, what: str) -> DataIntegrityFailed:
        return DataIntegrityFailed(f"{self.dependency}: {field} ({path}) {what}", reason="unexpected_answer")

    def text(self, field: str, path: str) -> str:
        found = self.optional_text(field, path)
        if not found:
            raise self.wrong(field, path, "is missing")
        return found

    def optional_text(self, field: str, path: str | None) -> str | None:
        """Numbers count as text, since ids often are; true and false do not."""
        if path is None or (value := self.read(path)) is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal | float | UUID):
            raise self.wrong(field, path, "is no text")
        return str(value).strip() or None

    def moment(self, field: str, path: str, how: OrderFields) -> datetime | None:
        value = self.read(path)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, datetime):
                found = value
            elif isinstance(value, date):
                found = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone comes below
            elif how.dates == "iso":
                found = datetime.fromisoformat(value)
            elif isinstance(value, bool):
                raise TypeError
            else:
                found = datetime.fromtimestamp(
                    float(value) / (1000 if how.dates == "milliseconds" else 1), tz=UTC
                )
        except (TypeError, ValueError, OverflowError, OSError):
            raise self.wrong(field, path, f"is no date ({how.dates})") from None
        if found.tzinfo is None:
            found = found.replace(tzinfo=ZoneInfo(how.naive_dates_in))
        try:
            return found.astimezone(UTC)
        except OverflowError:
            raise self.wrong(field, path, "is no date that a calendar has") from None

    def cents(self, field: str, path: str, how: OrderFields, currency: str) -> int:
        value = self.read(path)
        if value is None:
            raise self.wrong(field, path, "is missing")
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise self.wrong(field, path, "is no amount")
        try:
            amount = Decimal(str(value).strip())
        except InvalidOperation:
            raise self.wrong(field, path, "is no amount like 12.50") from None
        if not amount.is_finite() or abs(amount) > _LARGEST_CENTS:
            raise self.wrong(field, path, "is no amount that can be")
        digits = _DIGITS.get(currency, 2)
        if how.money == "minor_units":
            if amount != amount.to_integral_value():
                raise self.wrong(field, path, "is not in minor units")
            amount = amount.scaleb(-digits)
        return int((amount * 100).to_integral_value(ROUND_HALF_UP))

    def attribute(self, name: str, path: str) -> Any:
        """Plain values and lists of them. An object is refused: what is in it has not been declared."""
        value = self.read(path)
        if isinstance(value, list):
            return [self._plain(name, path, each) for each in value]
        return self._plain(name, path, value)

    def _plain(self, name: str, path: str, value: Any) -> Any:
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, UUID):
            return str(value)
        raise self.wrong(f"attributes.{name}", path, "is no plain value: declare the fields in it one by one")


def customer_of(
    dependency: str, fields: CustomerFields, read: Read, *, orders: Iterable[Order] = ()
) -> Customer:
    """
    With the newest 20 of `orders`, newest first.

    Raises:
        DataIntegrityFailed: a field that must be there is not, or is of another kind.
    """
    record = _Reader(dependency, read)
    names = [part for path in fields.names if (part := record.optional_text("name", path))]
    if not names:
        raise record.wrong("name", ", ".join(fields.names), "is missing")
    zone = record.optional_text("timezone", fields.timezone)
    return Customer(
        customer_id=record.text("customer_id", fields.customer_id),
        name=" ".join(names),
        email=record.optional_text("email", fields.email),
        phone=record.optional_text("phone", fields.phone),
        locale=record.optional_text("locale", fields.locale),
        timezone=zone if zone in _zones() else None,
        attributes={name: record.attribute(name, path) for name, path in fields.attributes.items()},
        orders=tuple(sorted(orders, key=lambda order: order.placed_at, reverse=True)[:ORDERS_SHOWN]),
    )


def order_of(dependency: str, fields: OrderFields, read: Read) -> Order:
    """
    Raises:
        DataIntegrityFailed: a field that must be there is not, or is of another kind.
    """
    record = _Reader(dependency, read)
    status = record.text("status", fields.status)
    currency = record.optional_text("currency", fields.currency) or fields.default_currency
    if currency is None or not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise record.wrong("currency", fields.currency or "default_currency", "is no currency code")
    placed_at = record.moment("placed_at", fields.placed_at, fields)
    if placed_at is None:
        raise record.wrong("placed_at", fields.placed_at, "is missing")
    return Order(
        order_id=record.text("order_id", fields.order_id),
        placed_at=placed_at,
        status=fields.statuses.get(status, status),
        items=_items(record, fields),
        total_cents=record.cents("total", fields.total, fields, currency.upper()),
        currency=currency.upper(),
        tracking=record.optional_text("tracking", fields.tracking),
        expected_at=record.moment("expected_at", fields.expected_at, fields) if fields.expected_at else None,
    )


def _items(record: _Reader, fields: OrderFields) -> tuple[str, ...]:
    if fields.items is None:
        return ()
    found = record.read(fields.items)
    if isinstance(found, str):  # a column of text, perhaps with JSON in it
        try:
            found = msgspec.json.decode(found) if found.lstrip().startswith("[") else [found]
        except msgspec.DecodeError:
            found = [found]
    if found is None:
        return ()
    if not isinstance(found, Sequence):
        raise record.wrong("items", fields.items, "is no list")
    names = [value_at(each, fields.item) if fields.item is not None else each for each in found]
    if not all(isinstance(name, str) for name in names):
        raise record.wrong(
            "items", f"{fields.items}, {fields.item or 'item is not set'}", "is no list of names"
        )
    return tuple(names[:_MOST_ITEMS])


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
