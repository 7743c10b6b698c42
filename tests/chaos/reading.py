"""
Read what the stores hold, from the stores themselves: SQL, the ticket desk's SQL, and what is left in Redis.
"""

from typing import Any

import msgspec
import redis

from core.messages import TurnResult
from tests.chaos.history import (
    Stored,
    StoredConversation,
    StoredMessage,
    StoredTicket,
    StoredTurn,
)
from tests.servers import PostgresServer, RedisServer

_LEFT_IN_REDIS = ("careline:journal.entries:*", "careline:journal.effect:*")


def read_stored(record: PostgresServer, desk: PostgresServer, cache: RedisServer) -> Stored:
    stored = Stored(waiting=waiting(record, cache))
    with record.connection("careline") as sql:
        for row in sql.execute(
            "SELECT conversation_id, customer_id, head, last_user, answered, state_version, running_turn, state"
            " FROM conversations"
        ):
            found = (*row[:6], _map(row[7]), row[6])
            stored.conversations.append(StoredConversation(*found))
        for row in sql.execute(
            "SELECT conversation_id, seq, role, text, turn_id, client_message_id FROM messages"
        ):
            stored.messages.append(StoredMessage(*row))
        for row in sql.execute("SELECT turn_id, conversation_id, first_seq, last_seq, result FROM turns"):
            result = None if row[4] is None else msgspec.msgpack.decode(row[4], type=TurnResult)
            found = (*row[:4], result)
            stored.turns.append(StoredTurn(*found))
        for customer, state in sql.execute("SELECT customer_id, state FROM customer_state"):
            stored.receipts[customer] = tuple(_map(state)["receipts"])
    with desk.connection("desk") as sql:
        for row in sql.execute("SELECT key, receipt, conversation_id, subject FROM tickets"):
            stored.tickets.append(StoredTicket(*row))
    return stored


def waiting(record: PostgresServer, cache: RedisServer) -> list[str]:
    """What the service still has to do, by name; empty when it is at rest."""
    found: list[str] = []
    with record.connection("careline") as sql:
        for (name,) in sql.execute("SELECT conversation_id FROM conversations WHERE answered < last_user"):
            found.append(f"{name} is not answered")
        for row in sql.execute(
            "SELECT key, status, attempts, error, due_at - (extract(epoch FROM now()) * 1000000)::bigint, lease_owner"
            " FROM outbox WHERE status NOT IN ('done', 'sent')"
        ):
            key, status, attempts, error, due, owner = row
            found.append(
                f"outbox {key} {status} in {due / 1e6:.1f} s after {attempts} ({error}), held by {owner}"
            )
    return found + journaled(cache)


def running_turns(record: PostgresServer) -> set[tuple[str, int]]:
    """Each with the token of the lease under which it runs, or ran until its replica died."""
    with record.connection("careline") as sql:
        return set(
            sql.execute("SELECT running_turn, lease_token FROM conversations WHERE running_turn IS NOT NULL")
        )


def journaled(cache: RedisServer) -> list[str]:
    with cache.client() as client:
        return [str(found) for pattern in _LEFT_IN_REDIS for found in _keys(client, pattern)]


def _keys(client: "redis.Redis", pattern: str) -> list[Any]:
    return list(client.scan_iter(match=pattern, count=1000))


def _map(stored: bytes | None) -> dict[str, Any]:
    return {} if stored is None else msgspec.msgpack.decode(stored, type=dict[str, Any])
