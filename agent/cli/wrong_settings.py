"""
Say of settings that cannot be used where each stands, what is wrong, and what to do: in an operator's words, never with a value.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.settings import Settings

PREFIX = "CARELINE_"
FILE = "careline.toml"

_VARIABLE = re.compile(r"CARELINE_[A-Z0-9_]*[A-Z0-9]")
_TAG = re.compile(r"(?:function-|tuple\[|list\[|dict\[|literal\[|nullable\[|constrained-|is-instance\[)")
"""How pydantic calls a member of a union, in the path to a value."""
_WORDS: Mapping[str, str] = {
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "missing": "is missing",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must not be shorter than {min_length} characters",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
_PAGES: Mapping[str, str] = {
    **dict.fromkeys(
        ("customers_api", "customers_sql", "knowledge_api", "knowledge_opensearch"), "connectors"
    ),
    "mcp_servers": "mcp",
}
"""Where the fields inside are explained."""


@dataclass(frozen=True, slots=True)
class WrongSetting:
    """`place` is where it stands, as it is written there; empty for what several settings come to together."""

    place: str
    message: str
    next_step: str

    @property
    def said(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def wrong_settings(exc: ValidationError) -> Iterator[WrongSetting]:
    """Each setting that cannot be used, once."""
    in_file = _keys_of_the_file()
    found: dict[tuple[str, ...], list[str]] = {}
    for problem in exc.errors():
        path = tuple(str(part) for part in problem["loc"] if not _TAG.match(str(part)))
        messages = found.setdefault(path, [])
        message = _message(problem, path)
        if message not in messages:
            messages.append(message)
    for path, messages in found.items():
        if path:
            yield _of_one(path, " or ".join(messages), in_file)
        else:
            yield from (_of_several(message, in_file) for message in messages)


def likely(name: str, known: Sequence[str], *, at_least: float = 0.85) -> str | None:
    """What was perhaps meant; `at_least` is how alike it must be (`difflib`)."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=at_least)), None)


def _of_one(path: tuple[str, ...], message: str, in_file: frozenset[str]) -> WrongSetting:
    name, *inside = path
    page = _PAGES.get(name, "settings")
    if _stands_in_file(name, in_file):
        place = f"{FILE}: {'.'.join(path)}"
        return WrongSetting(
            place, message, f"Correct {'.'.join(path)} in {FILE}; docs/{page}.md explains it."
        )
    variable = PREFIX + name.upper()
    said = f"{'.'.join(inside)}: {message}" if inside else message
    return WrongSetting(variable, said, f"Correct {variable}; docs/{page}.md explains it.")


def _of_several(message: str, in_file: frozenset[str]) -> WrongSetting:
    """The message names its settings as variables."""
    named = dict.fromkeys(_VARIABLE.findall(message))
    places = [
        f"{name} in {FILE}" if _stands_in_file(name, in_file) else variable
        for variable in named
        if (name := variable.removeprefix(PREFIX).lower()) in Settings.model_fields
    ]
    step = f"Correct {' or '.join(places)}" if places else "Correct what it names"
    return WrongSetting("", message, f"{step}; docs/settings.md explains each.")


def _message(problem: Any, path: tuple[str, ...]) -> str:
    if problem["type"] == "extra_forbidden":
        meant = likely(path[0], list(Settings.model_fields), at_least=0.7) if len(path) == 1 else None
        page = "settings" if len(path) == 1 else _PAGES.get(path[0], "settings")
        return "no such setting; " + (f"did you mean {meant}?" if meant else f"docs/{page}.md lists all")
    words = _WORDS.get(problem["type"])
    if words is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    return words.format_map(problem.get("ctx") or {})


def _stands_in_file(name: str, in_file: frozenset[str]) -> bool:
    """The environment goes first, where it says anything."""
    is_in_environment = any(
        variable.upper() == PREFIX + name.upper() and value for variable, value in environ.items()
    )
    return name in in_file and not is_in_environment


def _keys_of_the_file() -> frozenset[str]:
    try:
        with Path(FILE).open("rb") as file:
            return frozenset(tomllib.load(file))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return frozenset()
