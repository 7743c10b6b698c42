"""
What the library does, without doing it: requests and pauses as a generator yields them, for a driver with or without asyncio.

Everything that decides (retries, paging, waiting, taking back) is written once, as a generator of steps. `client` and
`async_client` carry the steps out.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """
    One request. The driver answers with the response, read whole, or throws in what httpx raised, or what interrupted it.

    `is_repeatable` says that carrying it out twice is the same as once: by its nature, or by a key among its headers.
    `timeout_seconds` for one attempt, from the connection to the last byte; None leaves it to the client.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """The driver sleeps, and answers with nothing."""

    seconds: float


Step: TypeAlias = Send | Pause
Steps: TypeAlias = Generator[Step, httpx.Response, T]


def segment(id: str) -> str:
    """
    An id as a part of a path.

    Raises:
        ValueError: it would name another route.
    """
    if id in ("", ".", ".."):
        raise ValueError(f"{id!r} is no id")
    return quote(str(id), safe="")


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that were not given are left out, so that the service's defaults apply."""
    return {name: value for name, value in fields.items() if value is not None}
