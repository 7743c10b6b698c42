"""
Read the declaration of one slot, and of the call at a flow's end: which fields each kind has, and what fits what.
"""

from collections.abc import Collection, Mapping
from typing import Literal, cast

from agent.brain.flows.declared import (
    CONFIRM,
    CONTEXT,
    Argument,
    Call,
    Choice,
    OfferName,
    Show,
    Slot,
    SlotKind,
)
from agent.brain.flows.located import Located, Node
from agent.brain.flows.texts import Template
from agent.brain.flows.toolfacts import ToolFacts, kinds
from agent.brain.flows.wordings import Wordings

OFFERS = ("person", "retry", "ticket", "usual_channel")
_SHOWS = ("nothing", "orders", "profile", "tickets")
_OF_ALL = frozenset({"name", "type", "ask", "invalid", "of", "if", "declined", "only_when_asked"})
_OF_KIND: Mapping[SlotKind, frozenset[str]] = {
    SlotKind.TEXT: frozenset({"from", "min", "max", "overflow", "collects", "padded"}),
    SlotKind.CHOICE: frozenset({"choices"}),
    SlotKind.NUMBER: frozenset({"min", "max", "decimals"}),
    SlotKind.DATE: frozenset({"days"}),
    SlotKind.EMAIL: frozenset(),
    SlotKind.PHONE: frozenset(),
    SlotKind.REFERENCE: frozenset({"pattern"}),
    SlotKind.YES_NO: frozenset(),
}
EVERY_FIELD = _OF_ALL.union(*_OF_KIND.values())
_NEEDED = {SlotKind.CHOICE: "choices", SlotKind.REFERENCE: "pattern"}
_SCHEMA_OF = {SlotKind.NUMBER: frozenset({"number", "integer"}), SlotKind.YES_NO: frozenset({"boolean"})}


def is_certain(slot: Slot) -> bool:
    """Whether it is always known once the flow has asked all its questions."""
    return slot.of == "all" and not slot.condition and (slot.declined is None or bool(slot.declined))


