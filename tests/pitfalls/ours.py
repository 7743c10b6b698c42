"""
Careline's own state handler as a subject of the claims: what `open_state` opens, behind the guards that the service has.

It adds what a client and the workers do: it keeps the id of each conversation, runs the turn of the lease that it was given, and
runs the drain and the sweeper when a story says that all is well again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from redis.asyncio import Redis

from agent.turn.effects import TurnTools
from core.clock import SystemClock
from core.errors import DependencyError, LeaseLost, StateError
from core.identity import Caller, CallerKind
from core.messages import MessageRole
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from core.telemetry.logging import StructuredErrorLogger, get_logger
from state.models import ConversationState, CustomerState
from state.opening import OpenState
from state.sql.connection import Connection
from state.sql.tables import conversations, customer_state, effects, messages, metadata, outbox, turns
from state.store import Intake, Lease, Snapshot
from tests.contracts.databases import answer, message
from tests.pitfalls.port import Refused
from tests.tool_world import FakeChannel, FakeDesk, FakeDirectory, FakeKnowledge
from tools.handler import ToolErrorHandler
from tools.registry import standard_tools

Conversations = dict[tuple[str, str], str]

_PATIENCE_SECONDS = 15.0
_HISTORY = 20


class SkewedClock(SystemClock):
    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


class OurTurn:
    """`lease` None: the message is kept, and another turn answers it."""

    def __init__(self, subject: "Ours", lease: Lease | None, snapshot: Snapshot | None) -> None:
        self._subject = subject
        self._lease = lease
        self._snapshot = snapshot

    @property
    def before(self) -> Sequence[str]:
        history = () if self._snapshot is None else self._snapshot.history
        return tuple(each.text for each in history if each.role is MessageRole.CUSTOMER)

    @property
    def notes(self) -> Mapping[str, Any]:
        return {} if self._snapshot is None else self._snapshot.state.notes

    @property
    def receipts(self) -> Sequence[str]:
        return () if self._snapshot is None else self._snapshot.customer_state.receipts

    async def open_ticket(self, subject: str) -> None:
        assert self._lease is not None
        await self._subject.open_ticket(self._lease, subject)

    async def save(self, *, notes: Mapping[str, Any] | None = None, receipt: str | None = None) -> None:
        lease, snapshot = self._lease, self._snapshot
        while lease is not None:
            snapshot = snapshot or await self._subject.load(lease)
            lease = await self._subject.answer(lease, snapshot, notes=notes, receipt=receipt)
            snapshot = None


class Ours:
    """Implements `tests.pitfalls.port.Subject`. `known` are the conversations, as the customers' devices remember them."""

    def __init__(
        self,
        opened: OpenState,
        redis: Redis,
        *,
        known: Conversations,
        guards: Mapping[str, Guard],
        desk: FakeDesk,
        clock: SystemClock,
    ) -> None:
        self.told: list[str] = []
        self._opened = opened
        self._store = opened.conversations
        self._redis = redis
        self._known = known
        self._clock = clock
        self._tools = ToolErrorHandler(
            standard_tools(
                knowledge=FakeKnowledge(),
                desk=desk,
                directory=FakeDirectory(),
                channels={"email": FakeChannel()},
                guards=guards,
                clock=clock,
            ),
            guards=guards,
            ledger=self._store,
            clock=clock,
            errors=StructuredErrorLogger(get_logger(__name__)),
        )

    async def begin(
        self, text: str, *, id: str | None = None, customer: str = "ada", tenant: str = "default"
    ) -> OurTurn:
        intake = await self._take(text, id or text, customer, tenant)
        self._known[tenant, customer] = intake.conversation_id
        if intake.lease is None:
            return OurTurn(self, None, None)
        return OurTurn(self, intake.lease, await self.load(intake.lease))

    async def _take(self, text: str, id: str, customer: str, tenant: str) -> Intake:
        incoming = message(
            text,
            id=id,
            conversation=self._known.get((tenant, customer)),
            tenant=tenant,
            principal=f"customer:{customer}",
            customer_id=customer,
            at=self._clock.now(),
        )
        try:
            return await self._store.intake(incoming)
        except (DependencyError, StateError) as refused:
            raise Refused from refused

    async def load(self, lease: Lease) -> Snapshot:
        try:
            return await self._store.load(lease, history_messages=_HISTORY)
        except (DependencyError, StateError) as refused:
            raise Refused from refused

    async def answer(
        self, lease: Lease, snapshot: Snapshot, *, notes: Mapping[str, Any] | None, receipt: str | None
    ) -> Lease | None:
        """A turn that was fenced is thrown away, as the pipeline does."""
        reply = "re: " + " + ".join(each.text for each in snapshot.fresh)
        kept = snapshot.state.notes if notes is None else dict(notes)
        learned = (
            None if receipt is None else CustomerState(receipts=(receipt, *snapshot.customer_state.receipts))
        )
        commit = answer(lease, reply, state=ConversationState(notes=kept), customer_state=learned)
        try:
            following = await self._store.commit(
                replace(commit, customer_id=lease.customer_id, at=self._clock.now())
            )
        except LeaseLost:
            return None
        except (DependencyError, StateError) as refused:
            raise Refused from refused
        self.told.append(reply)
        return following

    async def start_over(self) -> None:
        turn = await self.begin("start over")
        await turn.save(notes={})

    async def open_ticket(self, lease: Lease, subject: str) -> None:
        tools = TurnTools(
            self._tools,
            caller=Caller(kind=CallerKind.CUSTOMER, customer_id=lease.customer_id, email="ada@example.org"),
            conversation_id=lease.conversation_id,
            turn_id=lease.turn_id,
            fresh=lease.fresh,
            locale="en",
            context=(),
            deadline=Deadline(self._clock, 20.0),
            reload_state=_nothing_to_reload,
            out=_Unheard(),
            clock=self._clock,
        )
        await tools.call("open_ticket", {"subject": subject, "description": f"{subject}, says Ada."})

    async def log(self, *, customer: str = "ada", tenant: str = "default") -> Sequence[str]:
        conversation_id = self._known.get((tenant, customer))
        if conversation_id is None:
            return ()
        kept = await self._store.messages(tenant, conversation_id, after=0, limit=1000)
        return tuple(each.text for each in kept)

    async def transcript(self) -> Sequence[str]:
        assert self._opened.copy is not None
        copied = await self._opened.copy.read("default", self._known["default", "ada"])
        return () if copied is None else tuple(each.text for each in copied.messages)

    async def settle(self) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await self._is_settled():  # noqa: ASYNC110 - what is waited for happens in a database
                await asyncio.sleep(0.05)

    async def _is_settled(self) -> bool:
        with suppress(DependencyError, Refused):
            await self._store.drain()
            for lease in await self._store.claim_unanswered(limit=8):
                await OurTurn(self, lease, None).save()
            journal = self._opened.journal
            found = [
                await self._store.conversation(tenant, each) for (tenant, _), each in self._known.items()
            ]
            return not (journal is not None and await journal.pending()) and all(
                each is not None and each.answered == each.last_user for each in found
            )
        return False

    async def erase(self) -> None:
        """SQL first, then Redis (docs/architecture.md); there is no command for it yet, so this does by hand what it will do."""
        await self.let_expire()
        assert self._opened.copy is not None
        await self._opened.copy.forget("default", self._known.pop(("default", "ada")))

    async def let_expire(self) -> None:
        """What a retention worker will do. The copies in Redis are left to their time to live."""
        of_ada = [
            table.delete().where(table.c.conversation_id == self._known["default", "ada"])
            for table in (messages, turns, outbox, conversations)
        ]
        of_ada += [customer_state.delete(), effects.delete()]

        async def write(connection: Connection) -> None:
            for statement in of_ada:
                await connection.execute(statement)

        await self._opened.database.write(write)

    async def places_of(self, words: str) -> Sequence[str]:
        found = [
            key async for key in self._redis.scan_iter() if words.encode() in await _content(self._redis, key)
        ]

        async def read(connection: Connection) -> Sequence[str]:
            names = []
            for table in metadata.sorted_tables:
                rows = (await connection.execute(sa.select(table))).all()
                if any(words.encode() in _raw(row) for row in rows):
                    names.append(table.name)
            return names

        return [*await self._opened.database.read(read), *(key.decode() for key in found)]

    async def stored(self) -> bytes:
        async def read(connection: Connection) -> bytes:
            query = sa.select(conversations.c.state).where(self._is_adas())
            return bytes((await connection.execute(query)).scalar_one())

        return await self._opened.database.read(read)

    async def store(self, raw: bytes) -> None:
        async def write(connection: Connection) -> None:
            await connection.execute(conversations.update().where(self._is_adas()).values(state=raw))

        await self._opened.database.write(write)

    def _is_adas(self) -> sa.ColumnElement[bool]:
        return conversations.c.conversation_id == self._known["default", "ada"]

    def with_field(self, stored: bytes, name: str, value: str) -> bytes:
        return msgspec.msgpack.encode({**msgspec.msgpack.decode(stored), name: value})

    def field(self, stored: bytes, name: str) -> object:
        return msgspec.msgpack.decode(stored).get(name)


class _Unheard:
    """An `agent.brain.base.Emitter`: nobody listens to these turns."""

    async def status(self, phase: str, tool: str | None = None) -> None: ...

    async def text(self, piece: str) -> None: ...

    async def reset(self) -> None: ...


async def _nothing_to_reload() -> None: ...


async def _content(client: Redis, key: bytes) -> bytes:
    kind = await client.type(key)
    values: Any
    if kind == b"hash":
        values = (await client.hgetall(key)).values()
    elif kind == b"list":
        values = await client.lrange(key, 0, -1)
    elif kind == b"set":
        values = await client.smembers(key)
    else:
        values = [await client.get(key)]
    return b"\0".join(values)


def _raw(row: sa.Row[Any]) -> bytes:
    return b"\0".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
