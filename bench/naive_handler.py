"""
The same turn as a typical engineer writes it, to be measured beside ours: FastAPI, pydantic, httpx, SQLAlchemy's ORM.

    NAIVE_DATABASE_URL=… NAIVE_REDIS_URL=… NAIVE_MODEL_URL=… uvicorn bench.naive_handler:app

Two calls of the model and one tool, the message and the reply kept in SQL, the history kept as JSON in Redis and cut to its
last 20 messages. Honest work, nothing slowed on purpose: one client, one engine and one Redis pool per process, SQLite in WAL
mode, uvicorn with uvloop and httptools. It has no rate limits, no lease, no idempotency, no guards, no metrics and no grounding.
"""

import json
import logging
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from redis.asyncio import Redis
from sqlalchemy import ForeignKey, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HISTORY_MESSAGES = 20
SYSTEM_PROMPT = (
    "You are the support assistant of Quillmere Cycles. Answer from the results of tools only. "
    "If they do not answer the question, say that you do not know and offer to open a ticket."
)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "customer_info",
            "description": "Look up the account of the customer in this conversation: their newest orders.",
            "parameters": {
                "type": "object",
                "properties": {"about": {"enum": ["all", "profile", "orders"], "default": "all"}},
            },
        },
    }
]

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
log = logging.getLogger("naive")


class Base(DeclarativeBase):
    pass


class Conversation(Base):
    __tablename__ = "naive_conversations"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    updated_at: Mapped[datetime]


class StoredMessage(Base):
    __tablename__ = "naive_messages"
    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey(Conversation.id), index=True)
    role: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime]


class Order(Base):
    __tablename__ = "naive_orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    items: Mapped[str]
    tracking: Mapped[str]


class ChatRequest(BaseModel):
    message: str = Field(min_length=1, max_length=8000)
    conversation_id: str | None = None
    customer_id: str
    client_message_id: str | None = None


class ChatReply(BaseModel):
    text: str


class ChatResponse(BaseModel):
    conversation_id: str
    message_id: str
    reply: ChatReply


engine = create_async_engine(
    os.environ.get("NAIVE_DATABASE_URL", "sqlite+aiosqlite:///naive.db"),
    **({"pool_size": 20} if os.environ.get("NAIVE_DATABASE_URL", "").startswith("postgres") else {}),
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
cache = Redis.from_url(os.environ.get("NAIVE_REDIS_URL", "redis://127.0.0.1/0"), decode_responses=True)
model = httpx.AsyncClient(base_url=os.environ.get("NAIVE_MODEL_URL", "http://127.0.0.1/v1"), timeout=30)


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")


if engine.dialect.name == "sqlite":
    _prepare_sqlite(engine)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        for number in range(int(os.environ.get("NAIVE_CUSTOMERS", "0"))):
            items = json.dumps(["Heron Gravel helmet, M", "Merino socks, 2 pairs"])
            session.add(
                Order(
                    id=f"QC{300000 + number}",
                    customer_id=f"cus_bench_{number}",
                    status="shipped",
                    items=items,
                    tracking="BX7731900421GB",
                )
            )
        await session.commit()
    yield
    await model.aclose()
    await cache.aclose()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


def api_key(authorization: Annotated[str, Header()]) -> str:
    if authorization != f"Bearer {os.environ.get('NAIVE_KEY', '')}":
        raise HTTPException(401)
    return authorization


async def database() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


@app.get("/livez")
async def livez() -> dict[str, str]:
    return {"status": "alive"}


@app.post("/v1/chat")
async def chat(
    request: ChatRequest,
    session: Annotated[AsyncSession, Depends(database)],
    _: Annotated[str, Depends(api_key)],
) -> ChatResponse:
    conversation_id = request.conversation_id or str(uuid.uuid4())
    log.info("message received conversation=%s", conversation_id)
    conversation = await session.get(Conversation, conversation_id)
    if conversation is None:
        conversation = Conversation(id=conversation_id, customer_id=request.customer_id, updated_at=_now())
        session.add(conversation)
    session.add(_stored(conversation_id, "user", request.message))
    await session.commit()

    raw = await cache.get(f"history:{conversation_id}")
    history: list[dict[str, Any]] = json.loads(raw) if raw else []
    question = {"role": "user", "content": request.message}
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, *history, question]
    answer = await ask_model(messages)
    while answer.get("tool_calls"):
        messages.append(answer)
        for call in answer["tool_calls"]:
            log.info("tool called tool=%s", call["function"]["name"])
            result = await customer_info(session, request.customer_id)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
        answer = await ask_model(messages)

    reply = _stored(conversation_id, "assistant", answer["content"])
    session.add(reply)
    conversation.updated_at = _now()
    await session.commit()
    history = [*history, question, {"role": "assistant", "content": answer["content"]}]
    await cache.set(f"history:{conversation_id}", json.dumps(history[-HISTORY_MESSAGES:]), ex=86400)
    log.info("message answered conversation=%s", conversation_id)
    return ChatResponse(
        conversation_id=conversation_id, message_id=reply.id, reply=ChatReply(text=answer["content"])
    )


async def ask_model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    response = await model.post(
        "/chat/completions", json={"model": "mock", "messages": messages, "tools": TOOLS}
    )
    response.raise_for_status()
    message: dict[str, Any] = response.json()["choices"][0]["message"]
    return message


async def customer_info(session: AsyncSession, customer_id: str) -> dict[str, Any]:
    orders = (await session.scalars(select(Order).where(Order.customer_id == customer_id))).all()
    return {
        "orders": [
            {"order_id": each.id, "status": each.status, "items": each.items, "tracking": each.tracking}
            for each in orders
        ]
    }


def _stored(conversation_id: str, role: str, text: str) -> StoredMessage:
    return StoredMessage(
        id=str(uuid.uuid4()),
        conversation_id=conversation_id,
        role=role,
        text=text,
        at=_now(),
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
