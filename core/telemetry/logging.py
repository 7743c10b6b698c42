"""
Structured events for operators: one line each, whatever is inside, with nothing in it that must not be
logged.

Call `configure_logging` once per process; the standard library's loggers (uvicorn's, asyncio's) end in the
same lines.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Literal, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    ErrorContext,
    ErrorType,
    InternalFailure,
    ToolExecutionFailed,
)
from core.telemetry.recent import recent_events
from core.telemetry.redaction import SHORT, redacted_field, redacted_short_field, redacted_text

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
"""Nothing here is critical: that silences a process whose failures are told elsewhere."""
LogFormat = Literal["json", "console"]

_SERIOUS = frozenset(
    {
        ErrorType.INTERNAL_ERROR,
        ErrorType.SERVICE_UNAVAILABLE,
        ErrorType.CONCURRENT_ACCESS_ERROR,
        ErrorType.STATE_LOAD_FAILED,
        ErrorType.STATE_SAVE_FAILED,
        ErrorType.DATA_INTEGRITY_ERROR,
    }
)
_WITHOUT_TRACEBACK = frozenset({ErrorType.VALIDATION_ERROR, ErrorType.INVALID_INPUT})
_OF_OURS = (InternalFailure, ToolExecutionFailed, DataIntegrityFailed)

_NOTHING_TO_HIDE = frozenset({int, float, bool, type(None)})
_OUR_OWN_FIELDS = frozenset({"level", "timestamp", "logger_name"})
_LONGEST_TRACEBACK = 8_000
_BREAKS_A_LINE = re.compile(
    r"[^\x20-\x7e\xa0-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufdff\ufe00-\U0010ffff]"
)


def configure_logging(
    level: LogLevel = "info", format: LogFormat = "json", *, stream: IO[str] | None = None
) -> None:
    """Events go to `stream`, by default standard error, so that what a command prints stays clean."""
    line_writer = structlog.WriteLogger(cast("Any", _LineFile(stream if stream is not None else sys.stderr)))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_level_and_time,
            _render_exception,
            _redact,
            _remember,
            _as_json if format == "json" else _for_eyes,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: line_writer,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
        logger.setLevel(logging.NOTSET)
    # They log each request or statement, values included, or each step of a migration; our own events say what matters.
    for name in ("httpx", "httpcore", "uvicorn.access", "alembic", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of every oddity that it reads on past; a file that it cannot read is named by our own report.
    logging.getLogger("pypdf").setLevel(logging.ERROR)


def get_logger(name: str) -> FilteringBoundLogger:
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


@contextmanager
def bound_ids(**ids: str | None) -> Iterator[None]:
    """
    Every event inside carries these (request_id, conversation_id, turn_id), in tasks that are started inside
    too.
    """
    with structlog.contextvars.bound_contextvars(
        **{name: value for name, value in ids.items() if value is not None}
    ):
        yield


class StructuredErrorLogger:
    """
    Errors as events: the level follows from the error's type; an error in the input, or one that our own words say all of, needs
    no traceback.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def log_error(self, context: ErrorContext, *, exc: BaseException | None = None, **fields: Any) -> None:
        self._write("error.happened", context, exc, fields)

    def log_tool_error(
        self, context: ErrorContext, *, exc: BaseException | None = None, **fields: Any
    ) -> None:
        self._write("tool.failed", context, exc, fields)

    def log_conversation_error(
        self, context: ErrorContext, *, exc: BaseException | None = None, **fields: Any
    ) -> None:
        self._write("conversation.failed", context, exc, fields)

    def _write(
        self, event: str, context: ErrorContext, exc: BaseException | None, fields: dict[str, Any]
    ) -> None:
        facts: dict[str, Any] = {
            "error_type": context.error_type.value,
            "message": context.message,
            # With more digits it reads like a phone number, and is taken out.
            "happened_at": context.timestamp.isoformat(timespec="milliseconds"),
            "customer_id": context.customer_id,
            "conversation_id": context.conversation_id,
            "tool": context.tool_name,
            "dependency": context.dependency,
            "reason": context.reason,
            "retry_count": context.retry_count or None,
            "details": dict(context.details) or None,
            "error_class": type(exc).__name__ if exc is not None else None,
        }
        known = {name: value for name, value in facts.items() if value is not None} | fields
        if exc is not None and context.error_type not in _WITHOUT_TRACEBACK and not _says_it_all(exc):
            known["exc_info"] = exc
        write = self._log.error if context.error_type in _SERIOUS else self._log.warning
        write(event, **known)


