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
from core.desk_settings import DeskSettings
from core.embedder_settings import EmbedderSettings
from core.guardrail_settings import GuardrailSettings
from core.identity import DEFAULT_TENANT, Role
from core.lookup_settings import (
    CustomersApi,
    CustomersSql,
    KnowledgeApi,
    OpenSearchIndex,
    TableValue,
    credential_header,
)
from core.mcp_settings import McpServerSettings, check_server_names
from core.model_settings import ModelSettings
from core.notification_settings import NotificationSettings
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
_BROKERS = ("redis", "rediss", "amqp", "amqps", "nats", "tls")
_URLS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "database_url": (_DATABASES, _DATABASE_SHAPE),
    "customers_database_url": (_DATABASES, _DATABASE_SHAPE),
    "tickets_database_url": (_DATABASES, _DATABASE_SHAPE),
    "model_url": (_HTTP, "must begin with http:// or https:// and name a host"),
    "identity_jwks_url": (_HTTP, "must begin with http:// or https:// and name a host"),
    "smtp_url": (("smtp", "smtps"), "must be smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…"),
    "broker_url": (
        _BROKERS,
        "must be redis://HOST[:PORT][/DB], amqp://[USER:PASSWORD@]HOST/ or nats://HOST[:PORT]",
    ),
}
"""The schemes that each can have, and what is said of any other value."""
_WITH_HOST = frozenset({"http", "https", "smtp", "smtps", *_BROKERS})

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


