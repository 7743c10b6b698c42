"""
Who is calling, as proven by the request's credentials.

Made once per request by `agent.api.security`; everything that belongs to a customer is reached through it, never through
what a model or a message claims.
"""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TENANT = "default"
VISITOR_CUSTOMER_PREFIX = "anon_"
"""Customers made by POST /v1/visitors; nobody else's id begins like this."""


class CallerKind(StrEnum):
    SERVER = "server"
    CUSTOMER = "customer"
    VISITOR = "visitor"
    LOCAL = "local"


class Role(StrEnum):
    """What a server key may do; customers and visitors have none."""

    SERVER = "server"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The customer a turn is for (`customer_id`) and by what right. `name` is the key's name for servers."""

    kind: CallerKind
    tenant: str = DEFAULT_TENANT
    customer_id: str | None = None
    role: Role | None = None
    name: str | None = None
    email: str | None = None
    locale: str | None = None

    @property
    def may_act_for_any_customer(self) -> bool:
        return self.kind in (CallerKind.SERVER, CallerKind.LOCAL)

    @property
    def has_account(self) -> bool:
        """Whether customer data may be looked up for `customer_id`: visitors are strangers."""
        return self.kind is not CallerKind.VISITOR and self.customer_id is not None

    @property
    def principal(self) -> str:
        """What conversation ids are derived from: the customer, or the key that acts for nobody in particular."""
        return f"{self.kind}:{self.customer_id or self.name or ''}"
