"""
Parts of the protocol that can be left out of the real service, to show that the rows notice: see `tests.chaos.replica`.

A part is left out wherever it stands: the reply's id, which is derived from its turn, is part of the version check, too.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from core.errors import LeaseLost
from core.ids import new_id
from state.sql import rows
from state.sql.commit import apply_commit
from state.sql.connection import Connection
from state.store import TurnCommit, Written


def _new(prefix: str) -> Callable[..., str]:
    return lambda *_: new_id(prefix)


def without_message_keys() -> None:
    """A message that is sent again is another message."""
    for module in ("state.sql.intake", "state.redis.journal"):
        patch(f"{module}.message_id_of", _new("msg")).start()


def without_effect_keys() -> None:
    """A turn that is run again asks for its tickets under other keys."""
    patch("agent.turn.effects.derived_id", lambda prefix, *_: new_id(prefix)).start()


def without_version_check() -> None:
    """Whoever comes to commit writes, whoever holds the lease by then and whatever was written meanwhile."""

    async def write_turn(connection: Connection, *, commit: TurnCommit, lease_microseconds: int) -> Written:
        lease = commit.lease
        row, _, waiting = await rows.running(
            connection, lease.tenant, lease.conversation_id, turn_id=lease.turn_id
        )
        if row is None:
            raise LeaseLost(f"{lease.conversation_id} is gone")
        turn = cast("Any", SimpleNamespace(turn_id=lease.turn_id))
        return await apply_commit(
            connection, row, turn, commit, waiting, lease_microseconds=lease_microseconds
        )

    async def renew(*_: object) -> None:
        """A run that was overtaken does not hear of it here either."""

    patch("state.sql.conversations.write_turn", write_turn).start()
    patch("state.sql.conversations.SqlConversationStore.renew", renew).start()
    patch("agent.turn.steps.reply_id_of", _new("msg")).start()


ABLATIONS: Mapping[str, Callable[[], None]] = {
    "message-keys": without_message_keys,
    "effect-keys": without_effect_keys,
    "version-check": without_version_check,
}
