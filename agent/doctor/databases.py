"""
The databases: whether they let us in, have their tables, agree with this machine's clock, and who waits in the outbox.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from agent.doctor.findings import Check, Finding, broken, in_thread, ok, warn
from core.settings import Settings
from state.opening import migrations
from state.sql.advice import DatabaseNotOpened
from state.sql.engine import async_url
from state.sql.inspection import Standing, inspect
from state.sql.migrate import Branch, setting_of

_MOST_SKEW_SECONDS = 2.0
_OVERDUE_SECONDS = 300.0
_NAMES = {"sql": "database", "customers": "directory", "tickets": "desk"}


def database_checks(settings: Settings) -> Mapping[str, Check]:
    """One for each configured database. What lives in the main one is told with it, where it is Careline's own."""
    checks: dict[str, Check] = {}
    elsewhere = {
        name
        for name, is_elsewhere in (
            ("tickets", settings.ticket_desk is not None),
            ("customers", settings.customers_api is not None or settings.customers_sql is not None),
        )
        if is_elsewhere
    }
    for migration in reversed(migrations(settings)):
        names = [_NAMES[dependency] for dependency in migration.dependencies if dependency not in elsewhere]
        if not names:
            continue
        branches = tuple(migration.branches.values())

        checks[names[0]] = partial(_check, migration.url, names, branches)
    return checks


async def _check(url: str, names: Sequence[str], branches: Sequence[Branch]) -> Sequence[Finding]:
    """What depends on a database that cannot be opened is told once, with it."""
    setting = setting_of(branches)
    try:
        standing = await in_thread(lambda: inspect(url, branches=branches, setting=setting))
    except DatabaseNotOpened as exc:
        return [broken(names[0], str(exc), exc.next_step)]
    if not standing.exists:
        return [_of_a_file_to_come(url, names[0], setting)]
    findings = [_of_tables(name, standing) for name in names]
    if standing.clock_ahead_seconds is not None:
        findings.append(_of_clock(f"{names[0]} clock", standing.clock_ahead_seconds))
    if standing.promised is not None:
        findings.append(_of_outbox(standing.promised, standing.overdue_seconds))
    return findings


def _of_a_file_to_come(url: str, name: str, setting: str) -> Finding:
    file = Path(str(async_url(url).database))
    if file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK):
        return ok(name, f"{file} is not there yet; the first start makes it")
    return broken(
        name,
        f"{file} is not there and cannot be made",
        f"Make the folder {file.parent.absolute()} and let this user write to it, or correct {setting}.",
    )


def _of_tables(name: str, standing: Standing) -> Finding:
    if standing.missing:
        return warn(
            name,
            f"reached, without the tables of this version ({', '.join(standing.missing)})",
            "Run `careline migrate`; `careline serve` does it at its start, too.",
        )
    if standing.unknown:
        return warn(
            name,
            f"reached, with tables of a newer version ({', '.join(standing.unknown)})",
            "Fine during an upgrade; else install the version that made them.",
        )
    return ok(name, "reached, with the tables of this version")


def _of_clock(name: str, ahead: float) -> Finding:
    found = f"{abs(ahead):.2f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) <= _MOST_SKEW_SECONDS:
        return ok(name, found)
    return warn(
        name,
        found,
        "Synchronise the clocks of both machines (NTP): times that customers read come from both.",
    )


def _of_outbox(promised: Mapping[str, int], overdue_seconds: float) -> Finding:
    dead, due = promised.get("dead", 0), promised.get("due", 0)
    if dead:
        return warn("outbox", f"{dead} wait for a person, {due} are due", "Run `careline outbox list`.")
    if overdue_seconds > _OVERDUE_SECONDS:
        return warn(
            "outbox",
            f"{due} are due, the oldest for {overdue_seconds / 60:.0f} minutes, and nobody works on it",
            "Run `careline worker`, or `careline serve` with CARELINE_BACKGROUND_WORK=embedded.",
        )
    return ok("outbox", f"{due} are due, nothing waits for a person")
