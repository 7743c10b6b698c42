"""
Read a file of declared resources, and name all that is wrong with it, before anything is asked of the plane.
"""

import contextlib
import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.brain.flows.located import Located, Node, Problem
from agent.control.sealing import ENVIRONMENT, WITHHELD, is_secret
from agent.deploy.declared import SECTIONS, Address, Declaration, Declared, Section
from core.errors import ToolMisconfigured

_WHOLE = re.compile(r"[-+]?\d+")
_NOWHERE = "00000000-0000-0000-0000-000000000000"
"""In the place of an id that is not known yet."""
_STATUSES = ("draft", "published")
_OF_SECTIONS: Mapping[str, frozenset[str]] = {
    "prompts": frozenset({"content_file"}),
    "definitions": frozenset({"status"}),
}


class FileUnusable(ToolMisconfigured):
    """All that is wrong with the file."""

    next_step = (
        "Mend what is named above and try again; docs/deploy.md describes every field. Nothing was sent."
    )

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("\n".join(str(each) for each in problems), reason="deploy_file")
        self.problems = tuple(problems)


def read_declaration(file: Path) -> Declaration:
    """
    Raises:
        FileUnusable: with every problem there is.
    """
    problems: list[Problem] = []
    reading = _Reading(Located(file, problems), file.parent)
    declared = reading.entries()
    if problems:
        raise FileUnusable(problems)
    return Declaration(entries=declared, digest=_digest(declared), warnings=tuple(reading.warnings))


class _Reading:
    def __init__(self, located: Located, folder: Path) -> None:
        self._located = located
        self._folder = folder
        self._names: dict[str, Mapping[str, Node]] = {}
        self.warnings: list[str] = []

    def entries(self) -> tuple[Declared, ...]:
        root = self._located.load()
        if root is None:
            return ()
        sections = self._located.mapping(root, known=SECTIONS)
        self._names = {
            name: self._located.mapping(node) if not node.is_missing else {}
            for name, node in sections.items()
        }
        return tuple(
            self._entry(Address(section, name), node)
            for section in SECTIONS
            for name, node in self._names.get(section, {}).items()
        )

    def _entry(self, address: Address, node: Node) -> Declared:
        section = SECTIONS[address.section]
        known = section.plain_fields | section.references.keys() | {"existing"}
        known |= _OF_SECTIONS.get(address.section, frozenset())
        given = {} if node.is_missing else self._located.mapping(node, known=known)
        if "existing" in given and self._located.yes_or_no(given["existing"]):
            for name, each in given.items():
                if name != "existing":
                    self._located.wrong(
                        each, "is given, but an existing one is not touched: leave out one of the two"
                    )
            return Declared(address=address, line=node.line, fields={}, is_existing=True)
        references = {
            each.wire: self._reference(node, given, name, section)
            for name, each in section.references.items()
        }
        status = self._located.one_of(given["status"], _STATUSES, _STATUSES[0]) if "status" in given else None
        fields = self._fields(address, node, given, section)
        if address.section == "providers":
            self._check_secrets(node, given, fields.get("config", {}))
        return Declared(address=address, line=node.line, fields=fields, references=references, status=status)

    def _reference(
        self, node: Node, given: Mapping[str, Node], name: str, section: Section
    ) -> Address | tuple[Address, ...] | None:
        reference = section.references[name]
        found = given.get(name)
        if found is None or found.is_missing:
            if reference.is_required:
                self._located.wrong(node, f"is missing: the name of one of {reference.section}", name)
            return () if reference.is_list else None
        if reference.is_list:
            each = (self._target(item, reference.section) for item in self._located.items(found))
            return tuple(dict.fromkeys(target for target in each if target is not None))
        return self._target(found, reference.section)

    def _target(self, node: Node, section: str) -> Address | None:
        name = self._located.text(node)
        if not name:
            return None
        declared = self._names.get(section, {})
        if name not in declared:
            likely = difflib.get_close_matches(name, declared, n=1)
            hint = (
                f"did you mean {likely[0]}?"
                if likely
                else f"declare it there, or say `{name}: {{existing: true}}` where the plane has it already"
            )
            self._located.wrong(node, f"{section} has no {name}; {hint}")
            return None
        return Address(section, name)

    def _fields(
        self, address: Address, node: Node, given: Mapping[str, Node], section: Section
    ) -> dict[str, Any]:
        values = {name: _value(each) for name, each in given.items() if name in section.plain_fields}
        values.pop("status", None)
        if "content_file" in given:
            values["content"] = self._content(given)
        body = {each.wire: _NOWHERE for each in section.references.values() if each.is_required}
        try:
            checked = section.create.model_validate({"name": address.name, **body, **values})
        except ValidationError as exc:
            for each in exc.errors(include_url=False, include_context=False, include_input=False):
                self._wrong(node, [str(part) for part in each["loc"]], each["msg"], each["type"])
            return values
        whole = checked.model_dump(mode="json")
        return {
            name: value for name, value in whole.items() if name in section.plain_fields and name != "status"
        }

    def _content(self, given: Mapping[str, Node]) -> str:
        node = given["content_file"]
        if "content" in given:
            self._located.wrong(node, "is given beside content: leave out one of the two")
        path = self._folder / self._located.text(node)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            self._located.wrong(node, f"cannot be read: {exc}")
            return "unread"

    def _wrong(self, node: Node, loc: list[str], message: str, kind: str) -> None:
        """At the line of the innermost part of `loc` that the file has."""
        if loc == ["name"]:
            self._located.wrong(node, f"its name: {message}")
            return
        if kind == "missing":
            also = ", or content_file" if loc == ["content"] else ""
            self._located.wrong(node, f"is missing{also}", ".".join(loc))
            return
        at = node
        rest = list(loc)
        while rest and isinstance(at.value, dict) and rest[0] in at.value:
            at = at.value[rest.pop(0)]
        hint = "; put it in quotes if a text is meant" if kind == "string_type" else ""
        self._located.wrong(at, message[:1].lower() + message[1:] + hint, ".".join(rest))

    def _check_secrets(self, node: Node, given: Mapping[str, Node], config: Any) -> None:
        at = given.get("config", node)
        for path, secret in secrets_in(config if isinstance(config, dict) else {}):
            if secret == WITHHELD:
                self._located.wrong(at, f"{path} stands withheld; name a variable of the plane: env:NAME")
            else:
                self.warnings.append(
                    f"{at.file}:{at.line}: {at.path}.{path}: a secret is written in the file; name a variable of the plane's "
                    "environment instead (env:NAME): such a secret can be neither compared nor restored"
                )


def secrets_in(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Paths and values of the secrets that stand there themselves, not by the name of a variable."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{path}", secret) for path, secret in secrets_in(value))
        elif is_secret(name) and isinstance(value, str) and not value.startswith(ENVIRONMENT):
            yield name, value


def _value(node: Node) -> Any:
    value = node.value
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each) for each in value]
    return None if value is None else _scalar(value, node.tag)


def _scalar(value: str, tag: str) -> Any:
    """As JSON has it. Only true and false are booleans, and a date is a text: YAML's own "no" would bite whoever writes words."""
    if tag == "bool" and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if tag == "int" and _WHOLE.fullmatch(value):
        return int(value)
    if tag in {"int", "float"}:
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _digest(declared: tuple[Declared, ...]) -> str:
    said = [
        [
            str(each.address),
            each.is_existing,
            each.status,
            {**each.fields},
            {name: str(target) for name, target in each.references.items()},
        ]
        for each in declared
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
