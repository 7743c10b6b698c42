"""
Find one value in a JSON document by a path: a JSON pointer (RFC 6901, `/address/city`) or dotted names (`address.city`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_BAD_ESCAPE = re.compile(r"~(?![01])")


@lru_cache(maxsize=1024)
def steps_of(path: str) -> Sequence[str]:
    """
    None at all for the empty path, which means the whole document.

    Raises:
        ValueError: it can be read in neither way.
    """
    if not path:
        return ()
    if path.startswith("/"):
        if _BAD_ESCAPE.search(path):
            raise ValueError(f"{path!r}: after ~ stands 0 or 1 in a JSON pointer")
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
    steps = tuple(path.split("."))
    if not all(steps) or any(step != step.strip() for step in steps):
        raise ValueError(
            f"{path!r} is no path: names between dots, like address.city, or a JSON pointer like /address/city"
        )
    return steps


def value_at(document: Any, path: str) -> Any:
    """None where there is nothing, or null."""
    found = document
    for step in steps_of(path):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isascii() and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
