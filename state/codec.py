"""
Turn stored values into bytes and back: msgspec's msgpack, and maps for what has to outlive a version.

A state is written over the one it replaces, so that fields which a newer replica wrote survive an older one (`state.upcast`).
What cannot be read raises `DataIntegrityFailed` and stays as it is.
"""

from typing import Any, TypeVar

import msgspec

from core.errors import DataIntegrityFailed
from state.upcast import CHAINS, FIRST_VERSION, VERSION_FIELD, Chain, Fields, version_of

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_unversioned = Chain()


class _Versioned(msgspec.Struct):
    v: int = FIRST_VERSION


class StateChange(msgspec.Struct, frozen=True):
    """Of a state: as bytes of `encode_over`, what it was (None: unknown) and what it became."""

    after: bytes
    before: bytes | None = None


_version_decoder = msgspec.msgpack.Decoder(_Versioned)
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def _decoder_of(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Made once: a turn reads twenty messages."""
    if kind not in _decoders:
        _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return _decoders[kind]


def encode(value: object) -> bytes:
    """For values that are written once and never changed: messages, results, journal entries."""
    return _encoder.encode(value)


def decode(stored: bytes, kind: type[T], *, chain: Chain | None = None) -> T:
    """
    A state of another version is read as one of this (`state.upcast`).

    Raises:
        DataIntegrityFailed: these bytes are no `kind`.
    """
    chain = chain or _chain_of(kind)
    try:
        if chain is not None and _version_decoder.decode(stored).v != chain.present:
            return _decode_other(stored, kind, chain)
        return _decoder_of(kind).decode(stored)
    except (msgspec.DecodeError, msgspec.ValidationError) as unreadable:
        raise DataIntegrityFailed(
            f"stored {kind.__name__}: {unreadable}", reason="unreadable"
        ) from unreadable


def encode_over(value: msgspec.Struct, previous: bytes | None, *, chain: Chain | None = None) -> bytes:
    """The bytes of a state that replaces `previous`, with every field of it that this version does not know."""
    kind = type(value)
    chain = chain or CHAINS.get(kind, _unversioned)
    written = {**msgspec.structs.asdict(value), VERSION_FIELD: chain.present}
    if previous is None:
        return _encoder.encode(written)
    return _encoder.encode(chain.over(written, chain.upcast(_fields(previous)), kind))


def change_by(value: msgspec.Struct, previous: bytes) -> StateChange:
    """What `value` changes of a copy, `previous`. Fields that the copy lacks count as what this version takes them for."""
    before = encode_over(decode(previous, type(value)), previous)
    return StateChange(encode_over(value, previous), before)


def change_over(
    change: StateChange, previous: bytes | None, kind: type[msgspec.Struct], *, chain: Chain | None = None
) -> bytes:
    """
    The bytes of a state that replaces `previous` where somebody, perhaps of another version, has changed another copy of it: only
    what they changed is written, because what they did not know looks unset in theirs.
    """
    if previous is None:
        return change.after
    chain = chain or CHAINS.get(kind, _unversioned)
    after = chain.upcast(_fields(change.after))
    before = {} if change.before is None else chain.upcast(_fields(change.before))
    changed = {
        name: value
        for name, value in after.items()
        if name == VERSION_FIELD or name not in before or before[name] != value
    }
    return _encoder.encode(chain.over(changed, chain.upcast(_fields(previous)), kind))


def _chain_of(kind: type[Any]) -> Chain | None:
    return CHAINS.get(kind)


def _fields(stored: bytes) -> Fields:
    return decode(stored, dict[str, Any])


def _decode_other(stored: bytes, kind: type[T], chain: Chain) -> T:
    fields = chain.upcast(_fields(stored))
    if version_of(fields) > chain.present and issubclass(kind, msgspec.Struct):
        fields = chain.readable(fields, kind)
    return msgspec.convert(fields, kind)
