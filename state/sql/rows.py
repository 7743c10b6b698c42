"""
Read and write the rows of one conversation inside a transaction that somebody else holds.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from core.errors import DataIntegrityFailed
from core.messages import Citation, DegradedPart, Durability, Message, MessageRole, TurnResult, TurnStatus
from state.codec import decode, encode, encode_over
from state.models import ConversationState, CustomerState
from state.selection import split
from state.sql.connection import Ask, Connection, Query, Record
from state.sql.tables import conversations, customer_state, messages, turns
from state.sql.types import database_now, insert_or_ignore
from state.store import Basis, ConversationRecord, IncomingMessage, Lease, Snapshot, TurnRecord

Row = Record

_TURN_COLUMNS: list[sa.Column[Any]] = [
    turns.c.turn_id,
    turns.c.first_seq,
    turns.c.last_seq,
    turns.c.result,
    turns.c.token,
]
_CUSTOMER_STATE_COLUMNS: list[sa.Column[Any]] = [customer_state.c.version, customer_state.c.state]


# Made once: putting a statement together costs SQLAlchemy more than SQLite needs to carry it out. Parameters that end in an
# underscore stand in conditions; the others are columns.
_CONVERSATION_SELECT = (
    sa.select(
        conversations,
        database_now().label("now"),
        customer_state.c.version.label("customer_version"),
        customer_state.c.state.label("customer_state"),
    )
    .outerjoin(
        customer_state,
        (customer_state.c.tenant == conversations.c.tenant)
        & (customer_state.c.customer_id == conversations.c.customer_id),
    )
    .where(
        conversations.c.tenant == sa.bindparam("tenant_"),
        conversations.c.conversation_id == sa.bindparam("conversation_id_"),
    )
)
_CONVERSATION = Query(_CONVERSATION_SELECT)
_LOCKED_CONVERSATION = Query(_CONVERSATION_SELECT.with_for_update(of=conversations))
_CREATE_CONVERSATION = insert_or_ignore(conversations)
_UPDATE_CONVERSATION = Query(
    sa.update(conversations).where(
        conversations.c.tenant == sa.bindparam("tenant_"),
        conversations.c.conversation_id == sa.bindparam("conversation_id_"),
    )
)
_INSERT_MESSAGE = Query(sa.insert(messages))
_MESSAGE = Query(
    sa.select(messages).where(
        messages.c.tenant == sa.bindparam("tenant_"),
        messages.c.conversation_id == sa.bindparam("conversation_id_"),
        messages.c.message_id == sa.bindparam("message_id_"),
    )
)
_MESSAGES_BETWEEN = Query(
    sa.select(messages)
    .where(
        messages.c.tenant == sa.bindparam("tenant_"),
        messages.c.conversation_id == sa.bindparam("conversation_id_"),
        messages.c.seq > sa.bindparam("after_"),
        messages.c.seq <= sa.bindparam("upto_"),
    )
    .order_by(messages.c.seq)
)
_INSERT_TURN = Query(sa.insert(turns))
_TURN = Query(
    sa.select(*_TURN_COLUMNS).where(
        turns.c.tenant == sa.bindparam("tenant_"), turns.c.turn_id == sa.bindparam("turn_id_")
    )
)
_UPDATE_TURN = Query(
    sa.update(turns).where(
        turns.c.tenant == sa.bindparam("tenant_"), turns.c.turn_id == sa.bindparam("turn_id_")
    )
)
_UNANSWERED_TURNS = Query(
    sa.select(*_TURN_COLUMNS)
    .where(
        turns.c.tenant == sa.bindparam("tenant_"),
        turns.c.conversation_id == sa.bindparam("conversation_id_"),
        turns.c.result.is_(None),
    )
    .order_by(turns.c.first_seq)
)
_LOCKED_CUSTOMER_STATE = Query(
    sa.select(*_CUSTOMER_STATE_COLUMNS)
    .where(
        customer_state.c.tenant == sa.bindparam("tenant_"),
        customer_state.c.customer_id == sa.bindparam("customer_id_"),
    )
    .with_for_update()
)
_UPDATE_CUSTOMER_STATE = Query(
    sa.update(customer_state).where(
        customer_state.c.tenant == sa.bindparam("tenant_"),
        customer_state.c.customer_id == sa.bindparam("customer_id_"),
    )
)


_CREATE_CUSTOMER_STATE = insert_or_ignore(customer_state)
_TURN_RECORD = Query(
    sa.select(turns).where(
        turns.c.tenant == sa.bindparam("tenant_"), turns.c.turn_id == sa.bindparam("turn_id_")
    )
)


class _Extras(msgspec.Struct, omit_defaults=True):
    """The parts of a message that few messages have."""

    citations: tuple[Citation, ...] = ()
    degraded: tuple[DegradedPart, ...] = ()
    metadata: dict[str, Any] | None = None
    email: str | None = None


def _only(found: Sequence[Row]) -> Row | None:
    """By a key there is one row, or none."""
    return found[0] if found else None


async def conversation_row(
    connection: Connection, tenant: str, conversation_id: str, *, lock: bool
) -> Row | None:
    """The row with the customer's state and the database's time as `now`. A locked row stands until the transaction ends."""
    query = _LOCKED_CONVERSATION if lock else _CONVERSATION
    return _only(await connection.fetch(query, {"tenant_": tenant, "conversation_id_": conversation_id}))


async def standing(
    connection: Connection, tenant: str, conversation_id: str, *, message_id: str
) -> tuple[Row | None, Message | None, Sequence[Row]]:
    """The locked row of a conversation, a message of it if it is there, and its unanswered turns, oldest first."""
    place = {"tenant_": tenant, "conversation_id_": conversation_id, "message_id_": message_id}
    row, stored, waiting = await _locked_with(connection, tenant, conversation_id, (_MESSAGE, place))
    return row, None if stored is None else message_of(stored), waiting


async def running(
    connection: Connection, tenant: str, conversation_id: str, *, turn_id: str
) -> tuple[Row | None, Row | None, Sequence[Row]]:
    """The locked row of a conversation, a turn of it, and all its unanswered turns, oldest first."""
    place = {"tenant_": tenant, "turn_id_": turn_id}
    return await _locked_with(connection, tenant, conversation_id, (_TURN, place))


async def _locked_with(
    connection: Connection, tenant: str, conversation_id: str, also: Ask
) -> tuple[Row | None, Row | None, Sequence[Row]]:
    """In one trip: the locked row, what is `also` asked for by its key, and the unanswered turns."""
    whose = {"tenant_": tenant, "conversation_id_": conversation_id}
    found, other, waiting = await connection.fetch_all(
        (_LOCKED_CONVERSATION, whose), also, (_UNANSWERED_TURNS, whose)
    )
    return _only(found), _only(other), waiting


async def create_conversation(connection: Connection, message: IncomingMessage, conversation_id: str) -> Row:
    """The locked row of a new conversation, whoever of several made it first."""
    await connection.write(
        _CREATE_CONVERSATION,
        {
            "tenant": message.tenant,
            "conversation_id": conversation_id,
            "customer_id": message.customer_id,
            "channel": message.channel,
            "locale": message.locale,
            "created_at": message.at,
            "updated_at": message.at,
            "head": 0,
            "last_user": 0,
            "answered": 0,
            "state_version": 0,
            "lease_token": 0,
        },
    )
    row = await conversation_row(connection, message.tenant, conversation_id, lock=True)
    if row is None:
        raise DataIntegrityFailed(f"conversation {conversation_id} was made and is not there")
    return row


async def update_conversation(connection: Connection, row: Row, **values: Any) -> None:
    await connection.write(
        _UPDATE_CONVERSATION,
        {"tenant_": row.tenant, "conversation_id_": row.conversation_id, **values},
    )


async def insert_message(connection: Connection, row: Row, message: Message) -> None:
    extras = _Extras(message.citations, message.degraded, message.metadata, message.email)
    await connection.write(
        _INSERT_MESSAGE,
        {
            "tenant": row.tenant,
            "conversation_id": row.conversation_id,
            "seq": message.seq,
            "message_id": message.message_id,
            "role": message.role,
            "text": message.text,
            "at": message.at,
            "turn_id": message.turn_id,
            "client_message_id": message.client_message_id,
            "extras": None if extras == _Extras() else encode(extras),
        },
    )


async def stored_message(
    connection: Connection, tenant: str, conversation_id: str, message_id: str
) -> Message | None:
    row = _only(
        await connection.fetch(
            _MESSAGE, {"tenant_": tenant, "conversation_id_": conversation_id, "message_id_": message_id}
        )
    )
    return None if row is None else message_of(row)


async def messages_between(
    connection: Connection, tenant: str, conversation_id: str, *, after: int, upto: int
) -> tuple[Message, ...]:
    """after < seq ≤ upto, oldest first."""
    rows = await connection.fetch(
        _MESSAGES_BETWEEN,
        {"tenant_": tenant, "conversation_id_": conversation_id, "after_": after, "upto_": upto},
    )
    return tuple(message_of(row) for row in rows)


async def insert_turn(
    connection: Connection,
    row: Row,
    *,
    turn_id: str,
    message_id: str,
    seq: int,
    durability: Durability = Durability.SQL,
    result: TurnResult | None = None,
) -> None:
    await connection.write(
        _INSERT_TURN,
        {
            "tenant": row.tenant,
            "turn_id": turn_id,
            "conversation_id": row.conversation_id,
            "customer_id": row.customer_id,
            "message_id": message_id,
            "first_seq": seq,
            "last_seq": seq,
            "status": TurnStatus.ACCEPTED if result is None else result.status,
            "durability": durability,
            "result": None if result is None else encode(result),
        },
    )


async def extend_turn(connection: Connection, row: Row, turn_id: str, *, last_seq: int) -> None:
    values = {"tenant_": row.tenant, "turn_id_": turn_id, "last_seq": last_seq}
    await connection.write(_UPDATE_TURN, values)


async def finish_turn(
    connection: Connection, row: Row, turn_id: str, result: TurnResult, *, token: int
) -> None:
    await connection.write(
        _UPDATE_TURN,
        {
            "tenant_": row.tenant,
            "turn_id_": turn_id,
            "status": result.status,
            "result": encode(result),
            "durability": result.durability,
            "token": token,
        },
    )


async def turn_row(connection: Connection, tenant: str, turn_id: str) -> Row | None:
    return _only(await connection.fetch(_TURN, {"tenant_": tenant, "turn_id_": turn_id}))


async def unanswered_turns(connection: Connection, row: Row) -> Sequence[Row]:
    """Oldest first. Read from a partial index that holds unanswered turns only: rarely more than two."""
    values = {"tenant_": row.tenant, "conversation_id_": row.conversation_id}
    return await connection.fetch(_UNANSWERED_TURNS, values)


async def turn_record(connection: Connection, tenant: str, turn_id: str) -> TurnRecord | None:
    row = _only(await connection.fetch(_TURN_RECORD, {"tenant_": tenant, "turn_id_": turn_id}))
    if row is None:
        return None
    return TurnRecord(
        tenant=tenant,
        turn_id=turn_id,
        conversation_id=row.conversation_id,
        customer_id=row.customer_id,
        message_id=row.message_id,
        status=TurnStatus(row.status),
        durability=Durability(row.durability),
        result=result_of(row.result),
    )


async def lease_of(
    connection: Connection, row: Row, turn: Row, *, token: int, owner: str, head: int, state_version: int
) -> Lease:
    """The lease of a turn, with the messages it has to answer."""
    found = await messages_between(
        connection, row.tenant, row.conversation_id, after=turn.first_seq - 1, upto=turn.last_seq
    )
    return Lease(
        tenant=row.tenant,
        conversation_id=row.conversation_id,
        turn_id=turn.turn_id,
        token=token,
        owner=owner,
        after_seq=turn.first_seq - 1,
        upto_seq=turn.last_seq,
        state_version=state_version,
        head=head,
        fresh=tuple(message for message in found if message.turn_id == turn.turn_id),
        customer_id=row.customer_id,
        customer_version=row.customer_version or 0,
        basis=basis_of(row),
    )


async def locked_customer_state(connection: Connection, row: Row) -> Row:
    """Version and state of the conversation's customer, which stand until the transaction ends; made where there are none."""
    if row.customer_version is None:
        await connection.write(
            _CREATE_CUSTOMER_STATE,
            {
                "tenant": row.tenant,
                "customer_id": row.customer_id,
                "version": 0,
                "state": encode_over(CustomerState(), None),
            },
        )
    values = {"tenant_": row.tenant, "customer_id_": row.customer_id}
    return (await connection.fetch(_LOCKED_CUSTOMER_STATE, values))[0]


