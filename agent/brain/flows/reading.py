"""
Read one flow, or the texts that a company words anew, out of a YAML file and check it against the tools there are.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

from agent.brain.flows.declared import CONTEXT, Call, Flow, Missing, OfferName, Slot, Triggers
from agent.brain.flows.located import Located, Node, Problem
from agent.brain.flows.slot_reading import OFFERS, SlotReading, is_certain
from agent.brain.flows.texts import Template, Text
from agent.brain.flows.toolfacts import ToolFacts
from agent.brain.flows.wordings import PHRASES, Wordings, phrase_pattern
from agent.brain.phrases import ENGLISH

FIELDS = frozenset(
    {
        "flow", "title", "triggers", "slots", "confirm", "call", "needs", "missing", "opening", "back", "cancelled", "done",
        "timeout_minutes",
    }
)  # fmt: skip
_ASKING = "?"
_LONGEST_MINUTES = 7 * 24 * 60.0


def read_file(
    file: Path,
    problems: list[Problem],
    *,
    tools: Mapping[str, ToolFacts],
    intents: Collection[str] | None,
    standard: Collection[str],
) -> tuple[Flow | None, Mapping[str, Text]]:
    """
    A flow, or texts by name: a file holds one or the other. `intents` None: any may be named. `standard` names the
    texts that there are beside the phrases.
    """
    located = Located(file, problems)
    node = located.load()
    if node is None:
        return None, {}
    if isinstance(node.value, dict) and "flow" in node.value:
        return _FlowReading(located, tools, intents).flow(node), {}
    fields = located.mapping(node, known=("texts",))
    if "texts" not in fields:
        if isinstance(node.value, dict):
            located.wrong(node, "is neither a flow (`flow: NAME`) nor texts (`texts:`)")
        return None, {}
    return None, _texts(located, fields["texts"], standard)


def _texts(located: Located, node: Node, standard: Collection[str]) -> Mapping[str, Text]:
    texts = {}
    for name, each in located.mapping(node, known=[*standard, *PHRASES]).items():
        gaps = STANDARD_GAPS.get(name, frozenset()) if name in standard else _gaps_of_phrase(name)
        text = Wordings(located).text(each, gaps=gaps, certain=gaps, may_be_phrase=False)
        if text is not None:
            texts[name] = text
    return texts


STANDARD_GAPS: Mapping[str, frozenset[str]] = {
    "back": frozenset({"title"}),
    "cancelled": frozenset({"title"}),
    "given_up": frozenset({"title"}),
    "next": frozenset({"title"}),
    "later": frozenset({"title"}),
    "corrected": frozenset({"value"}),
    "invalid_choice": frozenset({"choices"}),
}


def _gaps_of_phrase(name: str) -> frozenset[str]:
    return Template.of(str(getattr(ENGLISH, name))).names


class _FlowReading:
    def __init__(
        self, located: Located, tools: Mapping[str, ToolFacts], intents: Collection[str] | None
    ) -> None:
        self._located = located
        self._wordings = Wordings(located)
        self._reading = SlotReading(located, self._wordings)
        self._tools = tools
        self._intents = intents

    def flow(self, node: Node) -> Flow | None:
        located, wordings = self._located, self._wordings
        fields = located.mapping(node, known=FIELDS, required=("flow", "title", "triggers"))
        slots = self._slots(fields["slots"]) if "slots" in fields else {}
        certain = [name for name, slot in slots.items() if is_certain(slot)]
        needs = located.one_of(fields["needs"], CONTEXT, "message") if "needs" in fields else None
        call = (
            self._reading.call(fields["call"], slots, self._tools, needs=needs) if "call" in fields else None
        )
        confirm = self._confirm(node, fields, slots, certain, call)
        tool = self._tools.get(call.tool) if call is not None else None
        told = ["receipt"] if tool is not None and tool.has_effect else []
        flow = Flow(
            name=located.text(fields["flow"]),
            title=(wordings.text(fields["title"]) if "title" in fields else None)
            or Text({}, phrase="greeting"),
            triggers=self._triggers(fields["triggers"]) if "triggers" in fields else Triggers(),
            slots=tuple(slots.values()),
            call=call,
            needs=needs,
            missing=tuple(self._missing(fields["missing"])) if "missing" in fields else (),
            confirm=confirm,
            opening=wordings.text(fields["opening"]) if "opening" in fields else None,
            back=wordings.text(fields["back"]) if "back" in fields else None,
            cancelled=wordings.text(fields["cancelled"]) if "cancelled" in fields else None,
            done=wordings.text(
                fields["done"], gaps=[*slots, "receipt", "reference"], certain=[*certain, *told]
            )
            if "done" in fields
            else None,
            minutes=self._minutes(fields["timeout_minutes"]) if "timeout_minutes" in fields else 60.0,
            file=node.file,
            line=node.line,
        )
        if "flow" in fields and flow.name and not flow.name.isidentifier():
            located.wrong(fields["flow"], "must be one word of letters, digits and _")
        if "call" not in fields and "done" not in fields:
            located.wrong(
                node, "is missing: what happens in the end (`call`), or what is said (`done`)", "call"
            )
        if "needs" in fields and "missing" not in fields:
            located.wrong(node, "is missing: what is said without what it needs", "missing")
        if call is not None or "call" not in fields:
            self._check_unused(node, flow)
        wordings.check_languages()
        return flow

    def _slots(self, node: Node) -> dict[str, Slot]:
        items = self._located.items(node)
        names = frozenset(
            name.value
            for item in items
            if isinstance(item.value, dict)
            and (name := item.value.get("name")) is not None
            and isinstance(name.value, str)
        )
        slots: dict[str, Slot] = {}
        for item in items:
            slot = self._reading.slot(item, slots, names)
            if slot is not None:
                slots[slot.name] = slot
        return slots

    def _confirm(
        self,
        node: Node,
        fields: Mapping[str, Node],
        slots: Mapping[str, Slot],
        certain: list[str],
        call: Call | None,
    ) -> Text | None:
        """What changes something is confirmed, unless the declaration says in so many words that it need not be."""
        tool = self._tools.get(call.tool) if call is not None else None
        given = fields.get("confirm")
        if tool is not None and tool.asks_first:
            if given is not None:
                self._located.wrong(given, f"{tool.name} asks for the yes itself: leave this out")
            return None
        if given is None:
            if tool is not None and tool.has_effect:
                self._located.wrong(
                    node,
                    f"is missing: {tool.name} changes something, so the customer is asked first; `confirm: false` where the "
                    "customer has asked for exactly this",
                    "confirm",
                )
            return None
        if self._located.is_false(given):
            return None
        return self._wordings.text(given, gaps=list(slots), certain=certain)

    def _triggers(self, node: Node) -> Triggers:
        fields = self._located.mapping(node, known=("intents", "phrases", "patterns"))
        if isinstance(node.value, dict) and not node.value:
            self._located.wrong(node, "is empty: the flow could never begin")
        written = self._wordings.phrases(fields["phrases"]) if "phrases" in fields else []
        questions = [each for each in written if each.endswith(_ASKING)]
        return Triggers(
            intents=tuple(self._intent(each) for each in self._located.items(fields["intents"]))
            if "intents" in fields
            else (),
            phrases=tuple(phrase_pattern(each) for each in written if each not in questions),
            questions=tuple(phrase_pattern(each.rstrip(f"{_ASKING} ")) for each in questions),
            written=tuple(written),
            patterns=tuple(
                pattern
                for each in self._located.items(fields["patterns"])
                if (pattern := self._wordings.pattern(each)) is not None
            )
            if "patterns" in fields
            else (),
        )

    def _intent(self, node: Node) -> str:
        if self._intents is None:
            return self._located.text(node)
        return self._located.one_of(node, self._intents, "")

    def _missing(self, node: Node) -> list[Missing]:
        missing = []
        for item in self._located.items(node):
            fields = self._located.mapping(item, known=("say", "if", "offer"), required=("say",))
            say = self._wordings.text(fields["say"]) if "say" in fields else None
            if say is None:
                continue
            is_unanswered = "if" in fields and bool(self._located.one_of(fields["if"], ("unanswered",), ""))
            offer = self._located.one_of(fields["offer"], OFFERS, "person") if "offer" in fields else None
            missing.append(
                Missing(say=say, only_unanswered=is_unanswered, offer=cast(OfferName | None, offer))
            )
        if missing and missing[-1].only_unanswered:
            self._located.wrong(node, "needs a last one without `if`")
        return missing

    def _minutes(self, node: Node) -> float:
        minutes = self._located.number(node)
        if minutes is not None and not 0 < minutes <= _LONGEST_MINUTES:
            self._located.wrong(node, f"must be more than 0 and at most {_LONGEST_MINUTES:.0f}, a week")
        return minutes or 60.0

    def _check_unused(self, node: Node, flow: Flow) -> None:
        """A question whose answer goes nowhere is asked for nothing."""
        used = {name for slot in flow.slots for name in slot.condition}
        for slot in flow.slots:
            for wording in (*(slot.declined or ()), *((slot.padded,) if slot.padded is not None else ())):
                used |= wording.names - {slot.name}
        for argument in flow.call.arguments if flow.call is not None else ():
            used |= {name for wording in argument.wordings for name in wording.names}
        for wordings in flow.done.by_language.values() if flow.done is not None else ():
            used |= {name for wording in wordings for name in wording.names}
        for slot in flow.slots:
            if slot.name not in used:
                self._located.wrong(
                    node,
                    "is asked for and used nowhere: neither an argument, `done` nor `if` names it",
                    slot.name,
                )
