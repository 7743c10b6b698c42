"""
Tool: send the customer in this conversation a message outside of it, to the address that the company has on
file.

No argument names an address: whoever steers the model can then write to nobody else.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from core.errors import (
    DataIntegrityFailed,
    DependencyRejectedInput,
    FieldError,
    PermissionDenied,
    ValidationFailed,
)
from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import Notification, OutboxItem, OutboxKind
from core.resilience.guard import Guard
from tools.ports import CustomerDirectory, NotificationChannel
from tools.protocol import ToolCall, ToolResult
from tools.sentences import result_sentence


class NotifyArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subject: Annotated[
        str, msgspec.Meta(min_length=1, max_length=150, description="The message's subject line.")
    ]
    body: Annotated[
        str, msgspec.Meta(min_length=1, max_length=5000, description="The message, as plain text.")
    ]
    channel: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=30,
                description="How to send it, e.g. `email`; left out: the usual way.",
            ),
        ]
        | None
    ) = None


class Notify:
    """
    `channels` by name, the usual one first. `directory_guard` guards the lookup of the address, not the
    sending.
    """

    name = "notify"
    description = (
        "Send the customer in this conversation a message to the address on file. "
        "Nobody else can be written to."
    )
    arguments = NotifyArguments
    intent = Notification
    feature = "notifications"
    dependency: str | None = "notifications"
    needs_account = True
    has_effect = True
    is_repeatable = False

    def __init__(
        self,
        directory: CustomerDirectory,
        channels: Mapping[str, NotificationChannel],
        *,
        directory_guard: Guard,
    ) -> None:
        self._directory = directory
        self._channels = dict(channels)
        self._directory_guard = directory_guard

    async def plan(self, arguments: NotifyArguments, call: ToolCall) -> Notification:
        customer_id = call.caller.customer_id
        if customer_id is None:
            raise PermissionDenied("the caller acts for no customer", reason="permission")
        channel = self._channel(arguments.channel)
        customer = await self._directory_guard.run(
            lambda: self._directory.customer(call.tenant, customer_id), deadline=call.deadline
        )
        if customer.customer_id != customer_id:
            raise DataIntegrityFailed("the directory answered with another customer")
        if customer.email is None or not channel.is_valid_address(customer.email):
            raise DependencyRejectedInput(
                "notifications", "the address on file cannot be written to", reason="invalid_address"
            )
        return Notification(
            key=call.key,
            channel=channel.name,
            address=customer.email,
            subject=" ".join(arguments.subject.split()),
            body=arguments.body,
        )

    async def carry_out(self, intent: Notification, call: ToolCall) -> ToolResult:
        message_id = await self._channel(intent.channel).send(intent)
        receipt = receipt_for(intent.key)
        return ToolResult(
            # The channel's own id is for whoever looks a message up; a customer could do nothing with it.
            value={
                "receipt": receipt,
                "channel": intent.channel,
                "status": "sent",
                "message_id": message_id,
            },
            summary=result_sentence("notification_sent", call.locale),
            receipt=receipt,
        )

    def put_off(self, intent: Notification, call: ToolCall) -> ToolResult:
        receipt = receipt_for(intent.key)
        return ToolResult(
            value={"receipt": receipt, "channel": intent.channel, "status": "queued"},
            summary=result_sentence("notification_queued", call.locale, receipt=receipt),
            status=ActionStatus.QUEUED,
            receipt=receipt,
            outbox=(
                OutboxItem(
                    key=intent.key,
                    kind=OutboxKind.NOTIFICATION,
                    tenant=call.tenant,
                    conversation_id=call.conversation_id,
                    payload=msgspec.to_builtins(intent),
                    locale=call.locale,
                ),
            ),
            degraded=(("notifications", "notifications"),),
        )

    def unsure(self, intent: Notification, call: ToolCall) -> ToolResult:
        receipt = receipt_for(intent.key)
        return ToolResult(
            value={"receipt": receipt, "channel": intent.channel, "status": "unknown"},
            summary=result_sentence("notification_unknown", call.locale, receipt=receipt),
            status=ActionStatus.UNKNOWN,
            receipt=receipt,
            reason="fate_unknown",
            degraded=(("notifications", "notifications"),),
        )

    def _channel(self, name: str | None) -> NotificationChannel:
        usual = next(iter(self._channels), None)
        channel = self._channels.get(name or usual or "")
        if channel is None:
            known = ", ".join(sorted(self._channels))
            raise ValidationFailed(
                "no such channel",
                fields=(FieldError(("arguments", "channel"), f"must be one of: {known}", "value_error"),),
                reason="unknown_channel",
            )
        return channel
