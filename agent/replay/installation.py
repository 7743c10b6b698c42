"""
What of an installation no customer may read, from its settings: secrets, hosts of its dependencies, what its models are told.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from agent.brain.prompts import rules
from agent.replay.internal_text import InternalText
from core.settings import Settings

_EVERYBODYS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - found by their form


def internal_of(settings: Settings, *, tools: Iterable[str] = ()) -> InternalText:
    """`tools` are the names under which models know them; those that are words of a language are left out."""
    told = settings.contact_address or ""
    urls = [*_urls(settings)]
    hosts = {host for url in urls for host in _hosts(url.netloc) if host not in told}
    passwords = {each for url in urls if url.password for each in (url.password, unquote(url.password))}
    keys = {key.key for key in settings.server_keys()}
    return InternalText(
        names={*(hosts - _EVERYBODYS), *(name for name in tools if "_" in name)},
        secrets={*_secrets(settings), *passwords, *keys},
        instructions=[rules(settings.company_name)],
    )


def _urls(settings: Settings) -> Iterator[SplitResult]:
    for text in _texts(settings):
        if "://" in text:
            with suppress(ValueError):  # a password may hold what no URL may
                yield urlsplit(text)


def _hosts(place: str) -> Iterator[str]:
    """Of one address, or of several between commas; a word without a dot says nothing."""
    for each in place.rpartition("@")[2].split(","):
        host = each.rpartition(":")[0] if ":" in each and not each.endswith("]") else each
        if "." in host:
            yield host.strip("[]")


def _secrets(value: Any) -> Iterator[str]:
    return (each.get_secret_value() for each in _values(value) if isinstance(each, SecretStr))


def _texts(value: Any) -> Iterator[str]:
    for each in _values(value):
        if isinstance(each, SecretStr):
            yield each.get_secret_value()
        elif isinstance(each, str):
            yield each


def _values(value: Any) -> Iterator[Any]:
    """All that stands in settings, however deep."""
    if isinstance(value, BaseModel):
        for _, each in value:
            yield from _values(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _values(each)
    else:
        yield value