def _says_it_all(exc: BaseException) -> bool:
    """A refusal or a bad answer that an adapter has put into words: where it was met tells an operator nothing more."""
    return isinstance(exc, CarelineError) and not isinstance(exc, _OF_OURS) and exc.__cause__ is None


class _LineFile:
    """
    Writes each event in one piece and survives a stream that cannot take it (closed, full disk, wrong
    encoding).
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> None:
        try:
            self._file.write(line)
            self._file.flush()
        except UnicodeEncodeError:
            self._file.write(line.encode("ascii", "backslashreplace").decode("ascii"))
            self._file.flush()
        except (OSError, ValueError):
            # Nowhere is left to say it, and a full disk must not fail the customer's turn.
            return

    def flush(self) -> None:
        """`write` has done it."""


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # somebody else's wrong format arguments
            message = str(record.msg)
        get_logger(record.name).log(min(record.levelno, logging.CRITICAL), message, exc_info=record.exc_info)


def _add_level_and_time(
    _: WrappedLogger, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["level"] = "error" if method == "exception" else method
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    return event


def _render_exception(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    given = event.pop("exc_info", None)
    if not given:
        return event
    exc: BaseException | None = given if isinstance(given, BaseException) else None
    if exc is None:
        info: tuple[type[BaseException] | None, BaseException | None, TracebackType | None] = (
            given if isinstance(given, tuple) else sys.exc_info()
        )
        exc = info[1]
    if exc is not None:
        event["exception"] = _traceback_of(exc)
    return event


def _traceback_of(exc: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(exc, limit=-20))
    except Exception:  # a log line must outlive a broken __str__
        return type(exc).__name__
    # The end names the error; the beginning of a long one is the least telling part.
    return text[-_LONGEST_TRACEBACK:]


def _redact(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        kind = type(value)
        if kind in _NOTHING_TO_HIDE or name in _OUR_OWN_FIELDS:
            continue
        if name == "exception":
            event[name] = redacted_text(value, longest=_LONGEST_TRACEBACK)
        elif kind is str and len(value) <= SHORT:
            event[name] = redacted_short_field(name, value)
        else:
            event[name] = redacted_field(name, value)
    return event


def _remember(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    recent_events().add(dict(event))
    return event


def _as_json(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> str:
    try:
        line = orjson.dumps(event)
        # U+2028 and U+0085 stay as they are in orjson's output, and end a line for many readers of logs.
        if line.isascii():
            return line.decode("ascii")
    except TypeError:
        # Lone surrogates and integers beyond 64 bits; redaction has made everything else plain.
        pass
    return json.dumps(event, ensure_ascii=True)


def _for_eyes(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> str:
    time = str(event.pop("timestamp"))[11:19]
    level = event.pop("level")
    name = event.pop("event", "")
    logger = event.pop("logger_name", "")
    exception = event.pop("exception", None)
    parts = [time, f"{level:<7}", _one_line(str(name))]
    parts += [f"{_one_line(str(field))}={_one_line(_shown(value))}" for field, value in event.items()]
    parts.append(f"({_one_line(str(logger))})")
    line = " ".join(parts)
    if exception is not None:
        line += "".join(f"\n    | {_one_line(step)}" for step in str(exception).rstrip("\n").split("\n"))
    return line


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value and " " not in value else repr(value)


def _one_line(text: str) -> str:
    return _BREAKS_A_LINE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
