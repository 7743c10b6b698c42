"""
Why a turn was answered as it was, for an operator to read.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agent.cli.common import explained, fail, out, printable, settings_or_exit
from core.errors import NotFound
from core.identity import DEFAULT_TENANT

if TYPE_CHECKING:
    from agent.api.wire import ExplainedTurn

_LONGEST_FACT = 400


def explain(
    turn_id: Annotated[
        str, typer.Argument(metavar="TURN", help="The turn_id of an answer, of a message or of a log line.")
    ],
    tenant: Annotated[str, typer.Option(help="Whose turn it is.")] = DEFAULT_TENANT,
    as_json: Annotated[bool, typer.Option("--json", help="As GET /v1/turns/TURN?view=explain.")] = False,
) -> None:
    """
    Show what a turn found, decided, called, repeated and left out, and which dependency was down.

    It is kept for CARELINE_EXPLAINED_DAYS, without addresses, numbers and secrets.
    """
    settings = settings_or_exit()
    from agent.bootstrap import explained_turn

    with explained():
        try:
            turn = asyncio.run(explained_turn(settings, tenant, turn_id))
        except NotFound as exc:
            fail(str(exc), next_step="Check the turn_id and --tenant; an answer's turn_id stands beside it.")
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(turn), indent=2).decode() + "\n")
        return
    for line in lines_of(turn):
        out.print(line, soft_wrap=True, markup=False)


def lines_of(turn: "ExplainedTurn") -> Iterator[str]:
    result = turn.turn
    times = result.timings_ms
    yield (
        f"Turn {result.turn_id} of {result.conversation_id}: {result.status.value}, brain {result.brain}"
        + (f" ({result.model})" if result.model else "")
    )
    yield (
        f"{times.total:g} ms: {times.load:g} loading, {times.brain:g} thinking, {times.tools:g} in tools, "
        f"{times.save:g} storing the message; kept in {result.durability.value}"
    )
    for part in result.degraded:
        yield f"Without {part.dependency}: {part.feature}, since {part.since}"
    yield ""
    if turn.explanation is None:
        yield "Nothing more is known: it was not kept (CARELINE_EXPLAINED_DAYS), or its process ended at once after it."
    else:
        for step in turn.explanation.steps:
            yield from _step(step)
        if turn.explanation.left_out:
            yield f"… and {turn.explanation.left_out} more steps that were not kept"
    if result.reply is not None:
        yield ""
        yield f"Reply: {printable(result.reply.text)}"
        for citation in result.reply.citations:
            yield f"  [{citation.n}] {printable(citation.title)} ({citation.article_id}): {printable(citation.quote)}"
    for given in turn.feedback:
        judgement = given.thumbs or f"{given.score} of 5"
        yield f"Feedback of {printable(given.given_by)}: {judgement}" + (
            f", {printable(given.comment)}" if given.comment else ""
        )


def _step(step: Mapping[str, Any]) -> Iterator[str]:
    facts = {name: value for name, value in step.items() if name not in ("kind", "at_ms")}
    lists = {name: value for name, value in facts.items() if _is_table(value)}
    short = "  ".join(
        f"{name}={_fact(value)}"
        for name, value in facts.items()
        if name not in lists and value not in (None, [], {})
    )
    yield f"{step['at_ms']:>9.2f} ms  {step['kind']}  {short}"
    for name, rows in lists.items():
        for row in rows:
            told = "  ".join(f"{key}={_fact(value)}" for key, value in row.items() if value is not None)
            yield f"{'':14}{name}: {told}"


def _is_table(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _fact(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return printable(text if len(text) <= _LONGEST_FACT else text[:_LONGEST_FACT] + "…")
