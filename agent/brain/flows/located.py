"""
Read a YAML file with the line of everything in it, and collect what is wrong there: file, line, field, and what to do.

Every scalar is text as it is written: YAML's own "no" for False would bite whoever declares a choice called no.
"""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# It ships no types, and its stubs are a package of their own for this one module.
import yaml

from core.errors import ToolMisconfigured

_MOST_NODES = 20_000
"""Aliases make small files large."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Problem:
    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


class FlowsUnusable(ToolMisconfigured):
    """All that is wrong with the declared flows."""

    next_step = "Mend what is named above and try again; docs/flows.md describes every field."

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("\n".join(str(each) for each in problems), reason="flows")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Node:
    """`value` is text, a list of nodes, nodes by name, or None for nothing; `tag` is what YAML takes the text for."""

    file: str
    line: int
    path: str
    value: "str | list[Node] | dict[str, Node] | None"
    tag: str = ""

    @property
    def is_missing(self) -> bool:
        return self.value is None


class Located:
    """The nodes of one file. What cannot be used is noted and counts as not given, so that all is found in one go."""

    def __init__(self, file: Path, problems: list[Problem], *, most_nodes: int = _MOST_NODES) -> None:
        self.file = file
        self._most_nodes = most_nodes
        self._problems = problems
        self._nodes = 0

    def load(self) -> Node | None:
        """None where the file is no YAML at all."""
        name = str(self.file)
        try:
            root = yaml.compose(self.file.read_text(encoding="utf-8"), Loader=_LOADER)
        except (OSError, UnicodeDecodeError) as exc:
            self._problems.append(Problem(name, 1, "file", f"cannot be read: {exc}"))
            return None
        except yaml.YAMLError as exc:
            mark = getattr(exc, "problem_mark", None)
            why = getattr(exc, "problem", None) or str(exc)
            self._problems.append(Problem(name, mark.line + 1 if mark else 1, "file", f"is no YAML: {why}"))
            return None
        if root is None:
            self._problems.append(Problem(name, 1, "file", "is empty"))
            return None
        return self._node(root, "", ())

    def wrong(self, node: Node, message: str, field: str = "") -> None:
        path = ".".join(part for part in (node.path, field) if part) or "file"
        self._problems.append(Problem(node.file, node.line, path, message))

    def mapping(
        self, node: Node, *, known: Collection[str] | None = None, required: Collection[str] = ()
    ) -> dict[str, Node]:
        """Its fields; `known` None lets any name stand."""
        if not isinstance(node.value, dict):
            self.wrong(node, "must be a mapping: `name: value`, one a line")
            return {}
        for name, value in node.value.items():
            if known is not None and name not in known:
                likely = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {likely[0]}?" if likely else f"known are {', '.join(sorted(known))}"
                self.wrong(value, f"no such field; {hint}")
        for name in required:
            if name not in node.value:
                self.wrong(node, "is missing", name)
        return {name: each for name, each in node.value.items() if known is None or name in known}

    def items(self, node: Node) -> list[Node]:
        """Of a list; one thing alone is a list of one."""
        if isinstance(node.value, list):
            return node.value
        return [] if node.is_missing else [node]

    def text(self, node: Node) -> str:
        """Empty where there is none."""
        if isinstance(node.value, str) and node.value.strip():
            return node.value.strip()
        self.wrong(node, "must be a text")
        return ""

    def one_of(self, node: Node, choices: Collection[str], default: str) -> str:
        value = node.value if isinstance(node.value, str) else ""
        if value in choices:
            return value
        self.wrong(node, f"must be one of {', '.join(sorted(choices))}")
        return default

    def number(self, node: Node) -> float | None:
        try:
            return float(node.value if isinstance(node.value, str) else "")
        except ValueError:
            self.wrong(node, "must be a number")
            return None

    def yes_or_no(self, node: Node) -> bool:
        value = node.value.lower() if isinstance(node.value, str) else ""
        if value not in _BOOLEANS:
            self.wrong(node, "must be true or false")
        return _BOOLEANS.get(value, False)

    def is_false(self, node: Node) -> bool:
        return isinstance(node.value, str) and _BOOLEANS.get(node.value.lower()) is False

    def _node(self, raw: Any, path: str, above: tuple[int, ...]) -> Node:
        self._nodes += 1
        here = Node(str(self.file), raw.start_mark.line + 1, path, None)
        if id(raw) in above or self._nodes > self._most_nodes:
            self.wrong(here, "holds itself, or more than a file can")
            return here
        inside = (*above, id(raw))
        value: str | list[Node] | dict[str, Node] | None
        if isinstance(raw, yaml.MappingNode):
            value = dict(self._fields(raw, here, inside))
        elif isinstance(raw, yaml.SequenceNode):
            value = [self._node(each, f"{path}[{n}]", inside) for n, each in enumerate(raw.value, start=1)]
        else:
            value = None if raw.tag.endswith(":null") else str(raw.value)
        return Node(here.file, here.line, path, value, raw.tag.rpartition(":")[2])

    def _fields(self, raw: Any, here: Node, inside: tuple[int, ...]) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key, each in raw.value:
            name = str(key.value)
            path = f"{here.path}.{name}" if here.path else name
            node = self._node(each, path, inside)
            # The value may begin lines below its name.
            node = replace(node, line=key.start_mark.line + 1)
            if name in seen:
                self.wrong(node, "is given twice")
            seen.add(name)
            yield name, node
