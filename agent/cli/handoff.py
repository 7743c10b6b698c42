"""
What a person of the team does about conversations that were handed over: read them, answer, give them back to the agent.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
import typer

from agent.cli.common import explained, fail, out, printable, settings_or_exit
from agent.workers.handoffs import HandoffDesk, ShownConversation, WaitingConversation
from core.errors import CallerError
from core.identity import DEFAULT_TENANT
from state.sql.handoffs import Said

T = TypeVar("T")

_SHOWN_WORDS = 120

app = typer.Typer(help="Answer customers whose conversation was handed to a person.", no_args_is_help=True)

_Conversation = Annotated[
    str, typer.Argument(metavar="ID", help="The conversation, as `careline handoff list` names it.")
]
_Tenant = Annotated[str, typer.Option(help="Whose conversation it is.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]


@app.callback()
def handoff() -> None:
    """Answer customers whose conversation was handed to a person."""


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: _Json = False,
) -> None:
    """List the conversations that are with a person: those without an answer first, and whoever waits longest before others."""

    async def ask(desk: HandoffDesk) -> Sequence[WaitingConversation]:
        return await desk.waiting(tenant=tenant, limit=limit)

    found = _with_desk(ask)
    if as_json:
        _write_json(found)
        return
    for each in found:
        out.print(_line(each), soft_wrap=True, markup=False)
        out.print(f"    {_shortened(each.last_words)}", soft_wrap=True, markup=False)
    if not found:
        out.print("Nobody waits for a person.")


@app.command("show")
def show(
    conversation_id: _Conversation,
    tenant: _Tenant = DEFAULT_TENANT,
    newest: Annotated[int, typer.Option(min=1, max=1000, help="How many messages, the newest.")] = 50,
    as_json: _Json = False,
) -> None:
    """Show what was said, oldest first."""

    async def ask(desk: HandoffDesk) -> ShownConversation:
        return await desk.shown(tenant, conversation_id, newest=newest)

    shown = _with_desk(ask)
    if as_json:
        _write_json(shown)
        return
    until = shown.with_a_person_until
    who = f"with a person until {until:%Y-%m-%d %H:%M} UTC" if until else "with the agent"
    facts = [shown.conversation_id, f"customer {shown.customer_id}", shown.channel, shown.locale or "", who]
    out.print(printable(" · ".join(filter(None, facts))), soft_wrap=True, markup=False)
    if shown.earlier_messages:
        out.print(f"({shown.earlier_messages} earlier messages)")
    for message in shown.messages:
        lines = [printable(line) for line in message.text.splitlines()] or [""]
        out.print(
            f"{message.at:%Y-%m-%d %H:%M} {message.role.value}: " + "\n    ".join(lines),
            soft_wrap=True,
            markup=False,
        )


@app.command("reply")
def reply(
    conversation_id: _Conversation,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What the customer reads; `-` reads it from standard input.")
    ],
    tenant: _Tenant = DEFAULT_TENANT,
) -> None:
    """
    Answer the customer, who reads it at once in the conversation, as from your team.

    From then on the conversation is with you for CARELINE_HANDOFF_TIMEOUT_MINUTES, also where the agent had it. The same words to
    the same message of the customer are said once, so a reply of which you do not know whether it went can be sent again.
    """
    words = sys.stdin.read() if text == "-" else text

    async def ask(desk: HandoffDesk) -> Said:
        return await desk.reply(tenant, conversation_id, words)

    said = _with_desk(ask)
    out.print("The customer reads it now." if said.is_new else "That was said already; nothing was added.")


@app.command("return")
def return_(conversation_id: _Conversation, tenant: _Tenant = DEFAULT_TENANT) -> None:
    """Give the conversation back to the agent, who answers the next message. The customer reads that."""

    async def ask(desk: HandoffDesk) -> bool:
        return await desk.give_back(tenant, conversation_id)

    is_new = _with_desk(ask)
    out.print("The agent answers again." if is_new else "The agent has this conversation already.")


def _with_desk(ask: Callable[[HandoffDesk], Awaitable[T]]) -> T:
    settings = settings_or_exit()

    async def run() -> T:
        from agent.bootstrap import open_handoff_desk

        async with open_handoff_desk(settings) as desk:
            return await ask(desk)

    with explained(
        "Nothing was changed, or it was and this is not known: the same command again does it once. Check that the database runs "
        "and that CARELINE_DATABASE_URL names it."
    ):
        try:
            return asyncio.run(run())
        except CallerError as exc:
            fail(str(exc), next_step="`careline handoff list` names those that wait; check --tenant, too.")


def _write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _line(found: WaitingConversation) -> str:
    """One line for eyes; what comes from outside is stripped of what would steer a terminal."""
    facts = [
        found.conversation_id,
        "answered" if found.is_answered else "waits for an answer",
        f"since {found.said_at:%Y-%m-%d %H:%M} UTC",
        f"tenant {found.tenant}",
        f"customer {found.customer_id}",
        found.channel,
        *([found.locale] if found.locale else []),
        *([f"with the agent again from {found.until:%H:%M} UTC"] if found.until else []),
    ]
    return printable(" · ".join(facts))


def _shortened(words: str) -> str:
    one_line = printable(" ".join(words.split()))
    return one_line if len(one_line) <= _SHOWN_WORDS else one_line[: _SHOWN_WORDS - 1] + "…"
