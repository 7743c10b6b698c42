"""
The state handler that everybody writes first: Redis as primary, SQL as backup, each asked when the other raised.

Kept so that every claim about Careline's handler is seen to fail for it. Nothing in it is made worse than usual; the options are
the usual second thoughts (a lock, the newer copy wins, a driver that repeats), which do not help.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core.clock import SystemClock
from core.records import NewTicket
from core.telemetry.logging import get_logger
from tests.pitfalls.port import Refused
from tests.tool_world import FakeDesk

State = dict[str, Any]

_FIELDS = ("log", "notes", "receipts", "saved_at")
_TTL_SECONDS = 24 * 3600
_LOCK_POLL_SECONDS = 0.02

_log = get_logger(__name__)

_states = sa.Table(
    "naive_states",
    sa.MetaData(),
    sa.Column("customer", sa.String, primary_key=True),
    sa.Column("body", sa.Text),
    sa.Column("promised_at", sa.DateTime),
    sa.Column("refund", sa.Numeric(10, 2)),
)


class RedisBackend:
    def __init__(self, client: Redis) -> None:
        self._client = client

    async def get_state(self, customer: str) -> State | None:
        raw = await self._client.get(f"state:{customer}")
        return None if raw is None else _known(json.loads(raw))

    async def save_state(self, customer: str, state: State) -> None:
        await self._client.set(f"state:{customer}", json.dumps(state, default=str), ex=_TTL_SECONDS)


class SqlBackend:
    """Async in name: its engine is a synchronous one."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url.replace("sqlite+aiosqlite", "sqlite"), poolclass=sa.NullPool)

    async def get_state(self, customer: str) -> State | None:
        with self.engine.begin() as connection:
            row = connection.execute(sa.select(_states).where(_states.c.customer == customer)).one_or_none()
        if row is None:
            return None
        state = _known(json.loads(row.body))
        columns = {"promised_at": row.promised_at, "refund": row.refund}
        notes = {name: value for name, value in columns.items() if value is not None}
        return {**state, "notes": {**state.get("notes", {}), **notes}} if notes else state

    async def save_state(self, customer: str, state: State) -> None:
        notes = dict(state.get("notes", {}))
        promised_at, refund = notes.pop("promised_at", None), notes.pop("refund", None)
        if isinstance(promised_at, str):
            promised_at = datetime.fromisoformat(promised_at)
        body = {**state, "notes": notes} if state else state
        values = {
            "body": json.dumps(body, default=str),
            "promised_at": promised_at,
            "refund": None if refund is None else Decimal(refund),
        }
        with self.engine.begin() as connection:
            connection.execute(sa.delete(_states).where(_states.c.customer == customer))
            connection.execute(sa.insert(_states).values(customer=customer, **values))


class NaiveRecoveryHandler:
    def __init__(self, primary: RedisBackend, backup: SqlBackend, *, newest_wins: bool) -> None:
        self._primary = primary
        self._backup = backup
        self._newest_wins = newest_wins

    async def load(self, customer: str) -> State:
        found = await self._read(self._primary, customer)
        if self._newest_wins:
            other = await self._read(self._backup, customer)
            return max(found or {}, other or {}, key=lambda state: str(state.get("saved_at", "")))
        if found:
            return found
        found = await self._read(self._backup, customer)
        if found:
            await self._write(self._primary, customer, found)
            return found
        return {}

    async def save(self, customer: str, state: State) -> bool:
        if await self._write(self._primary, customer, state) and not self._newest_wins:
            return True
        return await self._write(self._backup, customer, state)

    async def _read(self, backend: RedisBackend | SqlBackend, customer: str) -> State | None:
        try:
            return await backend.get_state(customer)
        except Exception as failed:
            _log.warning("naive.read_failed", error=str(failed))
            return None

    async def _write(self, backend: RedisBackend | SqlBackend, customer: str, state: State) -> bool:
        try:
            await backend.save_state(customer, state)
        except Exception as failed:
            _log.warning("naive.write_failed", error=str(failed))
            return False
        return True


