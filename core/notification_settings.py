"""
How notifications go out, and when they may: one group of the settings (`core.settings`).
"""

import re
from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from core.notification_rules import QuietHours, parse_rates, zone_named

Channel: TypeAlias = Literal["email", "sms", "chat", "webhook"]

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_TWILIO_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|MG[0-9a-fA-F]{32}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
CHANNELS: tuple[Channel, ...] = ("email", "sms", "chat", "webhook")


class NotificationSettings(BaseModel):
    sendgrid_key: SecretStr | None = Field(
        None,
        description="SendGrid's API key: e-mail goes out over SendGrid and not over SMTP, from `CARELINE_SMTP_SENDER`. The key "
        "needs the rights Mail Send and Suppressions (read).",
    )
    sendgrid_url: str = Field("https://api.sendgrid.com", description="SendGrid's API; another for a region.")
    twilio_account: str | None = Field(
        None, description="Twilio's Account SID (`AC…`): text messages go out over Twilio."
    )
    twilio_key: SecretStr | None = Field(
        None, description="The account's auth token, or an API key as `SK…:SECRET`."
    )
    twilio_sender: str | None = Field(
        None,
        description="Number that text messages come from, like `+15005550006`, or a messaging service, `MG…`.",
    )
    twilio_url: str = Field("https://api.twilio.com", description="Twilio's API; another for a region.")
    chat_url: SecretStr | None = Field(
        None,
        description="apprise's URL of a chat service with `{address}` in the place of the customer's own id there (attribute "
        "`chat` of the customer record), like `tgram://TOKEN/{address}`. Needs the extra `apprise`.",
    )
    webhook_url: str | None = Field(
        None,
        description="A service of yours that takes notifications as signed JSON; docs/notifications.md says how to verify them.",
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Secret (32 bytes or more) with which they are signed."
    )
    usual_channel: Channel | None = Field(
        None,
        description="The way to send what names none. Left out: the first that is set up of e-mail, sms, chat, webhook.",
    )
    notification_seconds: float = Field(
        5.0, gt=0, description="Longest wait for SendGrid, Twilio, the chat service or the webhook to answer."
    )

    quiet_hours: str | None = Field(
        None,
        description="When nobody is to be woken, on the customer's own clock, like `21:00-08:00`: what is due then is sent "
        "afterwards. Left out: notifications go out at any hour.",
    )
    quiet_channels: str = Field("sms,chat", description="The channels that keep the quiet hours.")
    default_timezone: str = Field(
        "UTC", description="Time zone of customers whose record names none, like `Europe/Berlin`."
    )
    notification_rate: str = Field(
        "120/minute",
        description="How fast each channel sends, over all replicas: `N/second`, `/minute`, `/hour` or `/day`, or some apart, "
        "like `120/minute,sms=1/second`; `0` lifts it. What waited during an outage goes out at this pace.",
    )
    notification_repeat_minutes: float = Field(
        10.0,
        ge=0,
        le=43_200,
        description="The same text to the same customer over the same channel is sent once in this time; 0: as often as asked.",
    )
    bounce_check_minutes: float = Field(
        10.0,
        ge=0,
        description="How often SendGrid and Twilio are asked which addresses turned out not to work; 0: never.",
    )

    @field_validator("twilio_account")
    @classmethod
    def _account_is_one(cls, value: str | None) -> str | None:
        if value is not None and _ACCOUNT.fullmatch(value) is None:
            raise ValueError("must be an Account SID: AC and 32 hexadecimal digits")
        return value

    @field_validator("twilio_sender")
    @classmethod
    def _sender_is_one(cls, value: str | None) -> str | None:
        if value is not None and _TWILIO_SENDER.fullmatch(value) is None:
            raise ValueError(
                "must be a number like +15005550006, a messaging service (MG…) or a name of up to 11 letters"
            )
        return value

    @field_validator("chat_url")
    @classmethod
    def _address_has_a_place(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "{address}" not in value.get_secret_value():
            raise ValueError("must hold {address}, like tgram://TOKEN/{address}")
        return value

    @field_validator("webhook_url", "sendgrid_url", "twilio_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must begin with http:// or https:// and name a host")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_secret_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("must be at least 32 bytes long")
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _hours_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            QuietHours.parse(value)
        return value

    @field_validator("quiet_channels")
    @classmethod
    def _channels_are_known(cls, value: str) -> str:
        unknown = sorted({part for each in value.split(",") if (part := each.strip())} - set(CHANNELS))
        if unknown:
            raise ValueError(f"knows no channel {', '.join(unknown)}: there are {', '.join(CHANNELS)}")
        return value

    @field_validator("default_timezone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        if zone_named(value) is None:
            raise ValueError("must be a time zone's name, like Europe/Berlin")
        return value

    @field_validator("notification_rate")
    @classmethod
    def _sending_rate_can_be_read(cls, value: str) -> str:
        parse_rates(value)
        return value

    @model_validator(mode="after")
    def _channels_are_whole(self) -> Self:
        twilio = ("twilio_account", "twilio_key", "twilio_sender")
        for group in (twilio, ("webhook_url", "webhook_secret")):
            missing = [name for name in group if getattr(self, name) is None]
            if missing and len(missing) < len(group):
                names = " and ".join(f"CARELINE_{name.upper()}" for name in missing)
                given = next(name for name in group if name not in missing)
                raise ValueError(f"CARELINE_{given.upper()} needs {names}, too")
        if self.sendgrid_key is not None and getattr(self, "smtp_url", None) is not None:
            raise ValueError(
                "set CARELINE_SENDGRID_KEY or CARELINE_SMTP_URL, not both: each is the way for e-mail"
            )
        return self
