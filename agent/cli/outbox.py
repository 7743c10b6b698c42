"""
What was promised to customers and is still to be done, and an operator's word on it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
import typer

from agent.cli.common import USAGE_ERROR, explained, fail, out, printable, settings_or_exit
from agent.workers.settling import FOR_TEAM, STATUSES, OutboxDesk, Promise
from core.errors import CallerError

T = TypeVar("T")

app = typer.Typer(help="List what was promised to customers, and decide on it.", no_args_is_help=True)

_Named = Annotated[
    str, typer.Argument(metavar="KEY", help="The key, or the receipt number R-… that the customer has.")
]
_Tenant = Annotated[str | None, typer.Option(help="Whose it is; left out: any tenant's.")]


@app.callback()
def outbox() -> None:
    """List what was promised to customers, and decide on it."""


@app.command("list")
def list_(
    status: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(STATUSES)}; left out: the first three.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="ticket, notification, handoff, or the name of a tool.")
    ] = None,
    tenant: _Tenant = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for scripts.")] = False,
) -> None:
    """
    List what waits (due), what a person must look at (unknown, dead), and what is over (done, dropped).

    An effect of unknown fate has begun, its answer never came, and the system behind it recognises no repeat. The line says what
    to look for; then `done KEY REFERENCE`, `retry KEY` or `drop KEY --reason` decides.
    """
    if status is not None and status not in STATUSES:
        fail(
            f"--status {status}: no such status",
            next_step=f"Use one of {', '.join(STATUSES)}.",
            code=USAGE_ERROR,
        )

    async def ask(desk: OutboxDesk) -> Sequence[Promise]:
        return await desk.promises(status=status, kind=kind, tenant=tenant, limit=limit)

    promises = _with_desk(ask)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(promises), indent=2).decode() + "\n")
        return
    for promise in promises:
        out.print(_line(promise), soft_wrap=True, markup=False)
        for more in (promise.decision and f"Decided: {promise.decision}", promise.check):
            if more:
                out.print(f"    {printable(more)}", soft_wrap=True, markup=False)
    if not promises:
        out.print("Nothing waits." if status is None else f"Nothing is {status}.")


@app.command("done")
def done(
    named: _Named,
    reference: Annotated[str, typer.Argument(help="The other system's own number of it.")],
    tenant: _Tenant = None,
) -> None:
    """Say that it has happened, under this reference. The customer is told in the conversation."""
    promise, is_told = _with_desk(lambda desk: desk.done(named, reference, tenant=tenant))
    _say(promise, "is done", is_told=is_told)


@app.command("retry")
def retry(named: _Named, tenant: _Tenant = None) -> None:
    """
    Try it again now, with its attempts forgotten.

    For an effect of unknown fate: only after you have seen that it has not happened. The customer hears of the outcome.
    """
    promise = _with_desk(lambda desk: desk.retry(named, tenant=tenant))
    out.print(f"{promise.receipt} is due now.")


@app.command("drop")
def drop(
    named: _Named,
    reason: Annotated[
        str, typer.Option(help="Why; kept with it, for your colleagues. The customer does not read it.")
    ],
    tenant: _Tenant = None,
) -> None:
    """Decide that it shall not happen. The customer is told in the conversation that it could not be done."""
    if not reason.strip():
        fail("--reason is empty", next_step="Say why, in a few words.", code=USAGE_ERROR)
    promise, is_told = _with_desk(lambda desk: desk.drop(named, reason.strip(), tenant=tenant))
    _say(promise, "is dropped", is_told=is_told)


def _say(promise: Promise, what: str, *, is_told: bool) -> None:
    out.print(f"{promise.receipt} {what}.")
    if promise.kind == FOR_TEAM:
        return
    out.print(
        "The customer reads it in the conversation."
        if is_told
        else "Its conversation is gone: nobody was told."
    )


def _with_desk(ask: Callable[[OutboxDesk], Awaitable[T]]) -> T:
    settings = settings_or_exit()

    async def run() -> T:
        from agent.bootstrap import open_outbox_desk

        async with open_outbox_desk(settings) as desk:
            return await ask(desk)

    with explained():
        try:
            return asyncio.run(run())
        except CallerError as exc:
            fail(
                str(exc),
                next_step="`careline outbox list` shows what waits, with --status done what is over.",
            )


def _line(promise: Promise) -> str:
    """One line for eyes; what comes from outside is stripped of what would steer a terminal."""
    facts = [promise.receipt, promise.status, promise.kind, f"tenant {promise.tenant}"]
    if promise.created_at is not None:
        facts.append(f"of {promise.created_at:%Y-%m-%d %H:%M} UTC")
    if promise.status in ("due", "dead"):
        facts.append(f"{promise.attempts} attempts")
    if promise.is_leased:
        facts.append("being carried out")
    facts += [promise.error] if promise.error else []
    facts += [f"reference {promise.reference}"] if promise.reference else []
    return printable(" · ".join([*facts, f"key {promise.key}"]))
