"""
A company's CRM over HTTP for the contract suite of customer directories: its shape is nothing like Careline's, and it knows more
than it should tell.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from core.lookup_settings import CustomersApi
from core.records import Customer, Order
from tests.http_faults import Answer, Asked, as_json

PAGE = 10
SECRETS = ("5f4dcc3b5aa765d61d8327deb882cf99", "pays late", "DE02120300000000202051", "margin 41")
"""What stands in the CRM's answers and in no mapping."""

_FIRST_ORDER = datetime(2026, 10, 1, 12, 30, tzinfo=UTC)


def orders_of(count: int) -> tuple[Order, ...]:
    """Newest first."""
    return tuple(
        Order(
            order_id=f"A-{n}",
            placed_at=_FIRST_ORDER + timedelta(days=n),
            status="shipped" if n % 2 else "processing",
            items=("Kettle", "Cup"),
            total_cents=1999 + n,
            currency="EUR",
            tracking=f"TR{n}" if n % 2 else None,
            expected_at=_FIRST_ORDER + timedelta(days=n + 3) if n % 2 else None,
        )
        for n in reversed(range(count))
    )


ANNA = Customer(
    customer_id="1001",
    name="Anna Müller",
    email="anna@shop.example",
    phone="+49 30 1234",
    locale="de",
    timezone="Europe/Berlin",
    attributes={"plan": "gold", "points": 120},
    orders=orders_of(25),
)
BERT = Customer(customer_id="1002", name="Bert", orders=())
PEOPLE = (ANNA, BERT)


def as_crm_customer(customer: Customer) -> dict[str, Any]:
    first, _, last = customer.name.partition(" ")
    return {
        "id": int(customer.customer_id),
        "person": {"first": first, "last": last or None},
        "contact": {"e/mail": customer.email, "phones": [customer.phone] if customer.phone else []},
        "lang": customer.locale,
        "tz": customer.timezone,
        "loyalty": {"plan": customer.attributes.get("plan"), "points": customer.attributes.get("points")},
        "password_hash": SECRETS[0],
        "internal": {"notes": SECRETS[1], "iban": SECRETS[2]},
    }


def as_crm_order(order: Order) -> dict[str, Any]:
    return {
        "number": order.order_id,
        "created": order.placed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "state": "FULFILLED" if order.status == "shipped" else order.status,
        "sum": {"amount": f"{order.total_cents / 100:.2f}", "currency": order.currency.lower()},
        "lines": [{"title": item, "calculation": SECRETS[3]} for item in order.items],
        "parcel": {"code": order.tracking} if order.tracking else None,
        "eta": order.expected_at.isoformat() if order.expected_at else None,
    }


CUSTOMER_FIELDS: Mapping[str, Any] = {
    "customer_id": "id",
    "name": ["person.first", "person.last"],
    "email": "/contact/e~1mail",
    "phone": "/contact/phones/0",
    "locale": "lang",
    "timezone": "tz",
    "attributes": {"plan": "loyalty.plan", "points": "loyalty.points"},
}
ORDER_FIELDS: Mapping[str, Any] = {
    "order_id": "number",
    "placed_at": "created",
    "status": "state",
    "statuses": {"FULFILLED": "shipped"},
    "total": "sum.amount",
    "currency": "sum.currency",
    "items": "lines",
    "item": "title",
    "tracking": "parcel.code",
    "expected_at": "eta",
}


def api(url: str, pages: str) -> CustomersApi:
    """How such a CRM is declared; `pages` is one of the ways, or `inside` the customer's answer."""
    orders: dict[str, Any] = {"list": "data", "fields": ORDER_FIELDS}
    if pages == "inside":
        orders["list"] = "orders"
    else:
        orders |= {"path": "/v2/customers/{customer_id}/orders?size=10", "pages": pages}
    match pages:
        case "url":
            orders |= {"next": "links.next", "newest_first": True}
        case "cursor":
            orders |= {"next": "meta.after", "parameter": "after"}
        case "number":
            orders |= {"parameter": "page"}
    return CustomersApi.model_validate(
        {
            "url": url,
            "path": "/v2/customers/{customer_id}?expand=all",
            "probe_path": "/v2/health",
            "record": "customer",
            "customer": CUSTOMER_FIELDS,
            "orders": orders,
        }
    )


class Crm:
    """Answers as one that turns pages in the way `pages`. Oldest orders first, but for `url`."""

    def __init__(self, pages: str) -> None:
        self._pages = pages
        self._people = {customer.customer_id: customer for customer in PEOPLE}

    def __call__(self, asked: Asked) -> Answer:
        match asked.path.split("/"):
            case ["", "v2", "health"]:
                return as_json({"ok": True})
            case ["", "v2", "customers", id] if id in self._people:
                customer = self._people[id]
                document: dict[str, Any] = {"customer": as_crm_customer(customer)}
                if self._pages == "inside":
                    document["customer"]["orders"] = [as_crm_order(order) for order in customer.orders[::-1]]
                return as_json(document)
            case ["", "v2", "customers", id, "orders"] if id in self._people:
                return self._page(asked, self._people[id].orders)
        return as_json({"error": "not found"}, status=404)

    def _page(self, asked: Asked, newest_first: Sequence[Order]) -> Answer:
        orders = newest_first if self._pages == "url" else newest_first[::-1]
        query = asked.query
        start = int(query.get("after") or (int(query.get("page", "1")) - 1) * PAGE)
        stop = start + PAGE if self._pages != "none" else len(orders)
        document: dict[str, Any] = {"data": [as_crm_order(order) for order in orders[start:stop]]}
        more = stop < len(orders)
        document["meta"] = {"after": str(stop) if more else None}
        document["links"] = {"next": f"{asked.path}?size=10&after={stop}" if more else None}
        link = f'<{asked.path}?size=10&after={stop}>; rel="next", <{asked.path}>; rel="first"' if more else ""
        return as_json(document, link=link) if self._pages == "link" and link else as_json(document)
