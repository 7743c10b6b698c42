"""
Turn stored values into bytes and back: msgspec's msgpack, and maps for what has to outlive a version.

A state is written over the one it replaces, so that fields which a newer replica wrote survive an older one. What cannot be
read raises `DataIntegrityFailed` and stays as it is.
"""

from typing import Any, TypeVar

import msgspec

from core.errors import DataIntegrityFailed

T = TypeVar("T")

_VERSION_FIELD = "v"
_VERSION = 1

_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """For values that are written once and never changed: messages, results, journal entries."""
    return _encoder.encode(value)


def decode(stored: bytes, kind: type[T]) -> T:
    """
    Raises:
        DataIntegrityFailed: these bytes are no `kind`.
    """
    try:
        return msgspec.msgpack.decode(stored, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as unreadable:
        raise DataIntegrityFailed(
            f"stored {kind.__name__}: {unreadable}", reason="unreadable"
        ) from unreadable


def encode_over(value: msgspec.Struct, previous: bytes | None) -> bytes:
    """The bytes of a state that replaces `previous`, with every field of it that this version does not know."""
    fields: dict[str, Any] = {}
    if previous is not None:
        known = value.__struct_fields__
        fields = {name: kept for name, kept in decode(previous, dict).items() if name not in known}
    version = max(_VERSION, fields.pop(_VERSION_FIELD, _VERSION))
    return _encoder.encode({**fields, **msgspec.structs.asdict(value), _VERSION_FIELD: version})
