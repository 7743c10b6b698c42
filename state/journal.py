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


_WORTH = {"failed": 0, "queued": 2, "intent": 3, "unknown": 4, "confirmed": 5}
_JOURNALED_INTENT_WORTH = 1


def counts_for_more(new: EffectRecord, known: EffectRecord | None) -> bool:
    """
    Whether `new` takes the place of what is known of the effect, perhaps from another store and another run of its turn.

    What may have happened counts for more than what was put off, and what has happened for most. A plan made in the journal is
    put off until SQL has it, so nothing has happened under it.
    """
    if known is None:
        return True
    is_its_outcome = known.status == "intent" and new.arguments.get("run") == known.arguments.get("run")
    return _worth(new) > _worth(known) or (is_its_outcome and new.status != "intent")


def _worth(effect: EffectRecord) -> int:
    if effect.status == "intent" and effect.is_journaled:
        return _JOURNALED_INTENT_WORTH
    return _WORTH[effect.status]


def encode_entry(entry: Entry) -> bytes:
    return encode(entry)


def decode_entry(stored: bytes) -> Entry:
    """
    Raises:
        DataIntegrityFailed: not an entry of this version.
    """
    return decode(stored, Entry)  # type: ignore[arg-type]
