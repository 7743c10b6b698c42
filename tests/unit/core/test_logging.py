"""Claims about log lines: one per event, readable by machines, and with nothing private in them."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import (
    CarelineError,
    DependencyRefusedUs,
    DependencyUnavailable,
    ErrorContext,
    ErrorType,
    InternalFailure,
    PermissionDenied,
    ToolExecutionFailed,
)
from core.telemetry.logging import (
    LogFormat,
    LogLevel,
    StructuredErrorLogger,
    bound_ids,
    configure_logging,
    get_logger,
)
from tests.data import shared

LINE_ENDS = "a\nb\r\nc\x0bd\x0ce\x1cf\x85g\u2028h\u2029i\x00j\x1b[31mk\x7fl\u202em\ud800n"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("place", ["event", "field", "name", "nested", "exception"])
def test_an_event_is_one_json_line_whatever_is_inside(stream: io.StringIO, place: str) -> None:
    log = get_logger("test")

    match place:
        case "event":
            log.info(LINE_ENDS)
        case "field":
            log.info("x.y", value=LINE_ENDS)
        case "name":
            log.info("x.y", **{LINE_ENDS: 1})
        case "nested":
            log.info("x.y", value=[{"a": (LINE_ENDS, LINE_ENDS.encode("utf-8", "surrogatepass"))}])
        case "exception":
            log.error("x.y", exc_info=RuntimeError(LINE_ENDS))

    assert len(lines(stream)) == 1
    assert stream.getvalue().isascii()
    assert stream.getvalue().isprintable() or stream.getvalue()[:-1].isprintable()


@example(value="a\nb")
@example(value=2**70)
@example(value="\ud800")
@given(
    value=st.recursive(
        st.none() | st.floats() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_can_be_logged(value: object) -> None:
    formats: tuple[LogFormat, ...] = ("json", "console")
    for format in formats:
        stream = io.StringIO()
        configure_logging("info", format, stream=stream)

        get_logger("test").info("x.y", value=value)

        assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.data
def test_recorded_attacks_on_logs_stay_on_their_line(stream: io.StringIO) -> None:
    rows = [json.loads(line) for line in shared("security/web_payloads.jsonl").read_text().splitlines()]
    payloads = [row["payload"] for row in rows if row.get("kind", row.get("category")) == "log_injection"]

    for payload in payloads:
        get_logger("test").info("x.y", value=payload)

    assert payloads
    assert len(lines(stream)) == len(payloads)


def test_console_lines_cannot_be_forged_and_colours_not_smuggled_in() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream=stream)

    get_logger("test").error(LINE_ENDS, value=LINE_ENDS, exc_info=RuntimeError("x\n00:00:00 info    forged"))

    first, *traceback = stream.getvalue().splitlines()
    assert "a\\u000ab" in first
    assert traceback
    assert all(line.startswith("    | ") for line in traceback)
    assert "\x1b" not in stream.getvalue()


def test_ids_are_bound_once_and_gone_afterwards(stream: io.StringIO) -> None:
    log = get_logger("test")

    with bound_ids(request_id="req_1", turn_id=None):
        log.info("in.side", tool="notify")
    log.info("out.side")

    inside, outside = lines(stream)
    assert inside["request_id"] == "req_1"
    assert "turn_id" not in inside
    assert "request_id" not in outside
    assert (inside["event"], inside["level"], inside["logger_name"]) == ("in.side", "info", "test")
    assert datetime.fromisoformat(inside["timestamp"]).tzinfo is not None


def test_the_standard_librarys_loggers_end_in_the_same_lines() -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn.error").setLevel(
        "CRITICAL"
    )  # as another server in this process may have left it
    configure_logging("info", "json", stream=stream)

    logging.getLogger("uvicorn.error").warning("mail %s\nnow", "anna@shop.example")
    logging.getLogger("asyncio").error("broken %d arguments", "x")
    logging.getLogger("uvicorn.error").debug("not shown")

    mail, broken = lines(stream)
    assert mail["event"] == "mail [email]\nnow"
    assert (mail["level"], mail["logger_name"]) == ("warning", "uvicorn.error")
    assert broken["event"] == "broken %d arguments"


@pytest.mark.parametrize("level", ["debug", "warning"])
def test_oddities_in_a_pdf_are_not_logged(level: LogLevel) -> None:
    stream = io.StringIO()
    configure_logging(level, "json", stream=stream)

    logging.getLogger("pypdf._reader").warning("Object 7 0 not defined.")
    logging.getLogger("pypdf._reader").error("broken")

    assert [line["event"] for line in lines(stream)] == ["broken"]


def test_every_field_is_redacted(stream: io.StringIO) -> None:
    get_logger("test").error(
        "call anna@shop.example",
        to="anna@shop.example",
        text="I am sad",
        details={"url": "redis://:hunter22@cache:1"},
        exc_info=RuntimeError("anna@shop.example said Bearer hunter22hunter22"),
    )

    assert "anna" not in stream.getvalue()
    assert "hunter22" not in stream.getvalue()
    assert "I am sad" not in stream.getvalue()
    assert "RuntimeError" in lines(stream)[0]["exception"]


def test_a_stream_that_cannot_be_written_to_does_not_fail_the_caller() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    stream.close()

    get_logger("test").info("x.y")


async def test_statements_and_their_values_are_not_logged_at_any_level(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream)

    async with aiosqlite.connect(tmp_path / "some.db") as connection:
        await connection.execute("SELECT ?", ("what a customer said",))

    assert "customer" not in stream.getvalue()


SERIOUS = {
    ErrorType.INTERNAL_ERROR,
    ErrorType.SERVICE_UNAVAILABLE,
    ErrorType.CONCURRENT_ACCESS_ERROR,
    ErrorType.STATE_LOAD_FAILED,
    ErrorType.STATE_SAVE_FAILED,
    ErrorType.DATA_INTEGRITY_ERROR,
}


def context(error_type: ErrorType, **fields: Any) -> ErrorContext:
    return ErrorContext(
        error_type=error_type,
        message="no answer",
        timestamp=datetime(2026, 11, 22, 8, 52, 15, 369123, tzinfo=UTC),
        **fields,
    )


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_the_level_follows_from_the_errors_type(stream: io.StringIO, error_type: ErrorType) -> None:
    StructuredErrorLogger(get_logger("test")).log_error(context(error_type))

    assert lines(stream)[0]["level"] == ("error" if error_type in SERIOUS else "warning")


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_only_an_error_in_the_input_comes_without_traceback(
    stream: io.StringIO, error_type: ErrorType
) -> None:
    StructuredErrorLogger(get_logger("test")).log_error(context(error_type), exc=RuntimeError("it"))

    is_input = error_type in (ErrorType.VALIDATION_ERROR, ErrorType.INVALID_INPUT)
    assert ("exception" in lines(stream)[0]) is not is_input


@pytest.mark.parametrize(
    ("failure", "has_cause", "is_traced"),
    [
        (PermissionDenied("only for customers who are signed in"), False, False),
        (DependencyRefusedUs("tickets", "tickets: answered 401"), False, False),
        (DependencyUnavailable("tickets", "tickets: answered 503"), False, False),
        (DependencyUnavailable("sql", "the driver said no"), True, True),
        (InternalFailure("a defect"), False, True),
        (ToolExecutionFailed("broke"), False, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_an_adapter_has_put_into_words_comes_without_traceback_but_with_its_cause(
    stream: io.StringIO, failure: CarelineError, has_cause: bool, is_traced: bool
) -> None:
    failure.__cause__ = OSError("connection reset") if has_cause else None

    StructuredErrorLogger(get_logger("test")).log_tool_error(context(failure.error_type), exc=failure)

    (line,) = lines(stream)
    assert ("exception" in line) is is_traced
    assert line["error_class"] == type(failure).__name__


def test_an_error_carries_its_context(stream: io.StringIO) -> None:
    errors = StructuredErrorLogger(get_logger("test"))
    where = context(
        ErrorType.TIMEOUT_ERROR,
        tool_name="open_ticket",
        dependency="tickets",
        retry_count=2,
        details={"a": 1},
    )

    errors.log_tool_error(where, exc=TimeoutError(), call_id="call_1")
    errors.log_conversation_error(context(ErrorType.INTERNAL_ERROR, conversation_id="conv_1"))

    tool, conversation = lines(stream)
    assert tool["event"] == "tool.failed"
    assert tool["error_type"] == "timeout_error"
    assert tool["error_class"] == "TimeoutError"
    assert tool["happened_at"] == "2026-11-22T08:52:15.369+00:00"
    assert (tool["tool"], tool["dependency"], tool["retry_count"]) == ("open_ticket", "tickets", 2)
    assert (tool["details"], tool["call_id"]) == ({"a": 1}, "call_1")
    assert (conversation["event"], conversation["conversation_id"]) == ("conversation.failed", "conv_1")
