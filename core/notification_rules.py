"""
When a notification may go out: quiet hours on the customer's own clock, and a rate for each channel.

Plain calculations about instants; `tools.sending` asks them, `state.sql.notifications` keeps the slots.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_RATE = re.compile(r"(?:(email|sms|chat|webhook)=)?(0|([1-9]\d{0,6})/(second|minute|hour|day))")
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_BURST_SECONDS = 10
"""A channel that was idle may send at once what its rate allows in so long a time."""
_LOOK_AHEAD = timedelta(seconds=30)
"""What is begun just before the quiet hours would arrive in them."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` up to and without `end`, on the customer's clock; over midnight where `start` is the later one."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """
        From `21:00-08:00`.

        Raises:
            ValueError: with what it should look like.
        """
        found = _HOURS.fullmatch(text.strip())
        if found is None or found.groups()[:2] == found.groups()[2:]:
            raise ValueError("must be two different times of the day, like 21:00-08:00")
        start_hour, start_minute, end_hour, end_minute = map(int, found.groups())
        return cls(time(start_hour, start_minute), time(end_hour, end_minute))

    def contain(self, at: datetime, zone: ZoneInfo) -> bool:
        clock = at.astimezone(zone).time()
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def over_at(self, at: datetime, zone: ZoneInfo) -> datetime | None:
        """
        The first instant that is not quiet any more; None where something that begins at `at` disturbs nobody.

        Where clocks are changed, the hour that comes twice is quiet twice, and an end that a clock skips is
        the moment after the gap.
        """
        now = at.astimezone(UTC)
        if not self.contain(now, zone) and not self.contain(now + _LOOK_AHEAD, zone):
            return None
        today = now.astimezone(zone).date()
        ends = (
            datetime.combine(today + timedelta(days=days), self.end, tzinfo=zone)
            .replace(fold=fold)
            .astimezone(UTC)
            for days in range(-1, 3)
            for fold in (0, 1)
        )
        return min(end for end in ends if end > now and not self.contain(end, zone))


@dataclass(frozen=True, slots=True)
class SendingRate:
    """One sending each `interval_seconds` on average, and `burst` of them at once after a rest. 0: as many as there are."""

    interval_seconds: float
    burst: int = 1


UNLIMITED = SendingRate(0.0)


def parse_rates(text: str) -> Mapping[str, SendingRate]:
    """
    From `60/minute` for every channel, or with channels of their own: `120/minute,sms=1/second`. The general
    one stands under the empty name; `0` lifts a limit.

    Raises:
        ValueError: with what it should look like.
    """
    rates = {"": UNLIMITED}
    for part in filter(None, (each.strip() for each in text.split(","))):
        found = _RATE.fullmatch(part)
        if found is None:
            raise ValueError(
                "must be a number per second, minute, hour or day, like 60/minute, or for one channel (email, sms, chat, "
                "webhook), like sms=1/second; separated by commas; 0 lifts it"
            )
        channel, whole, number, unit = found.groups()
        if whole == "0":
            rates[channel or ""] = UNLIMITED
            continue
        interval = _UNIT_SECONDS[unit] / int(number)
        rates[channel or ""] = SendingRate(interval, max(1, int(_BURST_SECONDS / interval)))
    return rates


def zone_named(name: str | None) -> ZoneInfo | None:
    """None where there is no such zone; customer records hold all kinds of names."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
