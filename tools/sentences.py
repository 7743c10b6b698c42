"""
What a customer reads about a tool call, by locale: what was done, or what went wrong and what can be done
instead.

Chosen by tool and case, filled with numbers the customer may know, and never with the text of an exception.
"""

from collections.abc import Mapping
from types import MappingProxyType

from core.errors import ErrorContext, ErrorType
from core.languages import in_language, set_apart
from tools.wording.arabic import ARABIC
from tools.wording.base import ANY_TOOL, Case, Wording
from tools.wording.english import ENGLISH
from tools.wording.french import FRENCH
from tools.wording.german import GERMAN
from tools.wording.spanish import SPANISH

WORDINGS: Mapping[str, Wording] = MappingProxyType(
    {"en": ENGLISH, "de": GERMAN, "es": SPANISH, "fr": FRENCH, "ar": ARABIC}
)

_BY_REASON: Mapping[str, Case] = MappingProxyType(
    {
        case.value: case
        for case in (
            Case.DUPLICATE,
            Case.SIMILAR,
            Case.NOT_FOUND,
            Case.PERMISSION,
            Case.INVALID_ADDRESS,
            Case.CONTACT_MISSING,
            Case.CONTACT_UNDELIVERABLE,
            Case.NOT_LISTED,
            Case.ORDER_NOT_FOUND,
            Case.UNKNOWN_CHANNEL,
            Case.RATE_LIMIT,
        )
    }
)

_BY_TYPE: Mapping[ErrorType, Case] = MappingProxyType(
    {
        ErrorType.RATE_LIMIT_EXCEEDED: Case.RATE_LIMIT,
        ErrorType.TIMEOUT_ERROR: Case.TIMEOUT,
        ErrorType.VALIDATION_ERROR: Case.VALIDATION,
        ErrorType.INVALID_INPUT: Case.VALIDATION,
        ErrorType.PERMISSION_DENIED: Case.PERMISSION,
        ErrorType.AUTHENTICATION_FAILED: Case.PERMISSION,
        ErrorType.TOOL_NOT_FOUND: Case.UNKNOWN_TOOL,
    }
)

_OURS: Mapping[ErrorType, Case] = MappingProxyType(
    {
        ErrorType.AUTHENTICATION_FAILED: Case.OUR_AUTHENTICATION,
        ErrorType.PERMISSION_DENIED: Case.OUR_PERMISSION,
    }
)


def case_of(error: ErrorContext) -> Case:
    if error.dependency is not None and error.error_type in _OURS:
        return _OURS[error.error_type]
    if error.reason is not None and error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    return _BY_TYPE.get(error.error_type, Case.OTHER)


def error_sentence(tool: str, error: ErrorContext, locale: str) -> str:
    existing = set_apart(error.details.get("existing") or "…", locale)
    return sentence_for(tool, case_of(error), locale).format_map({"existing": existing})


def sentence_for(tool: str, case: Case, locale: str) -> str:
    """The tool's own sentence for the case, else everybody's sentence for it, else the tool's "other"."""
    by_tool = in_language(WORDINGS, locale).errors
    own = by_tool.get(tool, {})
    everybodys = by_tool[ANY_TOOL]
    return own.get(case) or everybodys.get(case) or own.get(Case.OTHER) or everybodys[Case.OTHER]


def result_sentence(name: str, locale: str, **facts: object) -> str:
    apart = {fact: set_apart(value, locale) for fact, value in facts.items()}
    return in_language(WORDINGS, locale).results[name].format_map(apart)
