"""
Find in a text what belongs to one customer: addresses, numbers, names, orders. Whose it is is told with it.

Values are compared by their words, and numbers by their digits, so that other spaces, dots or capitals do not hide them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.records import Customer

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d[\d ()./-]{4,26}\d")
_FEWEST_DIGITS = 7
_SHORTEST = 5
_MOST_OWNERS = 3
"""A value that more customers have tells nobody apart: a city, a plan, a frequent name."""

Words = tuple[str, ...]


class PrivateValues:
    """What each customer of a directory has for himself; memory grows with the customers."""

    def __init__(self, customers: Iterable[Customer] = ()) -> None:
        self._owners: dict[Words, set[str]] = {}
        self._by_first: dict[str, set[Words]] = {}
        self._numbers: dict[str, set[str]] = {}
        for customer in customers:
            self.add(customer)

    def add(self, customer: Customer) -> None:
        for value in _distinctive(customer):
            words = _words(value)
            if words:
                self._owners.setdefault(words, set()).add(customer.customer_id)
                self._by_first.setdefault(words[0], set()).add(words)
        if customer.phone is not None and len(digits := _digits(customer.phone)) >= _FEWEST_DIGITS:
            self._numbers.setdefault(digits, set()).add(customer.customer_id)

    def of_others(self, text: str, customer_id: str | None) -> Iterator[tuple[str, str]]:
        """Each value that stands in `text` and is not this customer's, with one whose it is."""
        words = _words(text)
        position = 0
        while position < len(words):
            value = self._longest_at(words, position)
            if value:
                yield from _told(" ".join(value), self._owners[value], customer_id)
            position += len(value) or 1
        for match in _NUMBER.finditer(text):
            digits = _digits(match[0])
            yield from _told(digits, self._numbers.get(digits, set()), customer_id)

    def _longest_at(self, words: Words, position: int) -> Words:
        """A name may be part of an address; then it is the address that was told."""
        fitting = (
            value
            for value in self._by_first.get(words[position], ())
            if words[position : position + len(value)] == value
        )
        return max(fitting, key=len, default=())


def _told(value: str, owners: set[str], customer_id: str | None) -> Iterator[tuple[str, str]]:
    if owners and customer_id not in owners and len(owners) <= _MOST_OWNERS:
        yield value, min(owners)


def _distinctive(customer: Customer) -> Iterator[str]:
    if len(_words(customer.name)) > 1:
        yield customer.name
    if customer.email is not None:
        yield customer.email
    for order in customer.orders:
        yield from (
            value for value in (order.order_id, order.tracking) if value is not None and _is_an_id(value)
        )
    yield from (value for value in _texts(customer.attributes) if _is_an_id(value) or "@" in value)


def _is_an_id(value: str) -> bool:
    """A number or code, or a line with a house number; no date and no plain word."""
    return (
        len(value) >= _SHORTEST
        and any(letter.isdigit() for letter in value)
        and not re.fullmatch(r"\d{4}-\d\d-\d\d.*|[\d.,: ]{1,6}", value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _words(text: str) -> Words:
    return tuple(_WORD.findall(text.casefold()))


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())
