"""
Read what a model gives as a tool's arguments.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from core.errors import FieldError, ValidationFailed

_UNKNOWN_FIELD = "unknown"
_FIELD_NAME = re.compile(r"[a-z_]{1,40}")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL takes no NUL, and no store takes half a character."""
_LONGEST_FIELD_MESSAGE = 200


class ReadsArguments(Protocol):
    def read(self, given: Mapping[str, Any]) -> msgspec.Struct: ...


class DeclaredArguments:
    """Of a tool of ours."""

    def __init__(self, wanted: type[msgspec.Struct]) -> None:
        self._wanted = wanted
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}

    def read(self, given: Mapping[str, Any]) -> msgspec.Struct:
        """
        Raises:
            ValidationFailed: naming every wrong field at once.
        """
        if given.keys() <= self._fields.keys() and all(map(_is_storable, given.values())):
            with suppress(msgspec.ValidationError):
                return msgspec.convert(given, type=self._wanted, strict=True)
        return self._field_by_field(given)

    def _field_by_field(self, given: Mapping[str, Any]) -> msgspec.Struct:
        wrong = [
            FieldError(
                ("arguments", name if _FIELD_NAME.fullmatch(name) else _UNKNOWN_FIELD),
                "is not known",
                "unknown",
            )
            for name in map(str, given)
            if name not in self._fields
        ]
        values: dict[str, Any] = {}
        for name, field in self._fields.items():
            if name not in given:
                if field.required:
                    wrong.append(FieldError(("arguments", name), "is required", "missing"))
                continue
            value = given[name]
            if not _is_storable(value):
                wrong.append(FieldError(("arguments", name), "holds NUL or a lone surrogate", "value_error"))
                continue
            try:
                values[name] = msgspec.convert(value, type=field.type, strict=True)
            except msgspec.ValidationError as exc:
                wrong.append(FieldError(("arguments", name), str(exc)[:_LONGEST_FIELD_MESSAGE], "type_error"))
        if wrong:
            raise ValidationFailed(f"{len(wrong)} wrong arguments", fields=tuple(wrong))
        return self._wanted(**values)


def _is_storable(value: object) -> bool:
    return not (isinstance(value, str) and _NOT_STORABLE.search(value))
