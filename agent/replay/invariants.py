"""
What must hold of every replayed turn, whatever was recorded: which rule it breaks, and what was seen.

What must hold of the whole conversation is `agent.replay.endings`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from agent.replay.internal_text import InternalText
from agent.replay.log import RecordedConversation
from agent.replay.private_values import PrivateValues
from agent.replay.rows import Finding, ReplayedTurn
from agent.replay.rules import Rule, shortened
from core.errors import ErrorType
from core.messages import ActionStatus, Durability, TurnResult

_MARKER = re.compile(r"\[(\d{1,3})\](?!\()")
_MARK_OF_A_GUARDRAIL = re.compile(r"\[[a-z ]{4,30}\]")
"""What stands in the place of a number that was taken out of a quote."""
_DEPENDENCY_TROUBLE = frozenset(
    {
        ErrorType.SERVICE_UNAVAILABLE,
        ErrorType.TIMEOUT_ERROR,
        ErrorType.NETWORK_ERROR,
        ErrorType.EXTERNAL_API_ERROR,
    }
)
_MODEL_GIVEN_UP = frozenset({"model_passed_over", "fell_back"})
_WITHOUT_MODEL = "conversation:model"
_WITHOUT_SQL = "conversation:sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    What a replay knows beside its turns. `article` gives the text that an article has now, None for one that is not there; where
    the articles cannot be read (over HTTP) it is None itself, and citations are only compared with their reply.

    `longest_ms` is what a turn may take in all: its deadline and the commit after it.
    """

    longest_ms: float
    article: Callable[[str], str | None] | None = None
    private: PrivateValues = field(default_factory=PrivateValues)
    internal: InternalText = field(default_factory=InternalText)


def check(
    recorded: RecordedConversation,
    earlier: Sequence[ReplayedTurn],
    row: ReplayedTurn,
    *,
    result: TurnResult | None,
    known: Known,
    customer_id: str | None = None,
) -> tuple[Finding, ...]:
    """
    What is wrong with `row`, the newest turn of a conversation whose `earlier` rows are given in their order.

    `result` is what the agent gave, None where there was none; `customer_id` for whom it was, where the recording's customer is
    another here.
    """
    customer = customer_id if customer_id is not None else recorded.customer
    findings = [
        *_answered(row),
        *_in_its_place(recorded, earlier, row),
        *_effects_once(row),
        *_within_the_deadline(row, known),
    ]
    if result is not None:
        findings += [
            *_says_nothing_internal(earlier, row, result, known),
            *_citations_are_literal(result, known),
            *_degraded_is_named(row, result),
            *_of_this_customer_only(earlier, row, result, known, customer),
        ]
    return tuple(findings)


def _answered(row: ReplayedTurn) -> Iterator[Finding]:
    if row.error is not None:
        yield Finding(Rule.UNANSWERED, f"no reply: {row.error}")
    elif not row.reply.strip():
        yield Finding(Rule.UNANSWERED, f"an empty reply, status {row.status}")


def _in_its_place(
    recorded: RecordedConversation, earlier: Sequence[ReplayedTurn], row: ReplayedTurn
) -> Iterator[Finding]:
    expected = len(earlier) + 1
    if row.turn != expected:
        yield Finding(Rule.LOST_OR_DOUBLED, f"turn {row.turn} where turn {expected} was due")
    said = [message.text for message in recorded.messages if message.role == "customer"]
    if row.turn > len(said):
        yield Finding(Rule.LOST_OR_DOUBLED, f"turn {row.turn} of a recording with {len(said)}")
    elif row.customer != said[row.turn - 1]:
        yield Finding(
            Rule.LOST_OR_DOUBLED,
            f"the customer said {shortened(said[row.turn - 1])}, replayed was {shortened(row.customer)}",
        )
    if row.turn_id is not None and any(row.turn_id == other.turn_id for other in earlier):
        yield Finding(Rule.LOST_OR_DOUBLED, f"the answer of {row.turn_id}, which answered another message")


def _effects_once(row: ReplayedTurn) -> Iterator[Finding]:
    """Two receipts for one and the same wish; that another turn asks for the same again is the customer's affair."""
    done: dict[bytes, str] = {}
    for tool in row.tools:
        if tool.receipt is None or tool.args is None or tool.status == ActionStatus.FAILED:
            continue
        wish = msgspec.json.encode([tool.tool, tool.args], order="sorted")
        before = done.setdefault(wish, tool.receipt)
        if before != tool.receipt:
            yield Finding(
                Rule.EFFECT_TWICE, f"{tool.tool} with the same arguments as {before} and as {tool.receipt}"
            )


def _within_the_deadline(row: ReplayedTurn, known: Known) -> Iterator[Finding]:
    if row.latency_ms > known.longest_ms:
        yield Finding(Rule.TOO_LATE, f"{row.latency_ms:g} ms, {known.longest_ms:g} at most")


