"""
Read what a model gives as an outside tool's arguments: against the server's own JSON Schema, before the server hears of the call.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from core.errors import FieldError, ToolMisconfigured, ValidationFailed

_LONGEST_ARGUMENTS = 32_768
_DEEPEST = 20
_SHOWN_ERRORS = 10
_LONGEST_MESSAGE = 200
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


class JsonArguments(msgspec.Struct, frozen=True):
    values: dict[str, Any]


class SchemaReader:
    """
    One tool's schema, compiled once. `filled` are arguments that Careline fills in: nobody else may give them.

    Raises:
        ToolMisconfigured: the schema is none, or refers to what is not in it.
    """

    def __init__(self, schema: Mapping[str, Any], *, filled: frozenset[str]) -> None:
        # The library has no types of its own.
        from jsonschema import SchemaError  # type: ignore[import-untyped]
        from jsonschema.validators import (  # type: ignore[import-untyped]
            Draft202012Validator,
            validator_for,
        )
        from referencing import Registry

        kind = validator_for(schema, default=Draft202012Validator)
        try:
            kind.check_schema(schema)
        except SchemaError as exc:
            raise ToolMisconfigured("the server's schema is invalid", reason="invalid_schema") from exc
        self._filled = filled
        # An empty registry: a schema that refers to the outside fetches nothing.
        self._validator = kind(schema, registry=Registry())

    def read(self, given: Mapping[str, Any]) -> JsonArguments:
        """
        Raises:
            ValidationFailed: naming every wrong argument, up to ten.
        """
        # The library has no types of its own.
        from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]
        from referencing.exceptions import Unresolvable

        wrong = [
            FieldError(("arguments", name), "is not known", "unknown")
            for name in given
            if name in self._filled
        ]
        wrong += [FieldError(("arguments", name), why, "value_error") for name, why in _unusable(given)]
        if not wrong:
            try:
                found: Iterator[ValidationError] = self._validator.iter_errors(dict(given))
                for error, _ in zip(found, range(_SHOWN_ERRORS), strict=False):
                    place = error.absolute_path[0] if error.absolute_path else "arguments"
                    wrong.append(
                        FieldError(
                            ("arguments", place), error.message[:_LONGEST_MESSAGE], str(error.validator)
                        )
                    )
            except (Unresolvable, RecursionError) as exc:
                raise ToolMisconfigured(
                    "the server's schema cannot be followed", reason="invalid_schema"
                ) from exc
        if wrong:
            raise ValidationFailed(f"{len(wrong)} wrong arguments", fields=tuple(wrong))
        return JsonArguments(values=dict(given))


def _unusable(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if _is_too_deep(value, _DEEPEST):
            yield "arguments", "is nested too deeply"
        elif not _is_storable(name) or not _is_storable(value):
            yield "arguments", "holds NUL or a lone surrogate"
        elif len(msgspec.json.encode(value)) > _LONGEST_ARGUMENTS:
            yield name[:40], f"is longer than {_LONGEST_ARGUMENTS} bytes"


def _is_too_deep(value: Any, left: int) -> bool:
    if isinstance(value, Mapping):
        return left == 0 or any(_is_too_deep(item, left - 1) for item in value.values())
    if isinstance(value, list):
        return left == 0 or any(_is_too_deep(item, left - 1) for item in value)
    return False


def _is_storable(value: Any) -> bool:
    match value:
        case str():
            return _NOT_STORABLE.search(value) is None
        case Mapping():
            return all(_is_storable(key) and _is_storable(item) for key, item in value.items())
        case list():
            return all(map(_is_storable, value))
        case _:
            return True
