"""
Which help desk tickets go to, and how it is reached: one group of the settings (`core.settings`).
"""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

_PUBLIC_URL = {"intercom": "https://api.intercom.io", "github": "https://api.github.com"}
_NEEDS = {
    "zendesk": ("ticket_desk_url", "ticket_desk_user", "ticket_desk_key"),
    "intercom": ("ticket_desk_key", "ticket_desk_type"),
    "jira": ("ticket_desk_url", "ticket_desk_user", "ticket_desk_key", "ticket_desk_project"),
    "github": ("ticket_desk_key", "ticket_desk_project"),
    "email": ("ticket_desk_url",),
}
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_JIRA_PROJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class DeskSettings(BaseModel):
    ticket_desk: Literal["zendesk", "intercom", "jira", "github", "email"] | None = Field(
        None,
        description="Where tickets are opened: `zendesk`, `intercom`, `jira`, `github` or `email` (docs/tools.md). Left out: in "
        "Careline's own table `tickets`.",
    )
    ticket_desk_url: str | None = Field(
        None,
        description="Address of the desk: `https://SHOP.zendesk.com`, `https://SHOP.atlassian.net`, or `mailto:ADDRESS` for "
        "`email`. Intercom and GitHub have one of their own.",
    )
    ticket_desk_user: str | None = Field(
        None, description="Zendesk and Jira: e-mail address of the account whose API token is the key."
    )
    ticket_desk_key: SecretStr | None = Field(
        None, description="API token (Zendesk, Jira) or access token (Intercom, GitHub) of the desk."
    )
    ticket_desk_project: str | None = Field(
        None, description="Jira: key of the project. GitHub: `OWNER/REPOSITORY`, a private one."
    )
    ticket_desk_type: str | None = Field(
        None,
        description="Jira: name of the issue type; left out, `Task`. Intercom: id of the ticket type.",
    )
    ticket_fallback_email: str | None = Field(
        None,
        description="Where a ticket is sent by e-mail, once, when the desk refuses it for good or has been away for long. Needs "
        "`CARELINE_SMTP_URL` or `CARELINE_SENDGRID_KEY`.",
    )
    ticket_fallback_attempts: int = Field(
        30,
        ge=1,
        description="So often a desk that is away is asked before the e-mail goes out; with waits of up to a minute, 30 are "
        "about 20 minutes.",
    )

    handoff_email: str | None = Field(
        None,
        description="Who is told by e-mail, once, that a conversation was handed to a person. Left out: "
        "`CARELINE_TICKET_FALLBACK_EMAIL`. Needs `CARELINE_SMTP_URL` or `CARELINE_SENDGRID_KEY`. A webhook is told, too.",
    )

    @model_validator(mode="after")
    def _desk_can_be_reached(self) -> Self:
        desk = self.ticket_desk
        if desk is None:
            return self
        missing = [f"CARELINE_{name.upper()}" for name in _NEEDS[desk] if not getattr(self, name)]
        if missing:
            raise ValueError(f"CARELINE_TICKET_DESK={desk} needs {' and '.join(missing)}")
        if desk == "email":
            if _ADDRESS.fullmatch(self.desk_mailbox) is None:
                raise ValueError(
                    "CARELINE_TICKET_DESK_URL must be mailto:ADDRESS for CARELINE_TICKET_DESK=email"
                )
        elif not _is_safe(self.desk_url):
            raise ValueError(
                "CARELINE_TICKET_DESK_URL must be https://HOST, so that the key crosses no network in the clear"
            )
        if desk == "github" and _REPOSITORY.fullmatch(self.ticket_desk_project or "") is None:
            raise ValueError(
                "CARELINE_TICKET_DESK_PROJECT must be OWNER/REPOSITORY for CARELINE_TICKET_DESK=github"
            )
        if desk == "jira" and _JIRA_PROJECT.fullmatch(self.ticket_desk_project or "") is None:
            raise ValueError(
                "CARELINE_TICKET_DESK_PROJECT must be a project's key, like SUP, for CARELINE_TICKET_DESK=jira"
            )
        return self

    @model_validator(mode="after")
    def _mail_can_be_addressed(self) -> Self:
        for name in ("ticket_fallback_email", "handoff_email"):
            address = getattr(self, name)
            if address is not None and _ADDRESS.fullmatch(address) is None:
                raise ValueError(f"CARELINE_{name.upper()} must be one e-mail address")
        return self

    @property
    def team_mailbox(self) -> str | None:
        return self.handoff_email or self.ticket_fallback_email

    @property
    def desk_url(self) -> str:
        return (self.ticket_desk_url or _PUBLIC_URL.get(self.ticket_desk or "", "")).rstrip("/")

    @property
    def desk_mailbox(self) -> str:
        return (self.ticket_desk_url or "").removeprefix("mailto:")


def _is_safe(url: str) -> bool:
    """TLS, but for a desk on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
