"""
Tool: tell the customer in this conversation what the company has on file about them and their orders.
"""

from typing import Annotated, Any, Literal

import msgspec

from core.errors import DataIntegrityFailed, NotFound, PermissionDenied
from core.records import Customer, Order
from tools.addresses import address_on_file
from tools.ports import CustomerDirectory
from tools.protocol import ToolCall, ToolResult
from tools.sending import SendingRules
from tools.sentences import result_sentence

_FIELDS = {"email": "email", "sms": "phone", "chat": "chat"}
"""Where the record has the address of each channel."""


class CustomerInfoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: Annotated[
        Literal["all", "profile", "orders"],
        msgspec.Meta(description="The contact details, the orders, or both."),
    ] = "all"
    order_id: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1, max_length=64, description="Only this one of the customer's own orders."
            ),
        ]
        | None
    ) = None


class CustomerInfo:
    name = "customer_info"
    description = (
        "Look up the account of the customer in this conversation: contact details and their newest orders. "
        "Nobody else's account can be looked up. Messages to what `undeliverable` names come back: ask for another address."
    )
    arguments = CustomerInfoArguments
    feature = "customer_info"
    dependency: str | None = "customers"
    needs_account = True
    has_effect = False

    def __init__(self, directory: CustomerDirectory, *, rules: SendingRules | None = None) -> None:
        self._directory = directory
        self._rules = rules

    async def run(self, arguments: CustomerInfoArguments, call: ToolCall) -> ToolResult:
        customer_id = call.caller.customer_id
        if customer_id is None:
            raise PermissionDenied("the caller acts for no customer", reason="permission")
        customer = await self._directory.customer(call.tenant, customer_id)
        if customer.customer_id != customer_id:
            raise DataIntegrityFailed("the directory answered with another customer")

        if arguments.order_id is not None:
            order = next((order for order in customer.orders if order.order_id == arguments.order_id), None)
            if order is None:
                raise NotFound("no such order of this customer", reason="order_not_found")
            return ToolResult(
                value={"orders": [_order(order)]}, summary=result_sentence("order_found", call.locale)
            )
        value: dict[str, Any] = {}
        if arguments.about in ("all", "profile"):
            value["profile"] = {
                **_profile(customer),
                "undeliverable": await self._undeliverable(customer, call),
            }
        if arguments.about in ("all", "orders"):
            value["orders"] = [_order(order) for order in customer.orders]
        return ToolResult(value=value, summary=result_sentence("customer_found", call.locale))

    async def _undeliverable(self, customer: Customer, call: ToolCall) -> list[str]:
        """The parts of the record that hold an address which is known not to work."""
        if self._rules is None:
            return []
        on_file = {channel: address_on_file(customer, channel) for channel in _FIELDS}
        known = {channel: address for channel, address in on_file.items() if address is not None}
        refused = await self._rules.undeliverable(call.tenant, known)
        return [name for channel, name in _FIELDS.items() if channel in refused]


def _profile(customer: Customer) -> dict[str, Any]:
    return {
        "customer_id": customer.customer_id,
        "name": customer.name,
        "email": customer.email,
        "phone": customer.phone,
        "locale": customer.locale,
        "timezone": customer.timezone,
        "attributes": customer.attributes,
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "placed_at": order.placed_at.isoformat(),
        "status": order.status,
        "items": list(order.items),
        "total_cents": order.total_cents,
        "currency": order.currency,
        "tracking": order.tracking,
        "expected_at": order.expected_at.isoformat() if order.expected_at else None,
    }
