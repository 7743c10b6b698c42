"""
Tool: send the customer in this conversation a message outside of it, to the address that the company has on
file.

No argument names an address: whoever steers the model can then write to nobody else.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

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
from core.records import Notification, OutboxItem, OutboxKind, recipient_of
from core.resilience.guard import Guard
from tools.addresses import address_on_file
from tools.classify import fate_is_unknown
from tools.ports import CustomerDirectory, NotificationChannel
from tools.protocol import ToolCall, ToolResult
from tools.questions import question
from tools.sending import SendingRules, guard_name
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
    asks_first = False
    is_repeatable = False

    def __init__(
        self,
        directory: CustomerDirectory,
        channels: Mapping[str, NotificationChannel],
        *,
        directory_guard: Guard,
        rules: SendingRules | None = None,
    ) -> None:
        self._directory = directory
        self._channels = dict(channels)
        self._directory_guard = directory_guard
        self._rules = rules

    def guard_of(self, intent: Notification) -> str:
        return guard_name(intent.channel, usual=next(iter(self._channels), None))

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        if not isinstance(arguments, NotifyArguments):
            raise TypeError("arguments of another tool")
        return question("notify", locale, subject=arguments.subject, body=arguments.body)

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
        address = address_on_file(customer, channel.name)
        if address is None or not channel.is_valid_address(address):
            raise DependencyRejectedInput(
                "notifications", "the address on file cannot be written to", reason="invalid_address"
            )
        return Notification(
            key=call.key,
            channel=channel.name,
            address=address,
            subject=" ".join(arguments.subject.split()),
            body=arguments.body,
            timezone=customer.timezone,
        )

    async def carry_out(self, intent: Notification, call: ToolCall) -> ToolResult:
        channel = self._channel(intent.channel)
        if self._rules is not None:
            admission = await self._rules.admit(call.tenant, intent)
            match admission.answer:
                case "wait":
                    waits = "notification_waits"
                    sentence = f"{waits}_for_day" if admission.why == "quiet_hours" else waits
                    return replace(self._promise(intent, call, sentence=sentence), degraded=())
                case "sent":
                    return self._sent(intent, call, admission.reference, sentence="notification_sent_before")
                case "doubtful":
                    return self.unsure(intent, call)
        try:
            message_id = await channel.send(intent)
        except Exception as exc:  # noted in the log of sendings, then raised again
            if self._rules is not None:
                came_to: Literal["unknown", "not_sent"] = "unknown" if fate_is_unknown(exc) else "not_sent"
                await self._rules.settle(call.tenant, intent, came_to, because=exc)
            raise
        if self._rules is not None:
            await self._rules.settle(call.tenant, intent, "sent", reference=message_id)
        return self._sent(intent, call, message_id, sentence="notification_sent")

    @staticmethod
    def _sent(intent: Notification, call: ToolCall, message_id: str | None, *, sentence: str) -> ToolResult:
        receipt = receipt_for(intent.key)
        return ToolResult(
            # The channel's own id is for whoever looks a message up; a customer could do nothing with it.
            value={
                "receipt": receipt,
                "channel": intent.channel,
                "status": "sent",
                "message_id": message_id,
            },
            summary=result_sentence(sentence, call.locale),
            receipt=receipt,
        )

    def put_off(self, intent: Notification, call: ToolCall) -> ToolResult:
        return self._promise(intent, call, sentence="notification_queued")

    @staticmethod
    def _promise(intent: Notification, call: ToolCall, *, sentence: str) -> ToolResult:
        receipt = receipt_for(intent.key)
        return ToolResult(
            value={"receipt": receipt, "channel": intent.channel, "status": "queued"},
            summary=result_sentence(sentence, call.locale, receipt=receipt),
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
                    recipient=recipient_of(intent.channel, intent.address),
                ),
            ),
            degraded=(("notifications", "notifications"),),
        )

    def unsure(self, intent: Notification, call: ToolCall) -> ToolResult:
        known = self._channels.get(intent.channel)
        if known is not None and known.recognises_repeats:
            return self.put_off(intent, call)  # at least once: whoever gets it twice drops one
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
