"""
τ²-bench tasks: what the acted customer is to want becomes what the customer says, the calls that are right become recorded ones.

A task tells an actor about his part in the second person ("You want to cancel your order"). Directions to the actor are left out,
the rest is turned into the first; so the words are nearly all the data set's own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.replay.formats.base import Format, Record
from agent.replay.log import RecordedConversation, RecordedMessage

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n+")
_PARAGRAPH = re.compile(r"\n\s*\n")
_DIRECTION = re.compile(
    r"^\W*(?:you are (?:playing|currently|calling|chatting|contacting)|your (?:character|role|goal|task|persona)\b|"
    r"(?:only|never|always|do not|don't|make sure|be sure|remember|respond|act|begin|start|use|end|mention|provide|answer|ask|"
    r"if|when|once|after|before|unless|in case|wait|continue|call|follow|note|important|please|then)\b|"
    r"you (?:should|must|will|would|can|may|do|don't|only|never|have access)\b)"
    r"|\b(?:the )?(?:agent|representative|assistant|role|persona|tool|function)s?\b|###|###stop###",
    re.IGNORECASE,
)
"""A sentence that tells the actor how to behave, not what the customer is or wants."""

_PERSON: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), mine)
    for pattern, mine in (
        (r"\bthank you\b", "thanks"),
        (r"\byou are\b", "I am"),
        (r"\byou're\b", "I'm"),
        (r"\byou were\b", "I was"),
        (r"\bare you\b", "am I"),
        (r"\byourself\b", "myself"),
        (r"\byours\b", "mine"),
        (r"\byour\b", "my"),
        (r"\b(to|for|with|from|about|of|at|by|on|tell|told|g[ia]ves?|offer(?:s|ed)?|charge[sd]?|lets?|help(?:s|ed)?|send|sends|sent"
         r"|owes?|refund|allow(?:s|ed)?|costs?|show|makes?|made) you\b", r"\1 me"),
        (r"\byou\b", "I"),
    )
)  # fmt: skip
_LINE = re.compile(r"(?<![\w])\"([A-Z][^\"]{20,1000}[.?!…])\"")
"""What a script has the customer say, word for word."""
_USER_ID = re.compile(r"\b[a-z]+_[a-z]+_\d{3,5}\b")


def first_person(text: str) -> str:
    """What the customer would say of "You want your money": "I want my money". Sentences begin with a capital."""
    for pattern, mine in _PERSON:
        text = pattern.sub(mine, text)
    return _SENTENCE_START.sub(lambda found: found[0].upper(), text)


_SENTENCE_START = re.compile(r"(?:^|(?<=[.!?]\s))[a-z]")


def _tasks(path: Path) -> Callable[[Record], Iterator[RecordedConversation]]:
    def read(record: Record) -> Iterator[RecordedConversation]:
        task = record.value
        instructions = task["user_scenario"]["instructions"]
        messages = [RecordedMessage(role="customer", text=text) for text in _said(instructions)]
        messages += _right_calls(task)
        yield RecordedConversation(
            id=f"tau2-{_domain(path, instructions)}-{task['id']}",
            customer=_customer(task),
            messages=tuple(messages),
        )

    return read


def _said(instructions: str | Mapping[str, Any]) -> list[str]:
    """
    Why the customer calls, then what the customer knows; of a script, its lines. Never empty.
    """
    if not isinstance(instructions, str):
        reason, known = instructions["reason_for_call"], instructions.get("known_info") or ""
        said = [
            _without_directions(reason) or first_person(" ".join(reason.split())),
            _without_directions(known),
        ]
    elif lines := [" ".join(line.split()) for line in _LINE.findall(instructions)]:
        said = lines
    else:
        said = [_without_directions(part) for part in _PARAGRAPH.split(instructions)]
    said = [text for text in dict.fromkeys(said) if text]
    return said or [first_person(" ".join(str(instructions).split()))]


def _without_directions(text: str) -> str:
    sentences = [" ".join(sentence.split()) for sentence in _SENTENCE_END.split(text)]
    return first_person(" ".join(each for each in sentences if each and not _DIRECTION.search(each)))


def _right_calls(task: Mapping[str, Any]) -> Iterator[RecordedMessage]:
    documents = task.get("required_documents")
    if documents:
        yield RecordedMessage(
            role="tool",
            tool="search_knowledge",
            result={"passages": [{"article_id": each} for each in documents]},
        )
    for action in (task.get("evaluation_criteria") or {}).get("actions") or ():
        if action.get("requestor", "assistant") == "assistant":
            yield RecordedMessage(role="tool", tool=action["name"], args=action["arguments"])


def _customer(task: Mapping[str, Any]) -> str | None:
    """By the id that the shop knows, where the task names it."""
    for action in (task.get("evaluation_criteria") or {}).get("actions") or ():
        if isinstance(found := (action.get("arguments") or {}).get("user_id"), str):
            return found
    instructions = task["user_scenario"]["instructions"]
    told = instructions if isinstance(instructions, str) else " ".join(map(str, instructions.values()))
    named = _USER_ID.search(told)
    return named[0] if named is not None else None


def _domain(path: Path, instructions: str | Mapping[str, Any]) -> str:
    named = instructions.get("domain") if isinstance(instructions, Mapping) else None
    return str(named or path.parent.name.removeprefix("tau2_"))


FORMATS = (Format("τ²-bench", lambda value: isinstance(value, dict) and "user_scenario" in value, _tasks),)