async def update_customer_state(connection: Connection, row: Row, *, version: int, encoded: bytes) -> None:
    await connection.write(
        _UPDATE_CUSTOMER_STATE,
        {"tenant_": row.tenant, "customer_id_": row.customer_id, "version": version, "state": encoded},
    )


def snapshot_of(row: Row, lease: Lease, window: Sequence[Message], *, history_messages: int) -> Snapshot:
    history, fresh = split(window, lease, history_messages=history_messages)
    return Snapshot(
        conversation=record_of(row),
        state=state_of(row),
        state_version=row.state_version,
        history=history,
        fresh=fresh,
        customer_state=customer_state_of(row),
        customer_version=row.customer_version or 0,
        source="sql",
    )


def basis_of(row: Row) -> Basis:
    return Basis(record_of(row), state_of(row), customer_state_of(row))


def record_of(row: Row) -> ConversationRecord:
    return ConversationRecord(
        tenant=row.tenant,
        conversation_id=row.conversation_id,
        customer_id=row.customer_id,
        channel=row.channel,
        locale=row.locale,
        created_at=row.created_at,
        updated_at=row.updated_at,
        head=row.head,
        answered=row.answered,
        last_user=row.last_user,
        handed_over_until=row.handed_over_until,
    )


def state_of(row: Row) -> ConversationState:
    return ConversationState() if row.state is None else decode(row.state, ConversationState)


def customer_state_of(row: Row) -> CustomerState:
    return CustomerState() if row.customer_state is None else decode(row.customer_state, CustomerState)


def message_of(row: Row) -> Message:
    extras = _Extras() if row.extras is None else decode(row.extras, _Extras)
    return Message(
        message_id=row.message_id,
        seq=row.seq,
        role=MessageRole(row.role),
        text=row.text,
        at=row.at,
        turn_id=row.turn_id,
        client_message_id=row.client_message_id,
        citations=extras.citations,
        degraded=extras.degraded,
        metadata=extras.metadata,
        email=extras.email,
    )


def result_of(stored: bytes | None) -> TurnResult | None:
    return None if stored is None else decode(stored, TurnResult)