class SlotReading:
    def __init__(self, located: Located, wordings: Wordings) -> None:
        self._located = located
        self._wordings = wordings

    def slot(self, node: Node, before: Mapping[str, Slot], names: frozenset[str]) -> Slot | None:
        """`before` are the slots above it, `names` those of all."""
        located, wordings = self._located, self._wordings
        fields = located.mapping(node, known=EVERY_FIELD, required=("name", "type"))
        if "name" not in fields or "type" not in fields:
            return None
        name = located.text(fields["name"])
        kind = SlotKind(located.one_of(fields["type"], tuple(SlotKind), SlotKind.TEXT))
        self._check_name(fields["name"], name, before)
        for field, each in fields.items():
            if field not in _OF_ALL | _OF_KIND[kind]:
                owners = ", ".join(sorted(k.value for k, own in _OF_KIND.items() if field in own))
                located.wrong(each, f"is only for type {owners}")
        needed = _NEEDED.get(kind)
        if needed is not None and needed not in fields:
            located.wrong(node, f"is missing: a {kind.value} needs it", needed)
        of = located.one_of(fields["of"], ("all", "visitors", "nobody"), "all") if "of" in fields else "all"
        if of != "nobody" and "ask" not in fields:
            located.wrong(node, "is missing: the question for it, or `of: nobody`", "ask")
        gaps = [each for each, slot in before.items() if is_certain(slot)]
        padded = wordings.template(fields["padded"], gaps=[*before, name]) if "padded" in fields else None
        return Slot(
            name=name,
            kind=kind,
            ask=wordings.text(fields["ask"], gaps=gaps, certain=gaps) if "ask" in fields else None,
            invalid=wordings.text(fields["invalid"]) if "invalid" in fields else None,
            of=cast(Literal["all", "visitors", "nobody"], of),
            sources=tuple(located.one_of(each, CONTEXT, "message") for each in located.items(fields["from"]))
            if "from" in fields
            else (),
            only_when_asked="only_when_asked" in fields and located.yes_or_no(fields["only_when_asked"]),
            condition=self._condition(fields["if"], before) if "if" in fields else {},
            declined=self._declined(fields["declined"], kind, before) if "declined" in fields else None,
            least=located.number(fields["min"]) if "min" in fields else None,
            most=located.number(fields["max"]) if "max" in fields else None,
            is_whole=not ("decimals" in fields and located.yes_or_no(fields["decimals"])),
            pattern=wordings.pattern(fields["pattern"]) if "pattern" in fields else None,
            choices=self._choices(fields["choices"]) if "choices" in fields else (),
            days=cast(
                Literal["any", "past", "future"],
                located.one_of(fields["days"], ("any", "past", "future"), "any")
                if "days" in fields
                else "any",
            ),
            overflow=located.one_of(fields["overflow"], names - {name}, "") or None
            if "overflow" in fields
            else None,
            collects="collects" in fields and located.yes_or_no(fields["collects"]),
            padded=padded,
        )

    def call(
        self, node: Node, slots: Mapping[str, Slot], tools: Mapping[str, ToolFacts], *, needs: str | None
    ) -> Call | None:
        """`needs` is the context that is always there."""
        certain = {"message", *(name for name, slot in slots.items() if is_certain(slot))}
        certain |= {needs} if needs is not None else set()
        located = self._located
        fields = located.mapping(node, known=("tool", "arguments", "show", "offers"), required=("tool",))
        if "tool" not in fields:
            return None
        tool = tools.get(located.one_of(fields["tool"], tuple(tools), ""))
        if tool is None:
            return None
        given = located.mapping(fields["arguments"]) if "arguments" in fields else {}
        if tool.parameters is not None:
            for name in tool.required:
                if name not in given:
                    located.wrong(fields.get("arguments", node), f"{tool.name} needs it", name)
            for name, each in given.items():
                if name not in tool.arguments:
                    known = ", ".join(sorted(tool.arguments))
                    located.wrong(each, f"{tool.name} has no such argument; it has {known}")
        offers = located.mapping(fields["offers"]) if "offers" in fields else {}
        if "fate_unknown" in offers and offers["fate_unknown"].value == "retry":
            located.wrong(
                offers["fate_unknown"], "may have been done already: it must not be offered once more"
            )
        show = located.one_of(fields["show"], _SHOWS, "nothing") if "show" in fields else None
        return Call(
            tool=tool.name,
            arguments=tuple(self._argument(name, each, slots, tool, certain) for name, each in given.items()),
            needs_account=tool.needs_account,
            offers={
                "" if reason == "otherwise" else reason: cast(
                    OfferName, located.one_of(each, OFFERS, "person")
                )
                for reason, each in offers.items()
            },
            show=cast(Show | None, show),
        )

    def _argument(
        self, name: str, node: Node, slots: Mapping[str, Slot], tool: ToolFacts, certain: Collection[str]
    ) -> Argument:
        schema = tool.arguments.get(name, {})
        types = kinds(schema)
        items = self._located.items(node)
        if len(items) == 1 and isinstance(items[0].value, str) and "{" not in items[0].value:
            if "boolean" in types:
                return Argument(name=name, value=self._located.yes_or_no(items[0]))
            if types & {"integer", "number"}:
                number = self._located.number(items[0]) or 0.0
                return Argument(name=name, value=int(number) if number.is_integer() else number)
            if "enum" in schema:
                self._located.one_of(items[0], [str(each) for each in schema["enum"]], "")
        gaps = [*slots, *CONTEXT]
        wordings = tuple(
            wording for item in items if (wording := self._wordings.template(item, gaps=gaps)) is not None
        )
        if name in tool.required and wordings:
            self._wordings.check_certain(node, wordings, certain)
        for wording in wordings:
            self._check_fit(node, slots.get(wording.only or ""), schema, tool)
        most = schema.get("maxLength")
        return Argument(
            name=name,
            wordings=wordings,
            is_text=not types or "string" in types,
            most=most if isinstance(most, int) else None,
        )

    def _check_fit(
        self, node: Node, slot: Slot | None, schema: Mapping[str, object], tool: ToolFacts
    ) -> None:
        types = kinds(schema)
        if slot is None or not types:
            return
        if "string" not in types and not types & _SCHEMA_OF.get(slot.kind, frozenset()):
            self._located.wrong(
                node,
                f"{tool.name} wants a {' or '.join(sorted(types))} here, and {slot.name} is a {slot.kind.value}",
            )
        least = schema.get("minLength")
        if isinstance(least, int) and slot.kind is SlotKind.TEXT and (slot.least or 1) < least:
            self._located.wrong(
                node,
                f"{tool.name} wants at least {least} characters: give the slot {slot.name} `min: {least}`",
            )
        enum = schema.get("enum")
        if isinstance(enum, list) and slot.kind is SlotKind.CHOICE:
            strange = [choice.value for choice in slot.choices if choice.value not in enum]
            if strange:
                self._located.wrong(node, f"{tool.name} does not know {', '.join(strange)}; it knows {enum}")

    def _check_name(self, node: Node, name: str, before: Mapping[str, Slot]) -> None:
        if not name.isidentifier():
            self._located.wrong(node, "must be one word of letters, digits and _")
        elif name in before:
            self._located.wrong(node, "is the name of a slot above")
        elif (
            name == CONFIRM
            or name in CONTEXT
            or name in ("receipt", "reference", "title", "value", "choices")
        ):
            self._located.wrong(node, "has a meaning of its own here: choose another name")

    def _condition(self, node: Node, before: Mapping[str, Slot]) -> dict[str, frozenset[str]]:
        condition = {}
        for name, each in self._located.mapping(node).items():
            values = [self._located.text(item) for item in self._located.items(each)]
            slot = before.get(name)
            if slot is None:
                self._located.wrong(each, "names no slot above this one")
                continue
            if slot.kind is SlotKind.YES_NO:
                known: tuple[str, ...] = ("yes", "no")
            elif slot.kind is SlotKind.CHOICE:
                known = tuple(choice.value for choice in slot.choices)
            else:
                self._located.wrong(each, "is neither a choice nor a yes_no: only these can decide")
                continue
            for value in values:
                if value not in known:
                    self._located.wrong(each, f"{value} is no value of {name}; it has {', '.join(known)}")
            condition[name] = frozenset(values)
        return condition

    def _declined(self, node: Node, kind: SlotKind, before: Mapping[str, Slot]) -> tuple[Template, ...]:
        if node.value == "nothing":
            return ()
        if kind is not SlotKind.TEXT:
            self._located.wrong(node, f"must be `nothing`: no other words are a {kind.value}")
        template = self._wordings.template(
            node, gaps=[each for each, slot in before.items() if is_certain(slot)]
        )
        return (template,) if template is not None else ()

    def _choices(self, node: Node) -> tuple[Choice, ...]:
        choices = tuple(
            Choice(value, words)
            for value, each in self._located.mapping(node).items()
            if (words := self._wordings.labels(each))
        )
        owners: dict[str, str] = {}
        for choice in choices:
            for word in (word.casefold() for words in choice.words.values() for word in words):
                if owners.setdefault(word, choice.value) != choice.value:
                    self._located.wrong(node, f"“{word}” stands for both {owners[word]} and {choice.value}")
        return choices
