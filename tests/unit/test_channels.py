"""Claims about what the settings make of notifications: several channels, the usual one first, and clear words for slips."""

import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.channels import Channels, open_channels, seldom
from core.errors import DependencyUnavailable, ToolMisconfigured
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.settings import Settings
from tests.fakes import FakeClock

TWILIO: dict[str, Any] = {
    "twilio_account": "AC" + "0" * 32,
    "twilio_key": "token",
    "twilio_sender": "+15005550006",
}
WEBHOOK = {"webhook_url": "https://shop.example/hook", "webhook_secret": "s" * 32}
CHAT = {"chat_url": "json://127.0.0.1/{address}"}


@pytest.fixture(autouse=True)
def _no_file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Opened:
    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.clock = FakeClock()
        rng = random.Random(1)
        self.degradation = GracefulDegradationHandler(clock=self.clock, rng=rng)
        self.guards = {
            name: Guard(name, policy, clock=self.clock, rng=rng)
            for name, policy in guard_policies(self.settings).items()
        }

    async def channels(self, stack: AsyncExitStack) -> Channels:
        return await open_channels(
            self.settings,
            degradation=self.degradation,
            guards=self.guards,
            clock=self.clock,
            stack=stack,
        )


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["email"]),
        ({"smtp_url": "smtp://127.0.0.1"}, ["email"]),
        (TWILIO, ["sms"]),
        ({**TWILIO, "sendgrid_key": "SG.x", **CHAT, **WEBHOOK}, ["email", "sms", "chat", "webhook"]),
        ({**TWILIO, **WEBHOOK, "usual_channel": "webhook"}, ["webhook", "sms"]),
    ],
)
async def test_every_channel_that_is_set_up_is_there_the_usual_one_first(
    settings: dict[str, Any], names: list[str]
) -> None:
    opened = Opened(**settings)
    async with AsyncExitStack() as stack:
        channels = await opened.channels(stack)

    assert list(channels.by_name) == names
    assert [channel.name for channel in channels.by_name.values()] == names
    assert opened.degradation.status().keys() == {
        "notifications",
        *(f"notifications.{name}" for name in names[1:]),
    }


async def test_a_usual_channel_that_is_not_set_up_stops_the_start() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ToolMisconfigured, match="CARELINE_USUAL_CHANNEL"):
            await Opened(usual_channel="chat", **TWILIO).channels(stack)


async def test_a_provider_that_works_is_asked_once_a_minute_and_one_that_is_down_each_time() -> None:
    clock, asked, state = FakeClock(), [0], {"is_down": False, "works": True}

    async def probe() -> None:
        asked[0] += 1
        if not state["works"]:
            raise DependencyUnavailable("notifications")

    ask = seldom(probe, is_down=lambda: state["is_down"], clock=clock)
    await ask()
    await ask()
    assert asked == [1]
    clock.advance(61)
    await ask()
    assert asked == [2]
    state.update(is_down=True, works=False)
    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await ask()
    state.update(is_down=False)
    with pytest.raises(DependencyUnavailable):
        await ask()
    assert asked == [5]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({**TWILIO, "twilio_key": None}, "CARELINE_TWILIO_ACCOUNT needs CARELINE_TWILIO_KEY"),
        ({"webhook_url": "https://shop.example"}, "CARELINE_WEBHOOK_URL needs CARELINE_WEBHOOK_SECRET"),
        ({**WEBHOOK, "webhook_secret": "short"}, "32 bytes"),
        ({**WEBHOOK, "webhook_url": "shop.example"}, "http:// or https://"),
        ({**TWILIO, "twilio_account": "12"}, "AC and 32 hexadecimal digits"),
        ({**TWILIO, "twilio_sender": "0049 1"}, "+15005550006"),
        ({"chat_url": "tgram://x"}, "{address}"),
        ({"sendgrid_key": "x", "smtp_url": "smtp://127.0.0.1"}, "not both"),
        ({"quiet_hours": "at night"}, "21:00-08:00"),
        ({"quiet_channels": "sms,fax"}, "knows no channel fax"),
        ({"default_timezone": "Mars"}, "Europe/Berlin"),
        ({"notification_rate": "fast"}, "60/minute"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_to_do(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**settings)

    assert told in str(refused.value)


def test_no_secret_stands_in_what_settings_print() -> None:
    settings: dict[str, Any] = {
        **TWILIO,
        **WEBHOOK,
        **CHAT,
        "sendgrid_key": "SG.hidden",
        "twilio_key": "TW.hidden",
    }

    printed = repr(Settings(**settings))

    assert [hidden for hidden in ("SG.hidden", "TW.hidden", "s" * 32, "json://") if hidden in printed] == []
