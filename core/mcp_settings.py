"""
Which MCP servers Careline may use, which of their tools, and at what risk: the shape of `CARELINE_MCP_SERVERS`.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

_SERVER_NAME = re.compile(r"[a-z][a-z0-9]{0,23}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Filled = Literal["customer_id", "key", "conversation_id", "locale", "tenant"]
"""What Careline knows of a call and a model must not choose."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class McpToolSettings(_Part):
    """
    One tool that may be called. `fill` and `meta` name arguments, and entries of `_meta`, that Careline fills in itself: no model
    sees or sets them.
    """

    risk: Literal["read", "write"]
    confirm: bool | None = None
    seconds: float = Field(10.0, gt=0, le=120)
    fill: dict[str, Filled] = {}
    meta: dict[str, Filled] = {}
    needs_account: bool = False
    digest: str | None = None

    @field_validator("digest")
    @classmethod
    def _is_a_digest(cls, value: str | None) -> str | None:
        if value is not None and _DIGEST.fullmatch(value) is None:
            raise ValueError("must be the 64 hexadecimal digits that `careline mcp` shows")
        return value

    @model_validator(mode="after")
    def _only_writing_is_confirmed(self) -> Self:
        if self.confirm and self.risk == "read":
            raise ValueError('confirm is for tools with risk = "write": what only reads needs no yes')
        return self

    @property
    def asks_first(self) -> bool:
        """Whoever says nothing is asked: a change cannot be taken back."""
        return self.risk == "write" and self.confirm is not False

    @property
    def knows_the_customer(self) -> bool:
        return "customer_id" in (*self.fill.values(), *self.meta.values())


class McpServerSettings(_Part):
    """A program that speaks over its standard streams (`command`, `args`, `env`), or a URL (`url`, `headers`)."""

    command: Annotated[str, StringConstraints(min_length=1)] | None = None
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = {}
    url: str | None = None
    headers: dict[str, SecretStr] = {}
    tools: dict[str, McpToolSettings] = Field(min_length=1)
    concurrency: int = Field(8, ge=1, le=256)
    start_seconds: float = Field(10.0, gt=0, le=120)

    @field_validator("url")
    @classmethod
    def _url_can_be_used(cls, value: str | None) -> str | None:
        if value is not None and re.match(r"https?://[^/\s]+", value) is None:
            raise ValueError("must begin with http:// or https:// and name a host")
        return value

    @model_validator(mode="after")
    def _is_one_of_two_kinds(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either command or url")
        if self.url is None and self.headers:
            raise ValueError("headers belong to a url")
        if self.command is None and (self.args or self.env):
            raise ValueError("args and env belong to a command")
        return self

    @property
    def longest_call_seconds(self) -> float:
        return max(tool.seconds for tool in self.tools.values())


def check_server_names(servers: dict[str, McpServerSettings]) -> dict[str, McpServerSettings]:
    """A server's name becomes part of its tools' names, of a dependency's and of a metric's label."""
    for name in servers:
        if _SERVER_NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name[:40]!r}: a server's name is a letter and up to 23 more letters or digits, all small"
            )
    return servers
