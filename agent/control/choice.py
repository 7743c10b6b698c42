"""
Which deployment serves a conversation: a share of the conversations of its channels, and what was chosen stays.

Pure: what is deployed where, and where the choice is kept, is others'.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol

BUILT_IN = "built-in"
"""In the place of a deployment's id: the agent that the settings make."""
_BITS = 53
"""As many as a float holds, so that nobody lies at 100 itself."""


class Candidate(Protocol):
    """`traffic_share` is in percent of all conversations; `channels` None: every channel."""

    @property
    def id(self) -> str: ...

    @property
    def traffic_share(self) -> float: ...

    @property
    def channels(self) -> frozenset[str] | None: ...


def chosen(candidates: Iterable[Candidate], *, conversation_id: str, channel: str, kept: str | None) -> str:
    """
    The id of the one that serves, of candidates in order, the newest first; `BUILT_IN` where none does.

    Each takes its share of what those before it left. `kept` is what was chosen for the conversation before: it stays for as
    long as it is a candidate, whatever became of shares and channels.
    """
    candidates = tuple(candidates)
    if kept == BUILT_IN or any(each.id == kept for each in candidates):
        return kept or BUILT_IN
    point = point_of(conversation_id)
    taken = 0.0
    for each in candidates:
        if each.channels is not None and channel not in each.channels:
            continue
        taken += each.traffic_share
        if point < taken:
            return each.id
    return BUILT_IN


def point_of(conversation_id: str) -> float:
    """Where a conversation lies between 0 and 100: the same on every replica."""
    digest = hashlib.blake2b(conversation_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return 100.0 * ((int.from_bytes(digest, "big") >> (64 - _BITS)) / 2.0**_BITS)
