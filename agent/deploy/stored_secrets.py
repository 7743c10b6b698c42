"""Secrets of a provider that the plane has stored and shows to nobody: where they are, and how an update leaves them."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.control.sealing import WITHHELD, withheld


def withheld_in(config: Mapping[str, Any]) -> Iterator[str]:
    """Paths of what the plane shows to nobody."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{path}" for path in withheld_in(value))
        elif value == WITHHELD:
            yield name


def with_stored_secrets(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """With those withheld that the plane has stored, which keeps them as they are."""
    hidden = withheld(wanted)
    return {
        name: with_stored_secrets(value, found[name] if isinstance(found.get(name), Mapping) else {})
        if isinstance(value, Mapping)
        else (WITHHELD if hidden[name] == found.get(name) == WITHHELD else value)
        for name, value in wanted.items()
    }
