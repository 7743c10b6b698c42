"""
What a journal consists of while SQL is down: entries in the order in which they happened.

Written by `state.redis.journal`, absorbed by `state.sql.absorb`. An entry of a newer version is left to a replica of that
version: what this one does not know of it would be lost.
"""

from dataclasses import replace

import msgspec

from core.errors import StateLoadFailed
from core.messages import TurnResult
from state.codec import StateChange, decode, encode, encode_over
from state.models import ConversationState, CustomerState
from state.store import EffectRecord, IncomingMessage, TurnCommit

_VERSION = 1
_RETRY_AFTER_SECONDS = 5.0


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    v: int = _VERSION


class MessageEntry(_Entry, frozen=True, tag="message"):
    """`result` is set where a person has the conversation and no turn will run."""

    message: IncomingMessage
    conversation_id: str
    message_id: str
    turn_id: str
    result: TurnResult | None = None


class LeaseEntry(_Entry, frozen=True, tag="lease"):
    """A turn began. Its token goes on holding once SQL has absorbed it, so a turn survives SQL's return."""

    tenant: str
    conversation_id: str
    turn_id: str
    token: int
    owner: str


class CommitEntry(_Entry, frozen=True, tag="commit"):
    """`state` and `customer_state` say what the turn changed; an entry without them, all that it knew."""

    commit: TurnCommit
    state: StateChange | None = None
    customer_state: StateChange | None = None


class EffectEntry(_Entry, frozen=True, tag="effect"):
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


def entry_without_document(commit: TurnCommit) -> CommitEntry:
    """Of a turn that Redis knows nothing of but what its lease brought along."""
    basis = commit.lease.basis
    learned: StateChange | None = None
    if commit.customer_state is not None:
        before = None if basis is None else encode_over(basis.customer_state, None)
        learned = StateChange(encode_over(commit.customer_state, None), before)
    change = StateChange(
        encode_over(commit.state, None), None if basis is None else encode_over(basis.state, None)
    )
    return CommitEntry(replace(commit, lease=replace(commit.lease, basis=None)), change, learned)


def encode_entry(entry: Entry) -> bytes:
    if isinstance(entry, CommitEntry) and entry.state is not None:
        # Told once, in the form that another version can read and lay over what it has.
        told = replace(entry.commit, state=ConversationState(), customer_state=None)
        entry = msgspec.structs.replace(entry, commit=told)
    return encode(entry)


def decode_entry(stored: bytes) -> Entry:
    """
    Raises:
        StateLoadFailed: of a newer version.
        DataIntegrityFailed: no entry.
    """
    if decode(stored, _Entry).v > _VERSION:
        raise StateLoadFailed(
            "a newer version of Careline has to drain this", reason="newer", retry_after=_RETRY_AFTER_SECONDS
        )
    # A union is a type to msgspec, and none to mypy.
    entry: Entry = decode(stored, Entry)  # type: ignore[arg-type]
    if not isinstance(entry, CommitEntry) or entry.state is None:
        return entry
    learned = entry.customer_state
    told = replace(
        entry.commit,
        state=decode(entry.state.after, ConversationState),
        customer_state=None if learned is None else decode(learned.after, CustomerState),
    )
    return msgspec.structs.replace(entry, commit=told)
