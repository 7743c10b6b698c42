"""
The cases that customers are told of differently, and the shape of one language's sentences for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ANY_TOOL = "*"


class Case(StrEnum):
    """The distinctions that make a difference to the customer."""

    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    DUPLICATE = "duplicate"
    SIMILAR = "similar"
    VALIDATION = "validation"
    NOT_FOUND = "not_found"
    PERMISSION = "permission"
    INVALID_ADDRESS = "invalid_address"
    CONTACT_MISSING = "contact_missing"
    CONTACT_UNDELIVERABLE = "contact_undeliverable"
    NOT_LISTED = "not_listed"
    ORDER_NOT_FOUND = "order_not_found"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_TOOL = "unknown_tool"
    OUR_AUTHENTICATION = "our_authentication"
    OUR_PERMISSION = "our_permission"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """
    One language. `errors` by tool and case, those of `ANY_TOOL` for every tool without its own; `results` by name. Both take
    their values by name.
    """

    errors: Mapping[str, Mapping[Case, str]]
    results: Mapping[str, str]
