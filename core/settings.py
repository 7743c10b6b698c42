"""
Every setting of the service: from `CARELINE_*` in the environment, else from `careline.toml`, else the default.

Meanings live in the field descriptions; docs/settings.md is generated from them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.addresses import redis_address
from core.identity import DEFAULT_TENANT, Role
from core.postgres_url import with_hosts_in_query
from core.time_settings import TimeSettings

_SQLITE_PATIENCE = 5
_RATE = re.compile(r"\s*(0|[1-9]\d*\s*/\s*(second|minute|hour|day))\s*")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_DATABASES = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+psycopg", "postgres")
_DATABASE_SHAPE = (
    "must be sqlite or postgresql: sqlite+aiosqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
)
_HTTP = ("http", "https")
_URLS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "database_url": (_DATABASES, _DATABASE_SHAPE),
    "customers_database_url": (_DATABASES, _DATABASE_SHAPE),
    "tickets_database_url": (_DATABASES, _DATABASE_SHAPE),
    "model_url": (_HTTP, "must begin with http:// or https:// and name a host"),
    "identity_jwks_url": (_HTTP, "must begin with http:// or https:// and name a host"),
    "smtp_url": (("smtp", "smtps"), "must be smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…"),
}
"""The schemes that each can have, and what is said of any other value."""
_WITH_HOST = frozenset({"http", "https", "smtp", "smtps"})

Url = TypeVar("Url", str, SecretStr, None)


class ApiKey:
    """One entry of `CARELINE_API_KEYS`: `name:key[:tenant[:role]]`."""

    __slots__ = ("key", "name", "role", "tenant")

    def __init__(self, entry: str) -> None:
        parts = entry.strip().split(":")
        if not 2 <= len(parts) <= 4 or not parts[0] or len(parts[1]) < 16:
            raise ValueError("each entry is name:key[:tenant[:role]], the key at least 16 characters long")
        self.name = parts[0]
        self.key = parts[1]
        self.tenant = parts[2] if len(parts) > 2 and parts[2] else DEFAULT_TENANT
        self.role = Role(parts[3]) if len(parts) > 3 else Role.SERVER


class Settings(TimeSettings, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="CARELINE_",
        toml_file="careline.toml",
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    host: str = Field(
        "127.0.0.1", description="Address to listen on. Local mode allows loopback addresses only."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    company_name: str = Field("our company", description="How the agent names the company it works for.")
    contact_address: str | None = Field(
        None,
        description="Where a customer can turn when the agent cannot help: an e-mail address, phone number or URL.",
    )
    data_dir: Path = Field(
        Path("careline-data"),
        description="Folder for the local knowledge index. Needs no backup: it is rebuilt from SQL.",
    )

    database_url: str = Field(
        "sqlite+aiosqlite:///careline.db",
        description="The record of everything: `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; "
        "`…@HOST:PORT,HOST:PORT/NAME` follows a failover to whichever host takes writes.",
    )
    customers_database_url: str | None = Field(
        None, description="Where the tables `customers` and `orders` live, when not in the main database."
    )
    tickets_database_url: str | None = Field(
        None, description="Where the table `tickets` lives, when not in the main database."
    )
    redis_url: str | None = Field(
        None,
        description="`redis://HOST:PORT/DB`, `redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE/DB` or "
        "`redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT`; `rediss…` with TLS. Left out, SQL serves alone.",
    )
    sql_connections: int = Field(
        10,
        ge=1,
        le=1000,
        description="Connections to each PostgreSQL database that one process opens at most; one more asks whether it is there.",
    )
    redis_connections: int = Field(
        64,
        ge=2,
        le=10_000,
        description="Connections to Redis (in a cluster: to each node) that one process opens at most, for turns, for readers "
        "that wait for events, and for rate limits, each; callers queue for them.",
    )
    redis_durability: Literal["checked", "trusted"] = Field(
        "checked",
        description="Whether Redis may keep messages while SQL is down: `checked`, where it shows that it forgets nothing "
        "(docs/operations.md says how); `trusted`, where you vouch for a hosted Redis that does not show it.",
    )

    model_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible server, e.g. `http://127.0.0.1:8080/v1`. None: embedded brain.",
    )
    model: str | None = Field(None, description="Name of the model to ask for.")
    model_key: SecretStr | None = Field(None, description="Key for the model server, sent as a bearer token.")

    api_keys: SecretStr | None = Field(
        None,
        description="Comma-separated `name:key[:tenant[:role]]` for trusted servers; role server, operator or admin.",
    )
    identity_secret: SecretStr | None = Field(
        None, description="HS256 secret (32 bytes or more) with which the company signs customer tokens."
    )
    identity_jwks_url: str | None = Field(
        None, description="Where the company publishes its RS256, ES256 or EdDSA keys."
    )
    allow_anonymous: bool = Field(True, description="Whether visitors without an account may chat.")
    visitor_token_minutes: int = Field(
        60, ge=1, le=1440, description="Life of a visitor's token; it can be renewed."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated origins of the sites that may embed the widget, e.g. `https://shop.example`.",
    )

    rate_limit_per_customer: str = Field(
        "30/minute",
        description="Messages per customer, as `N/second`, `N/minute` or `N/hour`; `0` lifts it. Fails open: while Redis is away "
        "each process counts alone.",
    )
    rate_limit: str = Field(
        "0",
        description="Messages for the whole service, as `N/second`, `N/minute` or `N/hour`; `0` lifts it. Fails open: while "
        "Redis is away each process counts alone.",
    )
    max_turns: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Messages that one process answers at a time; the next get 503 and Retry-After at once. Left out: 200 with a "
        "language model, 32 with the built-in brain, which lives on the processor.",
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that `careline serve` runs, each a replica of its own."
    )
    handoff_timeout_minutes: float = Field(
        240.0, gt=0, description="A conversation handed to a person returns to the agent after this time."
    )
    history_messages: int = Field(20, ge=2, le=200, description="How many earlier messages a brain reads.")

    smtp_url: SecretStr | None = Field(
        None,
        description="`smtp://[USER:PASSWORD@]HOST:PORT` or `smtps://…` for e-mail notifications. None: written to the log.",
    )
    smtp_sender: str = Field("careline@localhost", description="From address of e-mail notifications.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="`json`, one object a line, or `console` for eyes."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    @field_validator(*_URLS)
    @classmethod
    def _urls_can_be_used(cls, value: Url, info: ValidationInfo) -> Url:
        if value is not None and info.field_name is not None:
            schemes, shape = _URLS[info.field_name]
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if not _is_url(text, schemes):
                raise ValueError(shape)
            with_hosts_in_query(text)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_can_be_found(cls, value: str | None) -> str | None:
        if value is not None:
            redis_address(value)
        return value

    @field_validator("rate_limit", "rate_limit_per_customer")
    @classmethod
    def _rates_can_be_read(cls, value: str) -> str:
        if _RATE.fullmatch(value) is None:
            raise ValueError("must be a number per second, minute, hour or day, like 30/minute; 0 lifts it")
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys_are_well_formed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _parse_keys(value)
        return value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _origins_from_one_line(cls, value: Any) -> Any:
        """A JSON list is taken too."""
        if isinstance(value, str):
            return [each for part in value.strip(" []").split(",") if (each := part.strip(" \"'"))]
        return value

    @field_validator("identity_secret")
    @classmethod
    def _secret_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("must be at least 32 bytes long")
        return value

    @model_validator(mode="after")
    def _local_mode_stays_local(self) -> Self:
        if self.is_local and self.host not in _LOOPBACK:
            raise ValueError(
                f"refusing to listen on {self.host} without credentials: set CARELINE_API_KEYS, CARELINE_IDENTITY_SECRET or "
                "CARELINE_IDENTITY_JWKS_URL, or keep CARELINE_HOST=127.0.0.1"
            )
        return self

    @property
    def is_local(self) -> bool:
        """No keys and no identity secret: everything is allowed, on this machine only."""
        return self.api_keys is None and self.identity_secret is None and self.identity_jwks_url is None

    def sql_seconds(self, url: str | None = None) -> float:
        """Longest wait for the database at `url`; None: the main one."""
        is_sqlite = (url or self.database_url).startswith("sqlite")
        return self.sql_timeout_seconds * (_SQLITE_PATIENCE if is_sqlite else 1)

    def server_keys(self) -> tuple[ApiKey, ...]:
        return _parse_keys(self.api_keys) if self.api_keys is not None else ()


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Only as far as a slip shows; a database's password may hold what a strict parser refuses."""
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in schemes:
        return False
    if scheme not in _WITH_HOST:
        return True
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        return False


def _parse_keys(value: SecretStr) -> tuple[ApiKey, ...]:
    return tuple(ApiKey(entry) for entry in value.get_secret_value().split(",") if entry.strip())
