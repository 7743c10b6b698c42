"""
Read a company's examples of its intents, and what serves each, from YAML and CSV files.

Several files make one set: one may say what serves the intents, another hold the examples.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# It ships no types, and its stubs are a package of their own for this one module.
import yaml

from agent.brain.own_intents import ServedBy, Service
from core.errors import FieldError, ValidationFailed

OUT_OF_SCOPE = "out_of_scope"
"""The name, in a file, of what is none of the company's intents."""

LEAST_EXAMPLES = 3
_LEAST_INTENTS = 2
_LONGEST_EXAMPLE = 1000
_LONGEST_ANSWER = 2000
_TEXT_COLUMN, _INTENT_COLUMN = "text", "intent"
_FIELDS = frozenset({"label", "examples", *ServedBy})


@dataclass(slots=True)
class OwnIntent:
    """`label` is the name in words: it says something about the intent, as an example does."""

    name: str
    label: str
    service: Service | None = None
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """`others` are texts that belong to no intent."""

    intents: tuple[OwnIntent, ...]
    others: tuple[str, ...] = ()

    def labelled(self) -> Iterator[tuple[str, str]]:
        """(text, name of its intent), intent by intent."""
        return ((text, intent.name) for intent in self.intents for text in intent.examples)


def read_examples(paths: Iterable[Path]) -> ExampleSet:
    """
    The intents of all files, by name; the same example twice counts once.

    Raises:
        ValidationFailed: a file cannot be read; the message names file, place and what to do.
    """
    intents: dict[str, OwnIntent] = {}
    others: list[str] = []
    for path in paths:
        read = _from_csv if path.suffix.lower() == ".csv" else _from_yaml
        for found in read(path):
            if found.name == OUT_OF_SCOPE:
                others += found.examples
                continue
            known = intents.setdefault(found.name, found)
            if known is not found:
                known.examples += found.examples
                known.service = found.service or known.service
                known.label = found.label if found.label != _in_words(found.name) else known.label
    for intent in intents.values():
        intent.examples = list(dict.fromkeys(intent.examples))
    return ExampleSet(tuple(intents.values()), tuple(dict.fromkeys(others)))


def check_trainable(examples: ExampleSet) -> None:
    """Raises ValidationFailed: too few intents or examples, or one text under two names."""
    if len(examples.intents) < _LEAST_INTENTS:
        raise _wrong("intents", f"{len(examples.intents)} found; give at least {_LEAST_INTENTS}")
    for intent in examples.intents:
        if len(intent.examples) < LEAST_EXAMPLES:
            raise _wrong(
                f"intents.{intent.name}.examples",
                f"{len(intent.examples)} found; give at least {LEAST_EXAMPLES}",
            )
    seen: dict[str, str] = {}
    for text, name in [*examples.labelled(), *((text, OUT_OF_SCOPE) for text in examples.others)]:
        other = seen.setdefault(text.casefold(), name)
        if other != name:
            raise _wrong(f"intents.{name}.examples", f"“{text}” is an example of {other} too; keep one")


def _from_csv(path: Path) -> list[OwnIntent]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            missing = {_TEXT_COLUMN, _INTENT_COLUMN} - set(rows.fieldnames or ())
            if missing:
                raise _wrong(
                    path.name, f"no column {', '.join(sorted(missing))}; its first line must be text,intent"
                )
            found: dict[str, OwnIntent] = {}
            for row in rows:
                place = f"{path.name}, line {rows.line_num}"
                name = _name(row[_INTENT_COLUMN], f"{place}, intent")
                intent = found.setdefault(name, OwnIntent(name, _in_words(name)))
                intent.examples.append(_text(row[_TEXT_COLUMN], f"{place}, text", longest=_LONGEST_EXAMPLE))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise _unreadable(path, exc) from exc
    return list(found.values())


