"""
Keep secrets of providers' settings out of the database and out of every reply.

A value that begins with `env:` names a variable of the environment and is stored as it stands; any other secret is encrypted
(Fernet: AES-128-CBC with HMAC-SHA256) with a key that is not in the database.
"""

import base64
import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import FieldError, ToolMisconfigured, ValidationFailed

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|authori[sz]ation", re.IGNORECASE)
_COUNTS = re.compile(r"max_|_tokens$|tokenizer|key_?words?$", re.IGNORECASE)
ENVIRONMENT = "env:"
_SEALED = "sealed:"
WITHHELD = "[withheld]"
"""What replies say in the place of a secret; sent back, it leaves the secret as it is."""
_KEY_FILE = "control.key"
_KEY_BYTES = 32


class Sealing:
    """`key` is a Fernet key: 32 bytes, in URL-safe base64."""

    def __init__(self, key: str) -> None:
        if not _is_key(key):
            raise ToolMisconfigured(
                "CARELINE_CONTROL_KEY must be 32 bytes in URL-safe base64; "
                'make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            )
        self._key = key

    @cached_property
    def _fernet(self) -> "Fernet":
        # With the first secret: the library takes 8 MB, and most services keep none.
        from cryptography.fernet import Fernet

        return Fernet(self._key)

    @classmethod
    def from_folder(cls, folder: Path) -> "Sealing":
        """With the key that lies there, or a new one, which only its owner may read."""
        path = folder / _KEY_FILE
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)))
        except FileExistsError:
            pass
        return cls(path.read_text(encoding="ascii").strip())

    def sealed(self, config: Mapping[str, Any], *, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        With its secrets encrypted; those that stand there withheld stay what they were `before`.

        Raises:
            ValidationFailed: a secret is withheld that was none before.
        """

        def seal(name: str, value: Any, old: Any) -> Any:
            if value == WITHHELD:
                if old is None:
                    raise _no_secret(name)
                return old
            if not isinstance(value, str) or value.startswith(ENVIRONMENT):
                return value
            return _SEALED + self._fernet.encrypt(value.encode()).decode()

        return _secrets_replaced(config, seal, before or {})

    def opened(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """
        With its secrets as they are, for use.

        Raises:
            ToolMisconfigured: a variable is not set, or another key sealed it.
        """

        def open_(name: str, value: Any, _: Any) -> Any:
            if not isinstance(value, str):
                return value
            if value.startswith(ENVIRONMENT):
                variable = value.removeprefix(ENVIRONMENT)
                if variable not in os.environ:
                    raise ToolMisconfigured(f"config.{name} names the variable {variable}, which is not set")
                return os.environ[variable]
            from cryptography.fernet import InvalidToken

            try:
                return self._fernet.decrypt(value.removeprefix(_SEALED).encode()).decode()
            except InvalidToken as exc:
                raise ToolMisconfigured(
                    f"config.{name} was sealed with another CARELINE_CONTROL_KEY: send it again"
                ) from exc

        return _secrets_replaced(config, open_, {})


def is_secret(name: str) -> bool:
    """Whether a field of this name holds one."""
    return _SECRET_NAME.search(name) is not None and not _COUNTS.search(name)


def withheld(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it may be shown: names of variables, but no secret."""

    def hide(_: str, value: Any, __: Any) -> Any:
        is_shown = value is None or (isinstance(value, str) and value.startswith(ENVIRONMENT))
        return value if is_shown else WITHHELD

    return _secrets_replaced(config, hide, {})


def _is_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == _KEY_BYTES
    except ValueError:
        return False


def _secrets_replaced(
    config: Mapping[str, Any], replace: Callable[[str, Any, Any], Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, value in config.items():
        old = before.get(name)
        if isinstance(value, Mapping):
            inside = old if isinstance(old, Mapping) else {}
            changed[name] = _secrets_replaced(value, replace, inside)
        elif is_secret(name):
            changed[name] = replace(name, value, old)
        else:
            changed[name] = value
    return changed


def _no_secret(name: str) -> ValidationFailed:
    field = FieldError(
        ("body", "config", name), f"{WITHHELD} keeps a secret that is stored; there is none", "no_secret"
    )
    return ValidationFailed("A field of the body is wrong.", fields=(field,))