def _says_nothing_internal(
    earlier: Sequence[ReplayedTurn], row: ReplayedTurn, result: TurnResult, known: Known
) -> Iterator[Finding]:
    may_say = (*_said_by_customer(earlier, row), *_cited_texts(result, known))
    tools = {tool.tool for tool in row.tools if "_" in tool.tool}
    for where, text in _read_by_customer(result):
        found = dict.fromkeys(known.internal.found(text, may_say=may_say))
        for name in sorted(tools):
            if name in text and not any(name in said for said in may_say):
                found.setdefault(("a name of the inside", name))
        for what, words in found:
            yield Finding(Rule.INTERNAL_TEXT, f"{what} in {where}: {shortened(words)}")
        for secret in dict.fromkeys(known.internal.secrets_in(text, may_say=may_say)):
            yield Finding(Rule.SECRET, f"a key or password in {where}: {secret}")


def _citations_are_literal(result: TurnResult, known: Known) -> Iterator[Finding]:
    citations = result.reply.citations if result.reply is not None else ()
    text = result.reply.text if result.reply is not None else ""
    numbers = Counter(citation.n for citation in citations)
    for number, times in numbers.items():
        if times > 1:
            yield Finding(Rule.CITATION, f"[{number}] stands for {times} citations")
    marked = {int(number) for number in _MARKER.findall(text)}
    quoted = " ".join(citation.quote for citation in citations)
    for number in sorted(marked - numbers.keys()):
        if f"[{number}]" not in quoted:
            yield Finding(Rule.CITATION, f"[{number}] in the reply has no citation")
    for citation in citations:
        named = f"[{citation.n}] {citation.article_id}"
        if not citation.quote.strip():
            yield Finding(Rule.CITATION, f"{named}: an empty quote")
        if known.article is None:
            continue
        body = known.article(citation.article_id)
        if body is None:
            yield Finding(Rule.CITATION, f"{named}: there is no such article")
        elif not _stands_in(citation.quote, body):
            yield Finding(Rule.CITATION, f"{named}: not in the article: {shortened(citation.quote)}")


def _stands_in(quote: str, body: str) -> bool:
    if quote in body:
        return True
    pieces = [piece for piece in _MARK_OF_A_GUARDRAIL.split(quote) if piece.strip()]
    if len(pieces) < 2 and pieces == [quote]:
        return False
    position = 0
    for piece in pieces:
        position = body.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return bool(pieces)


def _degraded_is_named(row: ReplayedTurn, result: TurnResult) -> Iterator[Finding]:
    named = {f"{part.feature}:{part.dependency}" for part in result.degraded}
    features = {part.feature for part in result.degraded}
    dependencies = {part.dependency for part in result.degraded}
    for part in result.degraded:
        if not part.message.strip():
            yield Finding(Rule.DEGRADED, f"{part.feature}:{part.dependency} has no words for the customer")
    if not result.degraded:
        for action in result.actions:
            if action.status is ActionStatus.FAILED and action.error_type in _DEPENDENCY_TROUBLE:
                yield Finding(
                    Rule.DEGRADED, f"{action.tool} failed ({action.error_type}) and nothing is named"
                )
    for step in row.steps:
        for feature, dependency in step.get("degraded") or ():
            if feature not in features and dependency not in dependencies:
                yield Finding(Rule.DEGRADED, f"{step.get('tool')} did without {feature}:{dependency}")
        if step.get("kind") in _MODEL_GIVEN_UP and _WITHOUT_MODEL not in named:
            yield Finding(Rule.DEGRADED, f"no model answered ({step.get('why')}), and that is not named")
    has_lost_model = result.brain == "embedded" and any(fault.startswith("model:") for fault in row.faults)
    if has_lost_model and _WITHOUT_MODEL not in named:
        yield Finding(Rule.DEGRADED, "the model failed, the built-in brain answered, and that is not named")
    if result.durability is Durability.REDIS and _WITHOUT_SQL not in named:
        yield Finding(Rule.DEGRADED, "the message is kept in Redis alone, and that is not named")


def _of_this_customer_only(
    earlier: Sequence[ReplayedTurn],
    row: ReplayedTurn,
    result: TurnResult,
    known: Known,
    customer_id: str | None,
) -> Iterator[Finding]:
    found = [
        (where, value, owner)
        for where, text in _read_by_customer(result)
        for value, owner in dict.fromkeys(known.private.of_others(text, customer_id))
    ]
    if not found:
        return
    may_say = (*_said_by_customer(earlier, row), *_cited_texts(result, known))
    allowed = {value for said in may_say for value, _ in known.private.of_others(said, customer_id)}
    for where, value, owner in found:
        if value not in allowed:
            yield Finding(Rule.OTHERS_DATA, f"{value!r} in {where} is of {owner}")


def _read_by_customer(result: TurnResult) -> Iterator[tuple[str, str]]:
    if result.reply is not None:
        yield "the reply", result.reply.text
        yield from (("a quick reply", text) for text in result.reply.quick_replies)
    yield from ((f"what {action.tool} says", action.summary) for action in result.actions)
    yield from ((f"the note of {part.feature}", part.message) for part in result.degraded)


def _said_by_customer(earlier: Sequence[ReplayedTurn], row: ReplayedTurn) -> Iterator[str]:
    yield from (turn.customer for turn in earlier)
    yield row.customer


def _cited_texts(result: TurnResult, known: Known) -> Iterator[str]:
    for citation in result.reply.citations if result.reply is not None else ():
        yield citation.quote
        yield citation.title
        if known.article is not None and (body := known.article(citation.article_id)) is not None:
            yield body