def _from_yaml(path: Path) -> list[OwnIntent]:
    try:
        whole = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise _unreadable(path, exc) from exc
    if not isinstance(whole, Mapping) or not isinstance(whole.get("intents"), Mapping):
        raise _wrong(
            path.name, "must have a key `intents` with the intents by name; docs/intents.md has an example"
        )
    unknown = set(whole) - {"intents", OUT_OF_SCOPE}
    if unknown:
        raise _wrong(
            f"{path.name}: {sorted(map(str, unknown))[0]}", "no such key; take it out or correct its name"
        )
    found = [_intent(name, given, path.name) for name, given in whole["intents"].items()]
    if others := _texts(whole.get(OUT_OF_SCOPE), f"{path.name}: {OUT_OF_SCOPE}"):
        found.append(OwnIntent(OUT_OF_SCOPE, "", examples=others))
    return found


def _intent(name: object, given: object, where: str) -> OwnIntent:
    place = f"{where}: intents.{name}"
    name = _name(name, place)
    if isinstance(given, list):
        given = {"examples": given}
    if not isinstance(given, Mapping):
        raise _wrong(place, "must be a list of examples, or a mapping with `examples`")
    unknown = set(given) - _FIELDS
    if unknown:
        raise _wrong(
            f"{place}.{sorted(map(str, unknown))[0]}",
            f"no such field; there are {', '.join(sorted(_FIELDS))}",
        )
    label = given.get("label", _in_words(name))
    return OwnIntent(
        name,
        _text(label, f"{place}.label", longest=_LONGEST_EXAMPLE),
        _service(given, place),
        _texts(given.get("examples"), f"{place}.examples"),
    )


def _service(given: Mapping[Any, Any], place: str) -> Service | None:
    ways = [way for way in ServedBy if way in given]
    if len(ways) > 1:
        raise _wrong(place, f"is served by {' and '.join(ways)}; keep one of them")
    if not ways:
        return None
    way = ways[0]
    if way is ServedBy.HANDOFF:
        if given[way] is not True:
            raise _wrong(f"{place}.{way}", "must be true; take it out where no person is wanted")
        return Service(way)
    if way is ServedBy.TOOL and isinstance(given[way], Mapping):
        return _tool(given[way], f"{place}.{way}")
    return Service(way, _text(given[way], f"{place}.{way}", longest=_LONGEST_ANSWER))


def _tool(given: Mapping[Any, Any], place: str) -> Service:
    arguments = given.get("arguments", {})
    if set(given) - {"name", "arguments"} or not isinstance(arguments, Mapping):
        raise _wrong(place, "must be a tool's name, or a mapping with `name` and `arguments`")
    name = _text(given.get("name"), f"{place}.name", longest=_LONGEST_EXAMPLE)
    return Service(ServedBy.TOOL, name, {str(key): value for key, value in arguments.items()})


def _texts(given: object, place: str) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise _wrong(place, "must be a list of texts")
    return [
        _text(each, f"{place}[{number}]", longest=_LONGEST_EXAMPLE) for number, each in enumerate(given, 1)
    ]


def _text(given: object, place: str, *, longest: int) -> str:
    """YAML reads `no` and `5` as other than text: such an example wants quotation marks."""
    if not isinstance(given, str) or not given.strip():
        raise _wrong(place, "must be a text that is not empty; put it in quotation marks")
    if len(given) > longest:
        raise _wrong(place, f"{len(given)} characters; shorten it to {longest}")
    return given.strip()


def _name(given: object, place: str) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > 100:
        raise _wrong(place, "a name must be a text of 1 to 100 characters")
    return given.strip()


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip() or name


def _wrong(place: str, why: str) -> ValidationFailed:
    return ValidationFailed(f"{place}: {why}", fields=(FieldError((place,), why, "value_error"),))


def _unreadable(path: Path, exc: Exception) -> ValidationFailed:
    return _wrong(str(path), f"cannot be read: {exc}")
