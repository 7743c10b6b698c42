"""
Identifiers: opaque, prefixed by what they name, and derivable where retries must agree.

A derived id is a keyed digest of its parts, so a replica that repeats work arrives at the same id.
"""

import hashlib
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DERIVED_BYTES = 15  # 24 base32 characters: no collision to be expected below 10^17 ids
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_RANDOM_LETTERS = 24
_TO_LETTERS = (_LETTERS * 8).encode("ascii")
"""Each letter for eight of the 256 bytes: random bytes become random letters at a third of `_encode`'s cost."""
_PAIRS = tuple(first + second for first in _LETTERS for second in _LETTERS)
_SHIFTS = range(8 * _DERIVED_BYTES - 10, -1, -10)
_RECEIPT_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that a customer misreads on the phone
_RECEIPT_LENGTH = 10
_random_bytes: Callable[[int], bytes] = secrets.token_bytes


def new_id(prefix: str) -> str:
    """A fresh random id such as `conv_k3…`."""
    return f"{prefix}_{_random_bytes(_RANDOM_LETTERS).translate(_TO_LETTERS).decode('ascii')}"


@contextmanager
def ids_from(rng: random.Random) -> Iterator[None]:
    """In this whole process ids are drawn from `rng`, so that its seed tells them: for replays, which serve nobody."""
    global _random_bytes  # noqa: PLW0603 - everything makes ids, and nothing is told how
    before = _random_bytes
    _random_bytes = rng.randbytes
    try:
        yield
    finally:
        _random_bytes = before


def derived_id(prefix: str, *parts: str) -> str:
    """The same parts give the same id on every replica; parts cannot run into each other."""
    return f"{prefix}_{_encode(digest(*parts)[:_DERIVED_BYTES])}"


def receipt_for(key: str) -> str:
    """The number a customer hears for an effect, e.g. `R-7QK2M4XWZC`: made from its key alone, so it needs no counter."""
    number = int.from_bytes(digest("receipt", key)[:8], "big")
    letters = []
    for _ in range(_RECEIPT_LENGTH):
        number, rest = divmod(number, len(_RECEIPT_ALPHABET))
        letters.append(_RECEIPT_ALPHABET[rest])
    return "R-" + "".join(letters)


def digest(*parts: str) -> bytes:
    """SHA-256 over the parts, each preceded by its length. Lone surrogates are allowed: ids may come from anywhere."""
    pieces = []
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        pieces.append(len(encoded).to_bytes(8, "big"))
        pieces.append(encoded)
    return hashlib.sha256(b"".join(pieces)).digest()


def _encode(raw: bytes) -> str:
    """Base32 in small letters. By pairs of them, since `base64` pads, encodes and folds at twice the cost."""
    number = int.from_bytes(raw, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
