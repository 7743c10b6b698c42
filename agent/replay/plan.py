"""
What a replay is asked to do, as it travels to whoever carries out a part of it.
"""

from typing import Literal

import msgspec

from agent.replay.faults import Fault
from agent.replay.log import RecordedConversation
from agent.replay.rows import ReplayedTurn

Mode = Literal["live", "stubbed", "against"]


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that the results depend on, beside the log, this version and its articles.

    `clock` is when the virtual time begins (ISO 8601); None: real time, because somebody outside of this process is asked.
    `pause_seconds` lie between an answer and the customer's next message; a message that finds no answer is sent again for
    `patience_seconds`. Each shard of `shard_size` conversations has a service of its own; where the plan `has_redis`, with a
    Redis of its own.
    """

    mode: Mode
    seed: int = 0
    clock: str | None = None
    faults: tuple[Fault, ...] = ()
    uses_vectors: bool = True
    has_redis: bool = False
    pause_seconds: float = 2.0
    patience_seconds: float = 30.0
    shard_size: int = 25
    at_once: int = 1
    run: str = ""
    url: str | None = None


class Shard(msgspec.Struct, frozen=True):
    """`first` is the place of its first conversation in the whole log, from 0."""

    number: int
    first: int
    conversations: tuple[RecordedConversation, ...]


class Timing(msgspec.Struct, frozen=True):
    """What a turn really took, beside what its customer waited in virtual time."""

    conversation: str
    turn: int
    real_ms: float


class ShardResult(msgspec.Struct, frozen=True):
    """Rows in the log's order: of one conversation after the other, turn by turn."""

    rows: tuple[ReplayedTurn, ...]
    timings: tuple[Timing, ...]
