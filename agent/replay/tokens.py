"""
Tokens in the place of personal data, that whoever has the key turns back into it.

AES-SIV (RFC 5297) is deterministic: the same address has the same token in every export with the same key, so a replay can still
compare; and it is authenticated: what was not sealed with this key stays as it is. An address's token is an address, too, under a
domain that can never be (RFC 6761), so that what asks for addresses still takes it.
"""

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import ToolMisconfigured

_LABEL = 60
"""Letters; a label of a domain has 63 at most."""
_SHORTEST_KEY = 32
_KEY_BYTES = 64
_ADDRESS_TOKEN = re.compile(r"\bk([a-z2-7]{1,60})@((?:[a-z2-7]{1,60}\.)*)tokens\.invalid\b")
_TOKEN = re.compile(r"\[(phone|card|number|name|address|email|customer):([a-z2-7]+)\]")
_LONGEST_ADDRESS = 100


class Tokens:
    """A `Cover` that can be taken off again. `key`: at least 32 characters that nobody can guess."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _SHORTEST_KEY:
            raise ToolMisconfigured(f"the key of tokens has {len(key)} bytes, and needs {_SHORTEST_KEY}")
        derived = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"careline export tokens").derive(key)
        self._siv = AESSIV(derived)

    @classmethod
    def from_file(cls, path: Path, *, may_make: bool = False) -> "Tokens":
        """
        With the key that lies there; where there is none, and it may be made, with a new one that only its owner may read.

        Raises:
            ToolMisconfigured: there is none, or it cannot be read or is too short.
        """
        try:
            if may_make and not path.exists():
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(base64.b64encode(os.urandom(48)) + b"\n")
            return cls(path.read_bytes().strip())
        except OSError as exc:
            raise ToolMisconfigured(f"the key file {path} cannot be read: {exc}") from exc

    def __call__(self, kind: str, words: str) -> str:
        sealed = _letters(self._siv.encrypt(words.encode(), [kind.encode()]))
        if kind != "email" or len(words) > _LONGEST_ADDRESS:
            return f"[{kind}:{sealed}]"
        labels = [sealed[start : start + _LABEL] for start in range(0, len(sealed), _LABEL)]
        return f"k{labels[0]}@{''.join(f'{label}.' for label in labels[1:])}tokens.invalid"

    def revealed(self, text: str, *, written: Callable[[str], str] = str) -> str:
        """Each of these tokens in it as what it stands for, `written` as the text around it is."""

        def opened(kind: str, letters: str, token: str) -> str:
            words = self._opened(kind, letters)
            return token if words is None else written(words)

        text = _ADDRESS_TOKEN.sub(
            lambda found: opened("email", found[1] + found[2].replace(".", ""), found[0]), text
        )
        return _TOKEN.sub(lambda found: opened(found[1], found[2], found[0]), text)

    def _opened(self, kind: str, letters: str) -> str | None:
        """None where it was not sealed with this key."""
        try:
            sealed = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
            return self._siv.decrypt(sealed, [kind.encode()]).decode()
        except (ValueError, InvalidTag):
            return None


def _letters(sealed: bytes) -> str:
    return base64.b32encode(sealed).decode().rstrip("=").lower()
