"""
What came of a deploy: for each resource, what happened and what to do, and the exit code that scripts go by.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from core.errors import CarelineError, DependencyForbidsUs, DependencyRefusedUs, ValidationFailed


class Result(StrEnum):
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    INCOMPLETE = "incomplete"
    PENDING = "pending"
    FAILED = "failed"


class ExitCode:
    """As docs/deploy.md lists them."""

    DONE = 0
    MEND = 1
    WRONG_CALL = 2
    NEEDS_A_PERSON = 3
    RUN_AGAIN = 4


class State(StrEnum):
    UNCHANGED = "unchanged"
    TO_CREATE = "to create"
    TO_UPDATE = "to update"
    TO_REPLACE = "to replace"
    TO_RETIRE = "to retire"
    TO_DELETE = "to delete"
    CREATED = "created"
    UPDATED = "updated"
    REPLACED = "replaced"
    RETIRED = "retired"
    DELETED = "deleted"
    FAILED = "failed"
    TAKEN_BACK = "taken back"
    RESTORED = "restored"
    NOT_BEGUN = "not begun"
    UNKNOWN = "unknown"
    LEFT = "left"


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    field: str
    before: Any
    after: Any


class ResourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """`said` is what happened, `next_step` what to do; both empty where nothing is to be said."""

    section: str
    name: str
    state: State
    id: str | None = None
    why: str = ""
    changes: tuple[FieldChange, ...] = ()
    said: str = ""
    next_step: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`recoverable`: the same call may succeed later without that anybody changes anything."""

    result: Result
    exit_code: int
    recoverable: bool
    resources: tuple[ResourceReport, ...] = ()
    error: str = ""
    next_step: str = ""
    run: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Observer(Protocol):
    """Hears how a deploy gets on, while it runs."""

    def noted(self, text: str) -> None: ...

    def stage(self, name: str, total: int) -> None: ...

    def advanced(self) -> None: ...


class Silent:
    def noted(self, text: str) -> None:
        pass

    def stage(self, name: str, total: int) -> None:
        pass

    def advanced(self) -> None:
        pass


_NEXT_STEPS: Mapping[int, str] = {
    401: "Check --key, or CARELINE_DEPLOY_KEY.",
    403: "Use a key of the service's CARELINE_API_KEYS.",
    404: "Somebody has deleted it meanwhile: run the command again.",
    409: "Look at what it names: delete or rename one of the two, or run the command again.",
    422: "Correct the field in the file.",
    429: "Wait, and run the command again.",
    500: "Run the command again; if it stays, look for the request id in the service's log and report it.",
    503: "Look whether the service runs there (--to, or CARELINE_DEPLOY_URL), and run the command again.",
    504: "Look whether the service is overloaded, and run the command again.",
}

_REFUSED_US: Mapping[type[CarelineError], int] = {DependencyRefusedUs: 401, DependencyForbidsUs: 403}


def said_of(failure: CarelineError) -> str:
    if isinstance(failure, ValidationFailed) and failure.fields:
        return "; ".join(
            f"{'.'.join(str(part) for part in each.loc if part != 'body')}: {each.msg}"
            for each in failure.fields
        )
    return str(failure)


def next_step_for(failure: CarelineError) -> str:
    own: str | None = getattr(failure, "next_step", None)
    if own is not None:
        return own
    status = _REFUSED_US.get(type(failure)) or getattr(failure, "answered_status", None) or failure.status
    if failure.retry_after:
        return f"Wait {failure.retry_after:.0f} s, and run the command again."
    return _NEXT_STEPS.get(status, _NEXT_STEPS[503] if failure.may_retry else _NEXT_STEPS[500])
