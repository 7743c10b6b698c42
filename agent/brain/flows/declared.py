"""
A flow as it is declared: what it needs to know, how it asks, what is called in the end, and when it begins.

Values that have been checked (`reading`); carried on by `engine`, said by `agent.brain.dialogue`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from agent.brain.flows.texts import Template, Text

CONFIRM = "confirm"
"""Stands in `OpenFlow.asked` while the last reply asked whether to go on; no slot is called so."""

CONTEXT = ("message", "about", "account", "topic", "problem", "answer")
"""What a flow can take from the conversation: the words that opened it, what they say beside asking for it, the same where it is
long enough to tell what happened, what was spoken of last, the last question that was not answered (else the last), and what was
answered last."""

OfferName = Literal["person", "ticket", "retry", "usual_channel"]
Show = Literal["orders", "profile", "tickets", "nothing"]


class SlotKind(StrEnum):
    TEXT = "text"
    CHOICE = "choice"
    NUMBER = "number"
    DATE = "date"
    EMAIL = "email"
    PHONE = "phone"
    REFERENCE = "reference"
    YES_NO = "yes_no"


@dataclass(frozen=True, slots=True)
class Choice:
    """`words` by language; the first of each is its label."""

    value: str
    words: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """
    One thing that a flow needs to know.

    `of` is who is asked for it; `sources` of CONTEXT fill a text before anybody is asked. `least` and `most` are characters of a
    text and bounds of a number. `declined` is what a "no" puts here, an empty tuple for nothing; without it, a "no" ends the
    flow. Of a text: `overflow` names the slot that gets all of it where only its first sentence is kept here; a text that
    `collects` grows with each answer until it is long enough; what is too short may stand in `padded`.
    """

    name: str
    kind: SlotKind
    ask: Text | None = None
    invalid: Text | None = None
    of: Literal["all", "visitors", "nobody"] = "all"
    sources: tuple[str, ...] = ()
    only_when_asked: bool = False
    condition: Mapping[str, frozenset[str]] = field(default_factory=dict)
    declined: tuple[Template, ...] | None = None
    least: float | None = None
    most: float | None = None
    is_whole: bool = True
    pattern: re.Pattern[str] | None = None
    choices: tuple[Choice, ...] = ()
    days: Literal["any", "past", "future"] = "any"
    overflow: str | None = None
    collects: bool = False
    padded: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """`value` is written as it is; else the first of `wordings` that can be filled, cut at `most` characters."""

    name: str
    wordings: tuple[Template, ...] = ()
    value: str | float | bool | None = None
    is_text: bool = True
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`offers` is what is offered where it fails, by the failure's reason, and for all others under `""`."""

    tool: str
    arguments: tuple[Argument, ...]
    needs_account: bool = False
    offers: Mapping[str, OfferName] = field(default_factory=dict)
    show: Show | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is said where the context that a flow needs is not there."""

    say: Text
    only_unanswered: bool = False
    offer: OfferName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """
    `phrases` open the flow from a statement or wish, `questions` from a question, `patterns` from anything; `written` is how the
    phrases were written.
    """

    intents: tuple[str, ...] = ()
    phrases: tuple[re.Pattern[str], ...] = ()
    questions: tuple[re.Pattern[str], ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow:
    """`needs` names the context without which it cannot begin; `confirm` is asked before the call."""

    name: str
    title: Text
    triggers: Triggers
    slots: tuple[Slot, ...] = ()
    call: Call | None = None
    needs: str | None = None
    missing: tuple[Missing, ...] = ()
    confirm: Text | None = None
    opening: Text | None = None
    back: Text | None = None
    cancelled: Text | None = None
    done: Text | None = None
    minutes: float = 60.0
    file: str = ""
    line: int = 1

    def slot(self, name: str | None) -> Slot | None:
        return next((slot for slot in self.slots if slot.name == name), None)

    @cached_property
    def may_ask(self) -> bool:
        return self.confirm is not None or any(slot.of != "nobody" for slot in self.slots)

    @cached_property
    def told(self) -> frozenset[str]:
        """What its tool is told of the conversation."""
        arguments = self.call.arguments if self.call is not None else ()
        named = {name for each in arguments for wording in each.wordings for name in wording.names}
        return frozenset(named & set(CONTEXT))

    @cached_property
    def context(self) -> frozenset[str]:
        """What it takes from the conversation."""
        return (
            self.told | {source for slot in self.slots for source in slot.sources} | {self.needs or "message"}
        )
