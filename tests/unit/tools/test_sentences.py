"""Claims about what customers read when a tool fails."""

from datetime import UTC, datetime

import pytest

from core.errors import ErrorContext, ErrorType
from tests.tool_world import ToolWorld
from tools.sentences import case_of, error_sentence, sentence_for
from tools.wording.base import Case

TOOLS = ("search_knowledge", "open_ticket", "find_tickets", "customer_info", "notify", "handoff", "unknown")


def error(error_type: ErrorType, *, dependency: str | None = None, reason: str | None = None) -> ErrorContext:
    return ErrorContext(
        error_type=error_type,
        message="psycopg.OperationalError: connection to 10.0.0.7 failed",
        timestamp=datetime(2026, 11, 22, tzinfo=UTC),
        dependency=dependency,
        reason=reason,
    )


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("error_type", list(ErrorType))
@pytest.mark.parametrize("reason", [None, "duplicate", "not_found", "invalid_address", "circuit_open"])
def test_every_tool_has_a_sentence_for_every_error_and_it_shows_no_internals(
    tool: str, error_type: ErrorType, reason: str | None
) -> None:
    sentence = error_sentence(tool, error(error_type, dependency="tickets", reason=reason), "en")

    assert 20 <= len(sentence) <= 250
    assert sentence[-1] in ".?"
    for internal in ("psycopg", "10.0.0.7", "Error", "error", "exception", "{", "None"):
        assert internal not in sentence


def test_every_tool_of_the_registry_has_its_own_words() -> None:
    for tool in ToolWorld().registry:
        assert sentence_for(tool.name, Case.OTHER, "en") != sentence_for("unknown", Case.OTHER, "en")


@pytest.mark.parametrize(
    ("tool", "cases"),
    [
        ("search_knowledge", (Case.RATE_LIMIT, Case.TIMEOUT, Case.OTHER)),
        ("open_ticket", (Case.DUPLICATE, Case.VALIDATION, Case.RATE_LIMIT, Case.OTHER)),
        ("customer_info", (Case.NOT_FOUND, Case.PERMISSION, Case.OTHER)),
        ("notify", (Case.INVALID_ADDRESS, Case.OTHER)),
        ("handoff", (Case.OUR_AUTHENTICATION, Case.OUR_PERMISSION, Case.OTHER)),
    ],
)
def test_what_makes_a_difference_to_the_customer_is_said_differently(
    tool: str, cases: tuple[Case, ...]
) -> None:
    assert len({sentence_for(tool, case, "en") for case in cases}) == len(cases)


def test_a_refusal_of_our_credentials_is_not_blamed_on_the_customer() -> None:
    ours = error(ErrorType.PERMISSION_DENIED, dependency="tickets")
    theirs = error(ErrorType.PERMISSION_DENIED)

    assert case_of(ours) is Case.OUR_PERMISSION
    assert case_of(theirs) is Case.PERMISSION


def test_a_desk_that_lists_nothing_is_not_asked_for_patience() -> None:
    by_mail = error_sentence(
        "find_tickets", error(ErrorType.TOOL_CONFIGURATION_ERROR, reason="not_listed"), "en"
    )

    assert "by e-mail" in by_mail
    assert "later" not in by_mail


def test_an_unknown_language_falls_back_to_english() -> None:
    assert sentence_for("notify", Case.OTHER, "tlh-QO") == sentence_for("notify", Case.OTHER, "en")
