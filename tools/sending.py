"""
The rules that every notification keeps, sent in a turn or from the outbox: no repeats, no quiet hours, no flood, and nothing to
an address that does not work.

Decides whether one may begin; the sending itself, and what the customer hears, is for its callers.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from core.clock import Clock
from core.errors import CarelineError, DependencyRejectedInput
from core.ids import derived_id
from core.notification_rules import UNLIMITED, QuietHours, SendingRate, zone_named
from core.records import Admission, Notification, recipient_of
from core.telemetry.logging import get_logger
from tools.ports import NotificationLog

_DEPENDENCY = "notifications"
_ASKED_BESIDE_SECONDS = 0.3

_log = get_logger(__name__)


def guard_name(channel: str, *, usual: str | None) -> str:
    """The usual channel's guard is that of the feature; each other channel has its own."""
    return _DEPENDENCY if channel == usual else f"{_DEPENDENCY}.{channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingPolicy:
    """
    `quiet_channels` are those that wake people. `rates` by channel, the general one under the empty name.
    `zone` is where customers are taken to be whose record does not say.
    """

    quiet_hours: QuietHours | None = None
    quiet_channels: frozenset[str] = frozenset()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    rates: Mapping[str, SendingRate] = field(default_factory=dict)
    repeat_window: timedelta = timedelta(0)


class SendingRules:
    def __init__(self, log: NotificationLog, policy: SendingPolicy, *, clock: Clock) -> None:
        self._sendings = log
        self._policy = policy
        self._clock = clock

    async def check_address(self, tenant: str, channel: str, address: str) -> None:
        """
        Raises:
            DependencyRejectedInput: `invalid_address`, the channel has said before that this one does not work.
        """
        if await self._sendings.refused_among(tenant, [recipient_of(channel, address)]):
            raise DependencyRejectedInput(
                _DEPENDENCY, "this address has been refused before", reason="invalid_address"
            )

    async def undeliverable(self, tenant: str, addresses: Mapping[str, str]) -> frozenset[str]:
        """
        The channels of those addresses that are known not to work. None where the log cannot be asked at once: nobody who wants
        something else waits for that.
        """
        recipients = {recipient_of(channel, address): channel for channel, address in addresses.items()}
        if not recipients:
            return frozenset()
        try:
            async with asyncio.timeout(_ASKED_BESIDE_SECONDS):
                refused = await self._sendings.refused_among(tenant, recipients)
        except (CarelineError, TimeoutError) as exc:
            _log.debug("notification.refusals_unknown", error=type(exc).__name__)
            return frozenset()
        return frozenset(recipients[each] for each in refused)

    async def admit(self, tenant: str, notification: Notification) -> Admission:
        """
        `go` obliges the caller to `settle`. Raises as `check_address`; DependencyError where the log cannot be asked.
        """
        now = self._clock.now().astimezone(UTC)
        await self.check_address(tenant, notification.channel, notification.address)
        policy = self._policy
        if policy.quiet_hours is not None and notification.channel in policy.quiet_channels:
            over = policy.quiet_hours.over_at(now, zone_named(notification.timezone) or policy.zone)
            if over is not None:
                return Admission("wait", (over - now).total_seconds(), why="quiet_hours")
        return await self._sendings.admit(
            tenant,
            notification.key,
            channel=notification.channel,
            recipient=recipient_of(notification.channel, notification.address),
            text=_digest(notification),
            now=now,
            repeat_window=policy.repeat_window,
            rate=policy.rates.get(notification.channel, policy.rates.get("", UNLIMITED)),
        )

    async def settle(
        self,
        tenant: str,
        notification: Notification,
        came_to: Literal["sent", "unknown", "not_sent"],
        *,
        reference: str | None = None,
        because: Exception | None = None,
    ) -> None:
        """
        Best effort: a sending that nobody has settled counts as doubtful after a while. `because` is why it was not sent;
        where that is the address, the next one is refused.
        """
        try:
            await self._sendings.settle(tenant, notification.key, came_to=came_to, reference=reference)
            if isinstance(because, DependencyRejectedInput) and because.reason == "invalid_address":
                await self.refuse(tenant, notification.channel, notification.address, reason="refused")
        except CarelineError as exc:
            _log.warning("notification.not_settled", channel=notification.channel, error=str(exc))

    async def refuse(self, tenant: str, channel: str, address: str, *, reason: str) -> None:
        await self._sendings.refuse_address(
            tenant,
            channel=channel,
            recipient=recipient_of(channel, address),
            reason=reason[:200],
            at=self._clock.now(),
        )
        _log.warning("notification.address_refused", tenant=tenant, channel=channel)


def _digest(notification: Notification) -> str:
    """Of the text as a person reads it: neither its line breaks nor its blanks make it another."""
    return derived_id("text", " ".join(notification.subject.split()), " ".join(notification.body.split()))
