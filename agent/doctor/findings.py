"""
What a check found, and how all checks are carried out in a few seconds whatever they meet.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from core.errors import CarelineError

T = TypeVar("T")


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and something will be worse than it could be."""
    BROKEN = "broken"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`found` and `next_step` are sentences for an operator; `next_step` is None where nothing is to be done."""

    name: str
    status: Status
    found: str
    next_step: str | None = None


Check = Callable[[], Awaitable[Finding | Sequence[Finding]]]


def ok(name: str, found: str) -> Finding:
    return Finding(name=name, status=Status.OK, found=found)


def warn(name: str, found: str, next_step: str) -> Finding:
    return Finding(name=name, status=Status.WARN, found=found, next_step=next_step)


def broken(name: str, found: str, next_step: str) -> Finding:
    return Finding(name=name, status=Status.BROKEN, found=found, next_step=next_step)


async def examine(checks: Mapping[str, Check], *, seconds: float) -> Sequence[Finding]:
    """All at once; in their order. One that takes longer than `seconds` is broken."""
    tasks = {name: asyncio.ensure_future(_carried_out(check)) for name, check in checks.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    findings: list[Finding] = []
    for name, task in tasks.items():
        if task.done():
            findings += _told(name, task)
        else:
            task.cancel()
            findings.append(
                broken(
                    name,
                    f"no answer within {seconds:g} s",
                    "Check that it runs and that nothing lies between.",
                )
            )
    return findings


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where all is well, 1 with warnings, 2 where something is broken."""
    worst = {finding.status for finding in findings}
    return 2 if Status.BROKEN in worst else 1 if Status.WARN in worst else 0


async def in_thread(work: Callable[[], T]) -> T:
    """Blocking work that must not hold up the end of the program, as the threads of `asyncio.to_thread` do."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, exc: BaseException | None) -> None:
        if answer.done():
            return
        if exc is not None:
            answer.set_exception(exc)
        else:
            answer.set_result(value)  # type: ignore[arg-type] # None is what the work returned, then

    def run() -> None:
        value, failure = None, None
        try:
            value = work()
        except Exception as exc:  # carried over to who waits
            failure = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, daemon=True).start()
    return await answer


async def _carried_out(check: Check) -> Sequence[Finding]:
    found = await check()
    return [found] if isinstance(found, Finding) else found


def _told(name: str, task: "asyncio.Task[Sequence[Finding]]") -> Sequence[Finding]:
    """Of a failure that the check did not foresee, only the kind: its text may hold a password."""
    if task.cancelled():
        return [broken(name, "the check was cut short", "Run `careline doctor` again.")]
    exc = task.exception()
    if exc is None:
        return task.result()
    said = str(exc) if isinstance(exc, CarelineError) else type(exc).__name__
    return [broken(name, said, "Check its settings in docs/settings.md.")]
