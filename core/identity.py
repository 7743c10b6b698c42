"""
Who is calling, as proven by the request's credentials.

Made once per request by `agent.api.security`; everything that belongs to a customer is reached through it, never through
what a model or a message claims.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from core.ids import derived_id

DEFAULT_TENANT = "default"
VISITOR_CUSTOMER_PREFIX = "anon_"
"""Customers made by POST /v1/visitors; nobody else's id begins like this."""


_UNNAMED_CUSTOMER = re.compile(r"cust_[a-z2-7]{24}")


def unnamed_customer(tenant: str, principal: str, client_message_id: str) -> str:
    """The customer of a conversation that a trusted caller began for nobody in particular."""
    return derived_id("cust", tenant, principal, client_message_id)


class Audience(StrEnum):
    """Whom an article is for, the widest first; who may read one of these may read those before it too."""

    PUBLIC = "public"
    CUSTOMER = "customer"
    INTERNAL = "internal"


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
    def may_operate(self) -> bool:
        """Whether it may read what customers must not: how turns came about."""
        return self.kind is CallerKind.LOCAL or self.role in (Role.OPERATOR, Role.ADMIN)

    @property
    def has_account(self) -> bool:
        """Whether customer data may be looked up for `customer_id`: visitors are strangers."""
        return self.kind is not CallerKind.VISITOR and self.customer_id is not None

    @property
    def audience(self) -> Audience:
        """
        The articles that may be shown: a visitor, and whoever is not named, is anybody.

        Never `INTERNAL`: what is done in a conversation is done for its customer.
        """
        is_named = self.has_account and not _UNNAMED_CUSTOMER.fullmatch(self.customer_id or "")
        return Audience.CUSTOMER if is_named else Audience.PUBLIC

    @property
    def principal(self) -> str:
        """What conversation ids are derived from: the customer, or the key that acts for nobody in particular."""
        return f"{self.kind}:{self.customer_id or self.name or ''}"
