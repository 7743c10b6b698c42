"""
The company's CRM over HTTP as the customer directory: only declared fields, whatever else it answers.
"""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx

from core.errors import DataIntegrityFailed, NotFound, ToolMisconfigured
from core.field_paths import value_at
from core.foreign_records import ORDERS_SHOWN, customer_of, order_of
from core.json_api import JsonApi, filled
from core.lookup_settings import CustomersApi, OrdersApi
from core.records import Customer, Order

_DOTS = frozenset({"", ".", ".."})
"""As a step of a path these are no name: the customer would be another resource."""
_LONGEST_ID = 256
_NEXT_LINK = re.compile(r"<([^>]*)>[^,<]*;\s*rel=\"?next\"?(?=[\s;,]|$)", re.IGNORECASE)


class HttpCustomerDirectory:
    """
    Implements `tools.ports.CustomerDirectory`. `client` has the credentials and the limits.

    A lookup is one request for the customer and, where orders have a path of their own, one for each of their pages: as many as
    the newest 20 need where the CRM sorts them, else all.
    """

    def __init__(
        self, client: httpx.AsyncClient, api: CustomersApi, *, dependency: str = "customers"
    ) -> None:
        self._json = JsonApi(client, dependency)
        self._api = api
        self._dependency = dependency

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        """
        Raises, besides what the port says:
            RateLimited, DependencyError: as the CRM answers.
            DataIntegrityFailed: an answer that the mapping does not fit, or about another customer.
            ToolMisconfigured: orders cannot be found, or are more than can be sorted here.
        """
        if not self._api.serves(tenant) or customer_id in _DOTS or len(customer_id) > _LONGEST_ID:
            raise NotFound(f"no customer {customer_id}")
        where = {"tenant": tenant, "customer_id": customer_id}
        answer, _ = await self._json.ask("GET", filled(self._api.path, **where))
        record = value_at(answer, self._api.record)
        if record is None:
            raise NotFound(f"no customer {customer_id}")
        if not isinstance(record, dict):
            raise self._unexpected("the customer is no object")
        found = customer_of(
            self._dependency,
            self._api.customer,
            partial(value_at, record),
            orders=[order async for order in self._orders(self._api.orders, record, where)]
            if self._api.orders is not None
            else (),
        )
        if found.customer_id != customer_id:
            raise DataIntegrityFailed(f"{self._dependency}: answered about another customer")
        return found

    async def probe(self) -> None:
        """
        Raises:
            CarelineError: it does not serve us.
        """
        if self._api.probe_path is not None:
            await self._json.probe(self._api.probe_path)

    async def _orders(self, orders: OrdersApi, record: Any, where: dict[str, str]) -> AsyncIterator[Order]:
        told = 0
        async for entry in self._entries(orders, record, where):
            if not isinstance(entry, dict):
                raise self._unexpected("an order is no object")
            yield order_of(self._dependency, orders.fields, partial(value_at, entry))
            told += 1
            if orders.newest_first and told == ORDERS_SHOWN:
                return

    async def _entries(self, orders: OrdersApi, record: Any, where: dict[str, str]) -> AsyncIterator[Any]:
        if orders.path is None:
            for entry in self._list(orders, record):
                yield entry
            return
        first = filled(orders.path, **where)
        path: str | None = (
            first
            if orders.parameter is None or orders.pages != "number"
            else _with(first, orders.parameter, "1")
        )
        seen = set()
        for page in range(1, orders.most_pages + 1):
            if path is None:
                return
            if path in seen:
                raise self._unexpected("its pages lead in a circle")
            seen.add(path)
            try:
                answer, response = await self._json.ask("GET", path)
            except NotFound as missing:
                if orders.none_is_404 and page == 1:
                    return
                raise ToolMisconfigured(
                    f"{self._dependency}: orders.path answers 404; set orders.none_is_404 if that means none"
                ) from missing
            entries = self._list(orders, answer)
            for entry in entries:
                yield entry
            path = self._next(orders, answer, response, first=first, page=page, is_empty=not entries)
        if path is not None:
            raise ToolMisconfigured(
                f"{self._dependency}: more than {orders.most_pages} pages of orders; let the CRM sort them and set "
                "orders.newest_first, or raise orders.most_pages"
            )

    def _list(self, orders: OrdersApi, answer: Any) -> list[Any]:
        entries = value_at(answer, orders.list)
        if not isinstance(entries, list):
            raise self._unexpected(f"orders.list ({orders.list or 'the answer'}) is no list")
        return entries

    def _next(
        self,
        orders: OrdersApi,
        answer: Any,
        response: httpx.Response,
        *,
        first: str,
        page: int,
        is_empty: bool,
    ) -> str | None:
        match orders.pages:
            case "link":
                link = _NEXT_LINK.search(response.headers.get("link", ""))
                return None if link is None else self._json.absolute(link[1], response.url)
            case "url":
                url = self._next_value(orders, answer)
                return None if url is None else self._json.absolute(url, response.url)
            case "cursor":
                cursor = self._next_value(orders, answer)
                return None if cursor is None else _with(first, orders.parameter or "", cursor)
            case "number":
                return None if is_empty else _with(first, orders.parameter or "", str(page + 1))
            case "none":
                return None

    def _next_value(self, orders: OrdersApi, answer: Any) -> str | None:
        value = value_at(answer, orders.next or "")
        if value is None or value is False or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self._unexpected(f"orders.next ({orders.next}) is neither text nor a number")
        return str(value)

    def _unexpected(self, what: str) -> DataIntegrityFailed:
        return DataIntegrityFailed(f"{self._dependency}: {what}", reason="unexpected_answer")


def _with(path: str, parameter: str, value: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{httpx.QueryParams({parameter: value})}"
