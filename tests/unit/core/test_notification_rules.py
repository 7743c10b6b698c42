"""Claims about the clock: quiet hours where the customer lives, also when clocks are changed, and rates as they are written."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.notification_rules import UNLIMITED, QuietHours, SendingRate, parse_rates, zone_named

NIGHT = QuietHours.parse("21:00-08:00")
MADRID = ZoneInfo("Europe/Madrid")
EARLIEST, LATEST, A_DAY_IS_MISSING = (
    datetime.fromisoformat(day) for day in ("2000-01-01", "2090-01-01", "2011-12-29T12:00")
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "at", "over_at"),
    [
        ("Europe/Madrid", "2026-11-22T12:00", None),
        ("Europe/Madrid", "2026-11-22T19:59:29", None),
        ("Europe/Madrid", "2026-11-22T19:59:45", "2026-11-23T07:00"),  # it would arrive in the quiet hours
        ("Europe/Madrid", "2026-11-22T20:00", "2026-11-23T07:00"),
        ("Europe/Madrid", "2026-11-23T06:59:59", "2026-11-23T07:00"),
        ("Europe/Madrid", "2026-11-23T07:00", None),
        ("America/Los_Angeles", "2026-11-22T12:00", "2026-11-22T16:00"),
        ("Asia/Kathmandu", "2026-11-22T15:20", "2026-11-23T02:15"),  # 5:45 ahead
        # The night in which clocks go forward is an hour shorter, the one in which they go back an hour longer.
        ("Europe/Madrid", "2026-03-28T20:00", "2026-03-29T06:00"),
        ("Europe/Madrid", "2026-10-24T20:00", "2026-10-25T07:00"),
        ("America/New_York", "2026-11-01T04:00", "2026-11-01T13:00"),
    ],
)
def test_quiet_hours_are_those_of_the_customers_own_clock(zone: str, at: str, over_at: str | None) -> None:
    expected = None if over_at is None else utc(over_at)

    assert NIGHT.over_at(utc(at), ZoneInfo(zone)) == expected


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    quiet = QuietHours.parse("01:00-02:30")  # at 03:00 clocks go back to 02:00

    assert quiet.over_at(utc("2026-10-25T00:10"), MADRID) == utc("2026-10-25T00:30")
    assert quiet.over_at(utc("2026-10-25T00:31"), MADRID) is None
    assert quiet.over_at(utc("2026-10-25T01:05"), MADRID) == utc("2026-10-25T01:30")


def test_an_end_that_the_clock_skips_is_the_moment_after_the_gap() -> None:
    quiet = QuietHours.parse("22:00-02:30")  # at 02:00 clocks go forward to 03:00

    over = quiet.over_at(utc("2026-03-29T00:00"), MADRID)

    assert over is not None
    assert not quiet.contain(over, MADRID)
    assert utc("2026-03-29T01:00") <= over <= utc("2026-03-29T01:30")


@given(
    start=st.times(),
    end=st.times(),
    at=st.datetimes(min_value=EARLIEST, max_value=LATEST),
    zone=st.sampled_from(
        [
            "Europe/Madrid",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Casablanca",
            "UTC",
        ]
    ),
)
@example(start=time(0), end=time(23, 59), at=A_DAY_IS_MISSING, zone="Pacific/Apia")
def test_what_waits_is_never_sent_in_quiet_hours_and_waits_no_longer_than_they_last(
    start: time, end: time, at: datetime, zone: str
) -> None:
    start, end = (each.replace(second=0, microsecond=0, fold=0) for each in (start, end))
    if start == end:
        return
    quiet, place, now = QuietHours(start, end), ZoneInfo(zone), at.replace(tzinfo=UTC)

    over = quiet.over_at(now, place)

    if over is None:
        assert not quiet.contain(now, place)
        return
    assert over > now
    assert not quiet.contain(over, place)
    asked = now + timedelta(seconds=31)
    while asked < over - timedelta(hours=1):  # a gap may end them sooner than the clock says
        assert quiet.contain(asked, place)
        asked += timedelta(minutes=7)


@pytest.mark.parametrize(
    "text", ["", "21-8", "21:00", "24:00-08:00", "21:00-21:00", "21:00 to 08:00", "21:60-08:00"]
)
def test_quiet_hours_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="21:00-08:00"):
        QuietHours.parse(text)


def test_rates_are_read_for_all_channels_and_for_one() -> None:
    rates = parse_rates("120/minute, sms=1/second,email=0")

    assert rates == {"": SendingRate(0.5, 20), "sms": SendingRate(1.0, 10), "email": UNLIMITED}
    assert parse_rates("0") == {"": UNLIMITED}
    assert parse_rates("1/day")[""] == SendingRate(86_400.0, 1)


@pytest.mark.parametrize("text", ["fast", "fax=1/second", "1/week", "0/minute", "-1/second", "1"])
def test_rates_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="60/minute"):
        parse_rates(text)


@pytest.mark.parametrize("name", [None, "", "Mars/Olympus", "../etc/passwd", "Europe", "x" * 300])
def test_a_zone_that_is_none_is_no_zone(name: str | None) -> None:
    assert zone_named(name) is None
