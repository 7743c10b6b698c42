"""
What a journal consists of while SQL is down: entries in the order in which they happened.

Written by `state.redis.journal`, absorbed by `state.sql.absorb`.
"""

import msgspec

from core.messages import TurnResult
from state.codec import decode, encode
from state.store import EffectRecord, IncomingMessage, TurnCommit


class MessageEntry(msgspec.Struct, frozen=True, tag="message"):
    """`result` is set where a person has the conversation and no turn will run."""

    message: IncomingMessage
    conversation_id: str
    message_id: str
    turn_id: str
    result: TurnResult | None = None


class LeaseEntry(msgspec.Struct, frozen=True, tag="lease"):
    """A turn began. Its token goes on holding once SQL has absorbed it, so a turn survives SQL's return."""

    tenant: str
    conversation_id: str
    turn_id: str
    token: int
    owner: str


class CommitEntry(msgspec.Struct, frozen=True, tag="commit"):
    commit: TurnCommit


class EffectEntry(msgspec.Struct, frozen=True, tag="effect"):
    effect: EffectRecord


Entry = MessageEntry | LeaseEntry | CommitEntry | EffectEntry


def encode_entry(entry: Entry) -> bytes:
    return encode(entry)


def decode_entry(stored: bytes) -> Entry:
    """
    Raises:
        DataIntegrityFailed: not an entry of this version.
    """
    return decode(stored, Entry)  # type: ignore[arg-type]
