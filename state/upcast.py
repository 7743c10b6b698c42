"""
Bring a stored map of fields to the version of this code, and write over one without losing what this code does not know.

Knows maps only: `state.codec` turns them into bytes. A field that is only added needs no new version; a field that changes its
name or its shape does, with a step that turns the old map into the new one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

import msgspec

from core.errors import DataIntegrityFailed
from state.models import ConversationState, CustomerState

Fields = dict[str, Any]
Step = Callable[[Fields], Fields]

VERSION_FIELD = "v"
FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Chain:
    """`steps[n]` is pure, and turns a map of version n into one of n + 1."""

    present: int = FIRST_VERSION
    steps: Mapping[int, Step] = field(default_factory=dict)

    def upcast(self, stored: Fields) -> Fields:
        """
        `stored` at the present version; as it is where it is newer.

        Raises:
            DataIntegrityFailed: no step leads on from its version, or it is not what the step expects.
        """
        for version in range(version_of(stored), self.present):
            try:
                stored = {**self.steps[version](stored), VERSION_FIELD: version + 1}
            except (LookupError, TypeError, ValueError, AttributeError) as failed:
                raise DataIntegrityFailed(
                    f"stored version {version} cannot be brought to {self.present}", reason="unreadable"
                ) from failed
        return stored

    def readable(self, stored: Fields, kind: type[msgspec.Struct]) -> Fields:
        """
        What there is to build a `kind` of: all of it, but from a newer version only the fields that make sense here. The others
        are left at their defaults, and `over` leaves them as they are stored.
        """
        if version_of(stored) <= self.present:
            return stored
        return {
            name: stored[name]
            for name, (type_, _) in _fields_of(kind).items()
            if name in stored and _is(stored[name], type_)
        }

    def over(self, written: Fields, previous: Fields, kind: type[msgspec.Struct]) -> Fields:
        """The map that replaces `previous` when the fields `written` of a `kind` change."""
        known = _fields_of(kind)
        is_newer = version_of(previous) > version_of(written)
        result = dict(previous)
        for name, value in written.items():
            type_, part = known.get(name, _ANYTHING)
            if not (is_newer and name in previous and not _is(previous[name], type_)):
                result[name] = _over_parts(value, previous.get(name), part)
        return {**result, VERSION_FIELD: max(version_of(written), version_of(previous))}


CHAINS: Mapping[type[msgspec.Struct], Chain] = {ConversationState: Chain(), CustomerState: Chain()}
"""What is kept in SQL, and so outlives every version."""


_ANYTHING: tuple[Any, None] = (Any, None)


def version_of(stored: Fields) -> int:
    """
    Raises:
        DataIntegrityFailed: it is no number.
    """
    version = stored.get(VERSION_FIELD, FIRST_VERSION)
    if type(version) is not int:
        raise DataIntegrityFailed(f"stored version {version!r}", reason="unreadable")
    return version


def _is(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


@cache
def _fields_of(kind: type[msgspec.Struct]) -> Mapping[str, tuple[Any, type[msgspec.Struct] | None]]:
    """By name, the type and the struct in it. Kept, because asking msgspec takes longer than all that a turn decodes."""
    return {each.encode_name: (each.type, _struct_in(each.type)) for each in msgspec.structs.fields(kind)}


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The X of `X` and `X | None`."""
    found = (each for each in (kind, *get_args(kind)) if isinstance(each, type))
    return next((each for each in found if issubclass(each, msgspec.Struct)), None)


def _over_parts(value: object, previous: object, kind: type[msgspec.Struct] | None) -> object:
    """As long as the first field of a part, its name, stays, it goes on, and keeps the fields that are not known here."""
    written = msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value
    if kind is None or not isinstance(written, dict) or not isinstance(previous, dict):
        return written
    name = kind.__struct_fields__[0]
    if previous.get(name) != written.get(name):
        return written
    return {
        **{each: kept for each, kept in previous.items() if each not in kind.__struct_fields__},
        **written,
    }