class NaiveTurn:
    def __init__(self, subject: "Naive", customer: str, text: str, state: State) -> None:
        self._subject = subject
        self._customer = customer
        self._text = text
        self._state = state

    @property
    def before(self) -> Sequence[str]:
        return tuple(text for text in self._state.get("log", ()) if not text.startswith("re: "))

    @property
    def notes(self) -> Mapping[str, Any]:
        notes: Mapping[str, Any] = self._state.get("notes", {})
        return notes

    @property
    def receipts(self) -> Sequence[str]:
        return tuple(self._state.get("receipts", ()))

    async def open_ticket(self, subject: str) -> None:
        await self._subject.open_ticket(subject)

    async def save(self, *, notes: Mapping[str, Any] | None = None, receipt: str | None = None) -> None:
        reply = f"re: {self._text}"
        state: State = {
            "log": [*self._state.get("log", ()), self._text, reply],
            "notes": dict(self.notes if notes is None else notes),
            "receipts": [*self.receipts, *([] if receipt is None else [receipt])],
        }
        await self._subject.answer(self._customer, [self._text, reply], state)


class Naive:
    """Implements `tests.pitfalls.port.Subject`."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        desk: FakeDesk,
        *,
        lock_seconds: float | None = None,
        newest_wins: bool = False,
        driver_retries: int = 0,
        clock_ahead: timedelta = timedelta(0),
    ) -> None:
        self.told: list[str] = []
        self._client = Redis.from_url(
            redis_url,
            socket_timeout=0.25,
            socket_connect_timeout=0.25,
            retry=Retry(NoBackoff(), driver_retries),
        )
        self._backup = SqlBackend(database_url)
        self._handler = NaiveRecoveryHandler(
            RedisBackend(self._client), self._backup, newest_wins=newest_wins
        )
        self._desk = desk
        self._lock_seconds = lock_seconds
        self._clock_ahead = clock_ahead
        self._keeps_transcript = driver_retries > 0

    def create_tables(self) -> None:
        _states.metadata.create_all(self._backup.engine)

    async def close(self) -> None:
        await self._client.aclose()
        self._backup.engine.dispose()

    async def begin(
        self, text: str, *, id: str | None = None, customer: str = "ada", tenant: str = "default"
    ) -> NaiveTurn:
        if self._lock_seconds is not None:
            milliseconds = int(self._lock_seconds * 1000)
            while not await self._client.set(  # noqa: ASYNC110 - what is waited for happens in Redis
                f"lock:{customer}", "1", nx=True, px=milliseconds
            ):
                await asyncio.sleep(_LOCK_POLL_SECONDS)
        return NaiveTurn(self, customer, text, await self._handler.load(customer))

    async def answer(self, customer: str, words: Sequence[str], state: State) -> None:
        """The customer hears the reply while the state is being saved."""
        self.told.append(words[-1])
        now = SystemClock().now() + self._clock_ahead
        if self._keeps_transcript:
            await self._client.rpush(f"transcript:{customer}", *words)
        is_saved = await self._handler.save(customer, {**state, "saved_at": now.isoformat()})
        if self._lock_seconds is not None:
            await self._client.delete(f"lock:{customer}")
        if not is_saved:
            raise Refused

    async def start_over(self) -> None:
        """Ada begins anew: nothing is left to know."""
        await self._handler.save("ada", {})

    async def open_ticket(self, subject: str) -> None:
        ticket = NewTicket(
            key=uuid.uuid4().hex,
            receipt="",
            customer_id="ada",
            conversation_id="",
            subject=subject,
            description="",
        )
        await self._desk.open_ticket("default", ticket)

    async def log(self, *, customer: str = "ada", tenant: str = "default") -> Sequence[str]:
        return tuple((await self._handler.load(customer)).get("log", ()))

    async def transcript(self) -> Sequence[str]:
        words: Any = await self._client.lrange("transcript:ada", 0, -1)
        return [each.decode() for each in words]

    async def settle(self) -> None:
        """It has nothing that would mend anything."""

    async def erase(self) -> None:
        await self._client.delete("state:ada")

    async def let_expire(self) -> None:
        """Redis does it, by the time to live."""

    async def places_of(self, words: str) -> Sequence[str]:
        with self._backup.engine.begin() as connection:
            bodies = connection.execute(sa.select(_states.c.body)).scalars().all()
        found = ["naive_states"] if any(words in body for body in bodies) else []
        raw = await self._client.get("state:ada")
        return [*found, "state:ada"] if raw is not None and words.encode() in raw else found

    async def stored(self) -> bytes:
        raw: Any = await self._client.get("state:ada")
        return bytes(raw)

    async def store(self, raw: bytes) -> None:
        await self._client.set("state:ada", raw)

    def with_field(self, stored: bytes, name: str, value: str) -> bytes:
        return json.dumps({**json.loads(stored), name: value}).encode()

    def field(self, stored: bytes, name: str) -> object:
        return json.loads(stored).get(name)


def _known(stored: State) -> State:
    return {name: stored[name] for name in _FIELDS if name in stored}
