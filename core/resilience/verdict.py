"""
What the end of a call says about the dependency that was called.

Three answers, because a call that was abandoned, or that never got its fair time, proves nothing.
"""

from enum import StrEnum

from core.errors import CallerError, DependencyError, DependencyRejectedInput, RateLimited

NOT_TRIED = frozenset({"circuit_open", "bulkhead_full", "retry_budget"})
"""Values of `DependencyError.reason` for calls that were never made."""


class Verdict(StrEnum):
    ALIVE = "alive"
    FAILING = "failing"
    UNPROVEN = "unproven"


def verdict_on(exc: BaseException) -> Verdict:
    """
    A "not found" or "that is wrong" is as good a proof of life as a result; what nobody foresaw is a failure.
    """
    match exc:
        case RateLimited():
            return Verdict.UNPROVEN
        case DependencyError(reason=reason) if reason in NOT_TRIED:
            return Verdict.UNPROVEN
        case CallerError() | DependencyRejectedInput():
            return Verdict.ALIVE
        case Exception():
            return Verdict.FAILING
        case _:
            return Verdict.UNPROVEN