class Settings(
    TimeSettings,
    NotificationSettings,
    DeskSettings,
    EmbedderSettings,
    ModelSettings,
    GuardrailSettings,
    BaseSettings,
):
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
    default_locale: str = Field(
        "en",
        pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        max_length=35,
        description="Language (BCP 47) of customers whose words, request and record show none. English, German, Spanish and "
        "French are recognised in what a customer writes.",
    )
    data_dir: Path = Field(
        Path("careline-data"),
        description="Folder for the local knowledge index. Needs no backup: it is rebuilt from SQL.",
    )

    database_url: str = Field(
        "sqlite+aiosqlite:///careline.db",
        repr=False,
        description="The record of everything: `sqlite+aiosqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`; "
        "`…@HOST:PORT,HOST:PORT/NAME` follows a failover to whichever host takes writes.",
    )
    customers_database_url: str | None = Field(
        None,
        repr=False,
        description="Where the tables `customers` and `orders` live, when not in the main database.",
    )
    tickets_database_url: str | None = Field(
        None, repr=False, description="Where the table `tickets` lives, when not in the main database."
    )
    redis_url: str | None = Field(
        None,
        repr=False,
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
        ge=4,
        le=10_000,
        description="Connections to Redis (in a cluster: to each node) that one process opens at most, for turns (which "
        "hold two), for readers that wait for events, and for rate limits, each; callers queue for them.",
    )
    redis_durability: Literal["checked", "trusted"] = Field(
        "checked",
        description="Whether Redis may keep messages while SQL is down: `checked`, where it shows that it forgets nothing "
        "(docs/operations.md says how); `trusted`, where you vouch for a hosted Redis that does not show it.",
    )

    customers_api: Annotated[CustomersApi | None, NoDecode, TableValue] = Field(
        None,
        description="A CRM that is asked for customers and orders over HTTP: a table of `careline.toml`, or the same as JSON. "
        "docs/connectors.md lists its fields. Left out: Careline's own tables.",
    )
    customers_sql: Annotated[CustomersSql | None, NoDecode, TableValue] = Field(
        None,
        description="Tables of your own that customers and orders are read from, in `CARELINE_CUSTOMERS_DATABASE_URL`, which is "
        "then neither changed nor migrated: a table of `careline.toml`, or the same as JSON (docs/connectors.md).",
    )
    customers_credentials: SecretStr | None = Field(
        None,
        description="For `CARELINE_CUSTOMERS_API`: `bearer TOKEN`, `basic USER:PASSWORD` or `NAME: VALUE` for a header.",
    )
    knowledge_api: Annotated[KnowledgeApi | None, NoDecode, TableValue] = Field(
        None,
        description="A search of your own that is asked over HTTP in place of the articles that were ingested: a table of "
        "`careline.toml`, or the same as JSON (docs/connectors.md).",
    )
    knowledge_opensearch: Annotated[OpenSearchIndex | None, NoDecode, TableValue] = Field(
        None,
        description="An OpenSearch index that is asked in place of the articles that were ingested: a table of `careline.toml`, "
        "or the same as JSON (docs/connectors.md).",
    )
    knowledge_credentials: SecretStr | None = Field(
        None,
        description="For `CARELINE_KNOWLEDGE_API` or `CARELINE_KNOWLEDGE_OPENSEARCH`: `bearer TOKEN`, `basic USER:PASSWORD` or "
        "`NAME: VALUE` for a header.",
    )
    help_centre_credentials: SecretStr | None = Field(
        None,
        description="For `careline ingest --zendesk` and `--intercom`: `basic USER/token:KEY` or `bearer TOKEN`. Left out: what "
        "Zendesk shows to everybody.",
    )

    intents: Path | None = Field(
        None,
        description="File that `careline intents train` wrote, with the company's own intents (docs/intents.md). None: the "
        "built-in brain knows its own alone.",
    )
    flows: Path | None = Field(
        None,
        description="Folder with dialogues and texts of your own, as YAML (docs/flows.md); `careline flows check` reads it. "
        "None: the built-in ones alone.",
    )

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
        description="Messages per customer, as `N/second`, `/minute`, `/hour` or `/day`; `0` lifts it. Fails open: while Redis "
        "is away each process counts alone.",
    )
    rate_limit: str = Field(
        "0",
        description="Messages for the whole service, as `N/second`, `/minute`, `/hour` or `/day`; `0` lifts it. Fails open: "
        "while Redis is away each process counts alone.",
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
    background_work: Literal["embedded", "workers"] = Field(
        "embedded",
        description="Who carries out what was promised, takes up interrupted turns, drains the journal, probes deployments and "
        "deletes what is old: `embedded`, every `careline serve`; `workers`, processes of `careline worker`, of which at "
        "least one must then run.",
    )
    environment: str = Field(
        "production",
        min_length=1,
        max_length=64,
        description="Which of the control plane's deployments this process serves and probes: those of this `environment`.",
    )
    control_key: SecretStr | None = Field(
        None,
        description="Seals the secrets of model providers in the control plane: 32 bytes in URL-safe base64, the same for all "
        "replicas. Left out: a key is made in `CARELINE_DATA_DIR`, for one machine.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="A message broker that tells `careline worker` at once what was promised: `redis://HOST:PORT/DB`, "
        "`amqp://USER:PASSWORD@HOST/` (RabbitMQ) or `nats://HOST:PORT` (JetStream). Needs the extra `broker`. None: workers look "
        "every `CARELINE_OUTBOX_POLL_SECONDS`, as they do beside a broker.",
    )
    outbox_kept_days: float = Field(
        30.0,
        ge=1,
        le=36_500,
        description="For so long, promised effects that were carried out or dropped can be listed. Others stay.",
    )
    effects_kept_days: float = Field(
        90.0,
        ge=1,
        le=36_500,
        description="For so long a key of an MCP client is known once its effect is over; after that it stands for a new one. "
        "What waits, and what a person must look at, stays.",
    )
    explained_days: float = Field(
        7.0,
        ge=0,
        le=36_500,
        description="For so long it is kept why each turn was answered as it was (`careline explain`), without addresses, "
        "numbers and secrets. 0: not at all.",
    )
    recorded_days: float = Field(
        0.0,
        ge=0,
        le=36_500,
        description="For so long it is kept what tools and models answered in each turn, in full and as it was, so that what "
        "`careline export` writes can be replayed without them. 0: not at all.",
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

    mcp_servers: dict[str, McpServerSettings] = Field(
        {},
        description="MCP servers whose tools may be used, as JSON `{NAME: {…}}`, in careline.toml as `[mcp_servers.NAME]`; "
        "docs/mcp.md has the fields.",
    )
    mcp_serve: bool = Field(
        False,
        description="Whether Careline's own tools are served to MCP clients at `/mcp`. Needs the extra `mcp`.",
    )

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

    @field_validator("mcp_servers")
    @classmethod
    def _servers_can_be_named(cls, value: dict[str, McpServerSettings]) -> dict[str, McpServerSettings]:
        return check_server_names(value)

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

    @field_validator("customers_credentials", "knowledge_credentials", "help_centre_credentials")
    @classmethod
    def _credentials_make_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            credential_header(value.get_secret_value())
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
    def _mail_can_be_sent(self) -> Self:
        wants_mail = self.ticket_desk == "email" or self.ticket_fallback_email is not None
        has_no_mail = self.smtp_url is None and self.sendgrid_key is None
        if wants_mail and has_no_mail:
            raise ValueError("tickets by e-mail need CARELINE_SMTP_URL or CARELINE_SENDGRID_KEY")
        if self.handoff_email is not None and has_no_mail:
            raise ValueError("CARELINE_HANDOFF_EMAIL needs CARELINE_SMTP_URL or CARELINE_SENDGRID_KEY")
        return self

    @model_validator(mode="after")
    def _local_mode_stays_local(self) -> Self:
        if self.is_local and self.host not in _LOOPBACK:
            raise ValueError(
                f"refusing to listen on {self.host} without credentials: set CARELINE_API_KEYS, CARELINE_IDENTITY_SECRET or "
                "CARELINE_IDENTITY_JWKS_URL, or keep CARELINE_HOST=127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _one_place_knows_the_customers(self) -> Self:
        if self.customers_api is not None and self.customers_sql is not None:
            raise ValueError(
                "CARELINE_CUSTOMERS_API and CARELINE_CUSTOMERS_SQL cannot both be set: only one is asked"
            )
        if self.knowledge_api is not None and self.knowledge_opensearch is not None:
            raise ValueError(
                "CARELINE_KNOWLEDGE_API and CARELINE_KNOWLEDGE_OPENSEARCH cannot both be set: only one is asked"
            )
        for what, where in (
            ("customers", self.customers_api),
            ("knowledge", self.knowledge_api or self.knowledge_opensearch),
        ):
            if getattr(self, f"{what}_credentials") is not None and where is None:
                raise ValueError(
                    f"CARELINE_{what.upper()}_CREDENTIALS is set, but CARELINE_{what.upper()}_API is not"
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
