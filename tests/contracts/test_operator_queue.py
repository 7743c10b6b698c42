"""Claims about what an operator decides on effects of unknown fate: kept, told to the customer, never twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest

from agent.workers.outbox import OutboxDispatcher
from agent.workers.settling import OutboxDesk
from core.clock import SystemClock
from core.errors import Conflict, DependencyRejectedInput, DependencyTimeout, InvalidInput, NotFound
from core.ids import receipt_for
from core.messages import MessageRole
from core.records import EffectRecord, NewTicket, Notification, OutboxItem, OutboxKind
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.operator_queue import SqlOperatorQueue
from state.sql.outbox import OutboxEntry, SqlOutbox
from tests.contracts.databases import answer, database, database_url, message  # noqa: F401 - fixtures
from tests.tool_world import FakeChannel, FakeDesk

KEY = "effect_m"
MAIL = Notification(KEY, "email", "ada@example.org", "Your return", "Send it back.")


@dataclass(slots=True)
class Place:
    store: SqlConversationStore
    outbox: SqlOutbox
    operators: OutboxDesk
    channel: FakeChannel
    desk: FakeDesk
    conversation_id: str
    turn_id: str

    def dispatcher(self) -> OutboxDispatcher:
        clock = SystemClock()
        once = GuardPolicy(retry=RetryPolicy(attempts=1), attempt_seconds=5.0)
        return OutboxDispatcher(
            self.outbox,
            self.store,
            desk=self.desk,
            channels={"email": self.channel},
            guards={
                name: Guard(name, once, clock=clock, rng=random.Random(1))
                for name in ("tickets", "notifications")
            },
            clock=clock,
            rng=random.Random(1),
            owner="one",
        )

    def item(self, wanted: NewTicket | Notification = MAIL) -> OutboxItem:
        kind = OutboxKind.TICKET if isinstance(wanted, NewTicket) else OutboxKind.NOTIFICATION
        return OutboxItem(wanted.key, kind, "default", self.conversation_id, msgspec.to_builtins(wanted))

    async def a_turn_left(self, status: Literal["unknown", "intent"], *, tool: str = "notify") -> None:
        await self.store.begin_effect(
            EffectRecord(
                tenant="default",
                key=KEY,
                turn_id=self.turn_id,
                step=1,
                tool=tool,
                arguments={"run": "run_a", "intent": msgspec.to_builtins(MAIL)},
                status=status,
            )
        )

    async def sending_in_doubt(self) -> None:
        await self.outbox.put(self.item())
        self.channel.failure = DependencyTimeout("notifications", may_have_happened=True)
        await self.dispatcher().work_once()
        self.channel.failure = None

    async def notes(self) -> list[str]:
        said = await self.store.messages("default", self.conversation_id, after=0, limit=100)
        return [each.text for each in said if each.role is MessageRole.SYSTEM]

    async def only_entry(self) -> OutboxEntry:
        (entry,) = await self.outbox.entries()
        return entry


@pytest.fixture
async def place(database: Database) -> Place:  # noqa: F811
    store = SqlConversationStore(database, owner="test", lease_seconds=30.0)
    taken = await store.intake(message())
    assert taken.lease is not None
    await store.commit(answer(taken.lease))
    outbox = SqlOutbox(database)
    return Place(
        store,
        outbox,
        OutboxDesk(outbox, SqlOperatorQueue(database), store, clock=SystemClock()),
        FakeChannel(),
        FakeDesk(SystemClock()),
        taken.conversation_id,
        taken.lease.turn_id,
    )


async def in_doubt_after_a_sending(place: Place) -> None:
    await place.sending_in_doubt()


async def in_doubt_after_a_turn(place: Place) -> None:
    await place.a_turn_left("unknown")


IN_DOUBT = pytest.mark.parametrize("left", [in_doubt_after_a_sending, in_doubt_after_a_turn])


@IN_DOUBT
async def test_an_effect_of_unknown_fate_is_listed_with_what_to_check(place: Place, left: Any) -> None:
    await left(place)

    (promise,) = await place.operators.promises(limit=10)

    assert (promise.status, promise.kind, promise.receipt) == ("unknown", "notification", receipt_for(KEY))
    assert promise.check is not None
    assert "'ada@example.org'" in promise.check
    assert "'Your return'" in promise.check
    assert promise.created_at is not None


@IN_DOUBT
async def test_what_an_operator_found_done_is_done_and_told_once(place: Place, left: Any) -> None:
    await left(place)

    await place.operators.done(receipt_for(KEY), "mail-7")
    await place.operators.done(KEY, "mail-7")

    told = f"The message with receipt number {receipt_for(KEY)} has been sent to you."
    assert (await place.notes()).count(told) == 1
    entry = await place.only_entry()
    assert (entry.status, entry.reference) == ("done", "mail-7")
    assert await place.operators.promises(limit=10) == []
    assert await place.dispatcher().work_once() == 0


@IN_DOUBT
async def test_what_an_operator_lets_be_tried_again_is_sent_once_and_told(place: Place, left: Any) -> None:
    await left(place)

    await place.operators.retry(KEY)
    await place.dispatcher().work_once()
    await place.dispatcher().work_once()

    assert [sent.key for sent in place.channel.sent] == [KEY]
    assert (await place.only_entry()).status == "done"
    assert f"The message with receipt number {receipt_for(KEY)} has been sent to you." in await place.notes()


@IN_DOUBT
async def test_what_an_operator_drops_keeps_the_reason_and_is_told(place: Place, left: Any) -> None:
    await left(place)

    await place.operators.drop(KEY, "the customer rang")
    await place.operators.drop(KEY, "said once more")
    await place.dispatcher().work_once()

    (promise,) = await place.operators.promises(status="dropped", limit=10)
    assert promise.decision == "the customer rang"
    assert place.channel.sent == []
    assert "could not be sent" in (await place.notes())[-1]
    assert (await place.outbox.backlog()).dead == 0


async def test_who_has_dropped_it_and_tries_it_after_all_takes_the_reason_back(place: Place) -> None:
    await place.sending_in_doubt()

    await place.operators.drop(KEY, "the customer rang")
    await place.operators.retry(KEY)
    await place.dispatcher().work_once()

    assert await place.operators.promises(status="dropped", limit=10) == []
    (done,) = await place.operators.promises(status="done", limit=10)
    assert done.decision is None


async def test_a_retry_whose_fate_is_unknown_again_comes_back_to_the_operator(place: Place) -> None:
    await place.sending_in_doubt()

    await place.operators.retry(KEY)
    place.channel.failure = DependencyTimeout("notifications", may_have_happened=True)
    await place.dispatcher().work_once()

    (promise,) = await place.operators.promises(limit=10)
    assert promise.status == "unknown"


async def test_a_dead_ticket_is_opened_under_its_key_when_it_is_tried_again(place: Place) -> None:
    await place.outbox.put(
        place.item(NewTicket("t1", "R-1", "ada", place.conversation_id, "Lamp", "Broken."))
    )
    place.desk.failure = DependencyRejectedInput("tickets")
    await place.dispatcher().work_once()
    place.desk.failure = None

    await place.operators.retry("t1")
    await place.dispatcher().work_once()

    entry = await place.only_entry()
    # The 0th attempt is the one that an operator asked for.
    assert (entry.status, entry.item.attempts, list(place.desk.by_key)) == ("done", 0, ["t1"])


async def test_nothing_is_decided_while_a_worker_has_it(place: Place) -> None:
    await place.outbox.put(place.item())
    await place.outbox.claim(owner="w", limit=1, lease_seconds=30)

    with pytest.raises(Conflict, match="a worker has it until"):
        await place.operators.drop(KEY, "no")

    (promise,) = await place.operators.promises(limit=10)
    assert (promise.status, promise.is_leased) == ("due", True)


@pytest.mark.parametrize("verb", ["drop", "retry", "done"])
async def test_what_is_done_stays_done(place: Place, verb: str) -> None:
    await place.outbox.put(place.item())
    await place.dispatcher().work_once()

    decisions: dict[str, Callable[[], Awaitable[object]]] = {
        "drop": lambda: place.operators.drop(KEY, "no"),
        "retry": lambda: place.operators.retry(KEY),
        "done": lambda: place.operators.done(KEY, "another"),
    }
    with pytest.raises(Conflict, match="done already"):
        await decisions[verb]()

    assert (await place.only_entry()).status == "done"


async def test_an_effect_that_only_turns_carry_out_cannot_be_tried_again_and_can_be_settled(
    place: Place,
) -> None:
    await place.a_turn_left("unknown", tool="book_courier")

    with pytest.raises(InvalidInput, match="book_courier"):
        await place.operators.retry(KEY)
    await place.operators.done(KEY, "C-9")

    assert await place.notes() == [
        f"What you asked for under receipt number {receipt_for(KEY)} has been done."
    ]
    stored = await place.store.effect("default", KEY)
    assert stored is not None
    assert (stored.status, stored.reference) == ("confirmed", "C-9")
    assert await place.operators.promises(limit=10) == []


async def test_a_name_that_nothing_has_is_said(place: Place) -> None:
    with pytest.raises(NotFound, match="R-NOTHING"):
        await place.operators.done("R-NOTHING", "x")


async def test_a_name_that_two_tenants_have_needs_the_tenant(place: Place) -> None:
    await place.outbox.put(place.item())
    await place.outbox.put(msgspec.structs.replace(place.item(), tenant="other"))

    with pytest.raises(Conflict, match="default"):
        await place.operators.drop(KEY, "no")
    _, is_told = await place.operators.drop(KEY, "no", tenant="other")

    assert not is_told  # the other tenant has no such conversation
    assert {(each.item.tenant, each.status) for each in await place.outbox.entries()} == {
        ("default", "due"),
        ("other", "dropped"),
    }


async def test_two_operators_at_once_decide_once(place: Place) -> None:
    await place.sending_in_doubt()

    said: Sequence[object] = await asyncio.gather(
        place.operators.done(KEY, "mail-1"), place.operators.done(KEY, "mail-2"), return_exceptions=True
    )

    assert sum(isinstance(each, Conflict) for each in said) == 1
