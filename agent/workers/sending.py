"""
Send one promised notification at most once, keeping the rules and the ledger.

What becomes of its item, and what the customer hears, is for the outbox's loop.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from core.errors import DependencyUnavailable, ToolMisconfigured
from core.ids import new_id
from core.records import Admission, EffectRecord, Notification, OutboxItem
from core.resilience.guard import Guard
from tools.classify import fate_is_unknown
from tools.ports import EffectLedger, NotificationChannel
from tools.sending import SendingRules, guard_name

_DOUBTFUL = Admission("doubtful")


class NotificationSender:
    """`channels` by name, the usual one first. Without `rules`, whatever is due is sent."""

    def __init__(
        self,
        ledger: EffectLedger,
        channels: Mapping[str, NotificationChannel],
        guards: Mapping[str, Guard],
        rules: SendingRules | None,
    ) -> None:
        self._ledger = ledger
        self._channels = dict(channels)
        self._guards = dict(guards)
        self._rules = rules

    async def send(self, item: OutboxItem, notification: Notification) -> Admission:
        """
        `sent`, by this call or before; `wait`: it was not tried; `doubtful`: it may have gone out. Raises what the channel
        raised where nothing was sent.

        A channel does not know keys, so the ledger remembers that a sending began. One that began in an earlier life of this
        item and never ended is not begun again. Nor is one that a turn began: it was put off by another, which could not ask
        the ledger. Where the receiver drops repeats, both are.
        """
        channel = self._channel(notification)
        asked = await self._ledger.effect(item.tenant, item.key)
        if asked is not None and asked.status == "confirmed":
            return Admission("sent", reference=asked.reference)
        if (
            asked is not None
            and not channel.recognises_repeats
            and (asked.status == "unknown" or (asked.status == "intent" and not asked.is_journaled))
        ):
            return await self._in_doubt(item, notification)
        if (rules := self._rules_of(item)) is not None:
            admission = await rules.admit(item.tenant, notification)
            if admission.answer != "go":
                return admission
        return await self._begin(item, notification, channel)

    async def _begin(
        self, item: OutboxItem, notification: Notification, channel: NotificationChannel
    ) -> Admission:
        may_repeat = channel.recognises_repeats
        run = new_id("run")
        plan = EffectRecord(
            tenant=item.tenant,
            key=f"{item.key}:outbox",
            turn_id=item.key,
            step=item.attempts,
            tool="notify",
            arguments={"run": run},
        )
        begun = await self._ledger.begin_effect(plan)
        if begun.status == "confirmed":
            return await self._sent(item, notification, begun.reference)
        if not may_repeat and (
            begun.status == "unknown" or (begun.status == "intent" and begun.arguments.get("run") != run)
        ):
            return await self._in_doubt(item, notification)
        if begun.status == "failed":
            await self._ledger.finish_effect(plan)
            known = await self._ledger.effect(item.tenant, plan.key)
            if known is None or known.arguments.get("run") != run:  # a worker whose lease ran out is at it
                raise DependencyUnavailable("notifications", "another worker is at it", reason="settling")
            begun = known
        try:
            reference = await self._guard(notification).run(
                lambda: channel.send(notification), may_repeat=False, is_repeat=True
            )
        except Exception as exc:  # noted in the ledger, then raised again
            is_unknown = fate_is_unknown(exc) and not may_repeat
            status: Literal["unknown", "failed"] = "unknown" if is_unknown else "failed"
            await self._ledger.finish_effect(dataclasses.replace(begun, status=status))
            if is_unknown:
                return await self._in_doubt(item, notification)
            if (rules := self._rules_of(item)) is not None:
                await rules.settle(item.tenant, notification, "not_sent", because=exc)
            raise
        await self._ledger.finish_effect(dataclasses.replace(begun, status="confirmed", reference=reference))
        return await self._sent(item, notification, reference)

    async def _sent(self, item: OutboxItem, notification: Notification, reference: str | None) -> Admission:
        if (rules := self._rules_of(item)) is not None:
            await rules.settle(item.tenant, notification, "sent", reference=reference)
        return Admission("sent", reference=reference)

    async def _in_doubt(self, item: OutboxItem, notification: Notification) -> Admission:
        if (rules := self._rules_of(item)) is not None:
            await rules.settle(item.tenant, notification, "unknown")
        return _DOUBTFUL

    def _rules_of(self, item: OutboxItem) -> SendingRules | None:
        """They protect customers: the team is told at any hour."""
        return None if item.is_for_team else self._rules

    def _guard(self, notification: Notification) -> Guard:
        name = guard_name(notification.channel, usual=next(iter(self._channels), None))
        return self._guards.get(name, self._guards["notifications"])

    def _channel(self, notification: Notification) -> NotificationChannel:
        channel = self._channels.get(notification.channel)
        if channel is None:
            raise ToolMisconfigured("a promised notification names a channel that is not set up any more")
        return channel
