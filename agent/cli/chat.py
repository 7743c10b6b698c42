"""
Talk to the agent in a terminal: the same turns as over HTTP, streamed, with citations and degraded notices.
"""

import asyncio
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.cli.common import err, explained, out, settings_or_exit
from agent.turn.inputs import ChatRequest, Delta, Finished, Reset, Turns
from core.errors import CarelineError
from core.identity import Caller, CallerKind
from core.ids import new_id
from core.messages import TurnResult

_LEAVE = frozenset({"/quit", "/exit", "/q"})


def chat(
    customer: Annotated[
        str | None, typer.Option(help="Customer id to talk as; left out, a new customer.")
    ] = None,
    locale: Annotated[
        str | None, typer.Option(help="Language of the customer, BCP 47, e.g. en or de-AT.")
    ] = None,
) -> None:
    """
    Talk to the agent in this terminal.

    Reads the same settings and database as `careline serve`. Type a message and press Enter; /quit or Ctrl-D leaves. Messages
    can also be piped in, one a line.
    """
    from agent.bootstrap import open_careline

    settings = settings_or_exit(log_level="error")

    async def run() -> None:
        async with open_careline(settings) as careline:
            await _converse(careline.turns, customer, locale)

    with explained():
        asyncio.run(run())


async def _converse(turns: Turns, customer: str | None, locale: str | None) -> None:
    caller = Caller(kind=CallerKind.LOCAL, customer_id=customer)
    conversation_id: str | None = None
    if sys.stdin.isatty():
        out.print("[dim]Ask something; /quit or Ctrl-D leaves.[/dim]")
    while (text := await asyncio.to_thread(_read_line)) is not None:
        if not text.strip():
            continue
        if text.strip() in _LEAVE:
            return
        request = ChatRequest(
            caller=caller,
            message=text,
            conversation_id=conversation_id,
            client_message_id=new_id("cm"),
            locale=locale,
            channel="terminal",
        )
        try:
            result = await _ask(turns, request)
        except CarelineError as exc:
            err.print(f"[red]{escape(str(exc))}[/red]\n{exc.user_action}", soft_wrap=True)
            continue
        if result is not None:
            conversation_id = result.conversation_id
            _print_notes(result)


def _read_line() -> str | None:
    if sys.stdin.isatty():
        try:
            return input("you> ")
        except EOFError:
            return None
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


async def _ask(turns: Turns, request: ChatRequest) -> TurnResult | None:
    submission = await turns.submit(request)
    if submission.result is not None:
        out.print(_plain(submission.result))
        return submission.result
    out.print("[bold]agent>[/bold] ", end="")
    async for _, event in turns.events(request.caller.tenant, submission.turn_id):
        match event:
            case Delta(text=text):
                out.print(text, end="", markup=False, soft_wrap=True)
            case Reset():
                out.print("\n[dim](beginning again)[/dim]")
            case Finished(result=result, error=error):
                out.print()
                if error is not None:
                    raise error
                return result
            case _:
                pass
    return None


def _plain(result: TurnResult) -> str:
    return escape(result.reply.text) if result.reply else ""


def _print_notes(result: TurnResult) -> None:
    """Sources, receipts and what works less well just now."""
    if result.reply is not None:
        for citation in result.reply.citations:
            link = f" <{citation.url}>" if citation.url else ""
            out.print(f"  [dim]\\[{citation.n}] {escape(citation.title)}{escape(link)}[/dim]", soft_wrap=True)
        if result.reply.quick_replies:
            out.print(
                f"  [dim]you could say: {escape(' · '.join(result.reply.quick_replies))}[/dim]",
                soft_wrap=True,
            )
    for action in result.actions:
        if action.receipt:
            out.print(f"  [green]receipt {action.receipt}[/green]")
    for part in result.degraded:
        out.print(f"  [yellow]{escape(part.message)}[/yellow]", soft_wrap=True)
