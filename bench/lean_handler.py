"""
The same turn with the least that these libraries need for it, to be measured beside ours: what of the cost is the machine.

    LEAN_DATABASE=… LEAN_REDIS_URL=… LEAN_MODEL_URL=… uvicorn bench.lean_handler:app

FastAPI without pydantic, aiohttp, redis-py with one pipeline to load and one to save, messages as a list that nobody decodes,
SQLite written by one thread that commits together what waits; seven structlog lines, tenacity, a timeout around whatever waits,
and a lock in Redis. The goal for ours was set on a machine where such a handler takes 1.16 ms (`GOAL_OVER_LEAN`). It has no
streams, rate limits, idempotency, leases, recovery, guards, breakers, metrics or grounding.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import aiohttp
import orjson
import structlog
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tenacity import AsyncRetrying, stop_after_attempt

from bench.naive_handler import HISTORY_MESSAGES, SYSTEM_PROMPT, TOOLS

GOAL_OVER_LEAN = 1.7 / 1.16

T = TypeVar("T")

_SECONDS = 10.0
_LOCK_MILLISECONDS = 30_000
_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_SYSTEM = {"role": "system", "content": SYSTEM_PROMPT}
_SCHEMA = """
CREATE TABLE messages (id TEXT PRIMARY KEY, conversation_id TEXT, role TEXT, text TEXT, at TEXT);
CREATE TABLE orders (id TEXT PRIMARY KEY, customer_id TEXT, status TEXT, items TEXT, tracking TEXT);
CREATE INDEX orders_of ON orders (customer_id);
"""

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(serializer=orjson.dumps),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(20),
    logger_factory=structlog.BytesLoggerFactory(),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger()


class Writer:
    """Rows from many turns, committed together by one thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[tuple[list[tuple[str, ...]], asyncio.Future[None]] | None] = (
            queue.SimpleQueue()
        )
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def write(self, rows: list[tuple[str, ...]]) -> None:
        written: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((rows, written))
        await written

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path)
        while (first := self._waiting.get()) is not None:
            group = [first]
            while not self._waiting.empty() and (more := self._waiting.get()) is not None:
                group.append(more)
            connection.execute("BEGIN IMMEDIATE")
            rows = [row for each, _ in group for row in each]
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_tell, [written for _, written in group])
        connection.close()


def _tell(written: list[asyncio.Future[None]]) -> None:
    for each in written:
        if not each.done():
            each.set_result(None)


def connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    path = os.environ.get("LEAN_DATABASE", "lean.db")
    reader = connect(path)
    reader.executescript(_SCHEMA)
    items = orjson.dumps(["Heron Gravel helmet, M", "Merino socks, 2 pairs"]).decode()
    reader.executemany(
        "INSERT INTO orders VALUES (?, ?, 'shipped', ?, 'BX7731900421GB')",
        [
            (f"QC{300000 + number}", f"cus_bench_{number}", items)
            for number in range(int(os.environ.get("LEAN_CUSTOMERS", "0")))
        ],
    )
    app.state.reader = reader
    app.state.writer = Writer(path)
    app.state.cache = Redis.from_url(
        os.environ.get("LEAN_REDIS_URL", "redis://127.0.0.1/0"),
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
    app.state.model = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    yield
    await app.state.model.close()
    await app.state.cache.aclose()
    app.state.writer.close()
    reader.close()


app = FastAPI(lifespan=lifespan)
_KEY = f"Bearer {os.environ.get('LEAN_KEY', '')}"
_MODEL = f"{os.environ.get('LEAN_MODEL_URL', 'http://127.0.0.1/v1')}/chat/completions"


async def surely(attempt: Callable[[], Awaitable[T]]) -> T:
    """Twice at most, within a time."""

    async def once() -> T:
        async with asyncio.timeout(_SECONDS):
            return await attempt()

    return cast(T, await AsyncRetrying(stop=stop_after_attempt(2), reraise=True)(once))


@app.post("/v1/chat")
async def chat(request: Request) -> Response:
    if request.headers.get("authorization") != _KEY:
        return Response(status_code=401)
    asked = orjson.loads(await request.body())
    state = request.app.state
    conversation_id: str = asked.get("conversation_id") or str(uuid.uuid4())
    structlog.contextvars.bind_contextvars(conversation_id=conversation_id)
    log.info("message.received")
    cache: Redis = state.cache
    lock, owner = f"lock:{conversation_id}", uuid.uuid4().hex
    if not await surely(lambda: cache.set(lock, owner, nx=True, px=_LOCK_MILLISECONDS)):
        return Response(status_code=409)
    log.info("conversation.locked")
    try:
        reply = await _turn(state, conversation_id, asked)
    finally:
        await surely(lambda: cache.eval(_UNLOCK, 1, lock, owner))
    log.info("message.answered")
    return Response(
        orjson.dumps({"conversation_id": conversation_id, "reply": {"text": reply}}),
        media_type="application/json",
    )


async def _turn(state: Any, conversation_id: str, asked: dict[str, Any]) -> str:
    question = {"role": "user", "content": asked["message"]}
    await surely(lambda: state.writer.write([_row(conversation_id, question)]))
    key = f"history:{conversation_id}"

    async def load() -> list[bytes]:
        async with state.cache.pipeline(transaction=False) as pipeline:
            pipeline.lrange(key, -HISTORY_MESSAGES, -1)
            (history,) = await pipeline.execute()
        return cast("list[bytes]", history)

    history = [orjson.Fragment(said) for said in await surely(load)]
    log.info("history.loaded", messages=len(history))
    messages = [_SYSTEM, *history, question]
    answer = await surely(lambda: _ask_model(state, messages))
    while answer.get("tool_calls"):
        messages.append(answer)
        for call in answer["tool_calls"]:
            found = _orders(state.reader, asked["customer_id"])
            log.info("tool.called", tool=call["function"]["name"])
            result = {"role": "tool", "tool_call_id": call["id"], "content": orjson.dumps(found).decode()}
            messages.append(result)
        answer = await surely(lambda: _ask_model(state, messages))
    reply = {"role": "assistant", "content": answer["content"]}
    await surely(lambda: state.writer.write([_row(conversation_id, reply)]))
    log.info("reply.written")

    async def save() -> None:
        async with state.cache.pipeline(transaction=False) as pipeline:
            pipeline.rpush(key, orjson.dumps(question), orjson.dumps(reply))
            pipeline.ltrim(key, -HISTORY_MESSAGES, -1)
            await pipeline.execute()

    await surely(save)
    log.info("history.saved")
    return cast(str, answer["content"])


async def _ask_model(state: Any, messages: list[Any]) -> dict[str, Any]:
    body = orjson.dumps({"model": "mock", "messages": messages, "tools": TOOLS})
    async with state.model.post(_MODEL, data=body) as response:
        response.raise_for_status()
        choices = orjson.loads(await response.read())["choices"]
    return cast("dict[str, Any]", choices[0]["message"])


def _orders(reader: sqlite3.Connection, customer_id: str) -> dict[str, Any]:
    found = reader.execute(
        "SELECT id, status, items, tracking FROM orders WHERE customer_id = ?", (customer_id,)
    )
    names = ("order_id", "status", "items", "tracking")
    return {"orders": [dict(zip(names, row, strict=True)) for row in found]}


def _row(conversation_id: str, message: dict[str, str]) -> tuple[str, ...]:
    return (
        str(uuid.uuid4()),
        conversation_id,
        message["role"],
        message["content"],
        datetime.now(UTC).isoformat(),
    )
