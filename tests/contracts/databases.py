"""
Migrated, empty databases of both kinds, and the messages and commits that the contract suites write into them.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from core.messages import Message, MessageRole, Reply, TurnResult, TurnStatus
from core.records import OutboxItem
from state.models import ConversationState, CustomerState
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.store import IncomingMessage, Lease, TurnCommit

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    url: str = request.getfixturevalue(name)
    upgrade(url)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, timeout_seconds=5.0)
    yield opened
    await opened.close()


def message(text: str = "Where is my order?", *, id: str = "m1", **changes: Any) -> IncomingMessage:
    """`conversation` continues one."""
    values: dict[str, Any] = {
        "tenant": "default",
        "principal": "customer:ada",
        "customer_id": "ada",
        "conversation_id": changes.pop("conversation", None),
        "client_message_id": id,
        "text": text,
        "locale": "en",
        "channel": "api",
        "at": NOON,
        "handed_over_reply": "A person has your conversation.",
    }
    return IncomingMessage(**(values | changes))


def answer(
    lease: Lease,
    text: str = "It is on its way.",
    *,
    state: ConversationState | None = None,
    customer_state: CustomerState | None = None,
    outbox: tuple[OutboxItem, ...] = (),
    hand_over_until: datetime | None = None,
) -> TurnCommit:
    message_id = f"msg_reply_{lease.turn_id}_{lease.token}"
    return TurnCommit(
        lease=lease,
        result=TurnResult(
            conversation_id=lease.conversation_id,
            turn_id=lease.turn_id,
            message_id=lease.fresh[0].message_id if lease.fresh else "",
            status=TurnStatus.ANSWERED,
            reply=Reply(message_id, text),
            durability=lease.durability,
        ),
        reply=Message(message_id, 0, MessageRole.AGENT, text, NOON, turn_id=lease.turn_id),
        state=state or ConversationState(),
        customer_id="ada",
        customer_state=customer_state,
        at=NOON,
        outbox=outbox,
        hand_over_until=hand_over_until,
    )
