"""Claims about the end of the ledger: what is over goes in time, what is not over never does."""

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from core.records import EffectRecord, OutboxItem, OutboxKind
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.old_effects import SqlOldEffects
from state.sql.outbox import SqlOutbox
from tests.contracts.databases import answer, database, database_url, message  # noqa: F401 - fixtures

Status = Literal["intent", "confirmed", "queued", "unknown", "failed"]
ITEM = OutboxItem("k", OutboxKind.NOTIFICATION, "default", "conv", {"channel": "email"})


def effect(status: Status, *, key: str = "k", turn_id: str = "turn_1") -> EffectRecord:
    return EffectRecord(
        tenant="default",
        key=key,
        turn_id=turn_id,
        step=1,
        tool="notify",
        arguments={"run": "r"},
        status=status,
    )


class Ledger:
    def __init__(self, database: Database) -> None:  # noqa: F811
        self.store = SqlConversationStore(database, owner="test", lease_seconds=30.0)
        self.outbox = SqlOutbox(database)
        self._old = SqlOldEffects(database)

    async def forget(self, *, kept_seconds: float = -1.0) -> int:
        """In as many rounds as retention needs; -1: all that is over, however new."""
        forgotten = 0
        while some := await self._old.forget(kept_seconds=kept_seconds):
            forgotten += some
        return forgotten

    async def knows(self, key: str) -> bool:
        return await self.store.effect("default", key) is not None


@pytest.fixture
def ledger(database: Database) -> Ledger:  # noqa: F811
    return Ledger(database)


@pytest.mark.parametrize("status", ["confirmed", "failed", "queued"])
async def test_what_is_over_is_forgotten_after_its_time_and_not_before(
    ledger: Ledger, status: Status
) -> None:
    await ledger.store.finish_effect(effect(status))

    assert await ledger.forget(kept_seconds=60) == 0
    assert await ledger.forget() == 1
    assert not await ledger.knows("k")


@pytest.mark.parametrize("status", ["intent", "unknown"])
async def test_what_was_begun_and_not_ended_or_is_in_doubt_is_never_forgotten(
    ledger: Ledger, status: Status
) -> None:
    await ledger.store.finish_effect(effect(status))

    assert await ledger.forget() == 0


async def dead(outbox: SqlOutbox, item: OutboxItem) -> None:
    await outbox.dead(item, error="refused")


async def done(outbox: SqlOutbox, item: OutboxItem) -> None:
    await outbox.done(item, reference="m-1")


async def still_due(outbox: SqlOutbox, item: OutboxItem) -> None:
    await outbox.retry(item, wait_seconds=600, error="down")


@pytest.mark.parametrize("left", [still_due, dead, done])
async def test_what_the_outbox_knows_stays_with_its_attempts(
    ledger: Ledger, left: Callable[[SqlOutbox, OutboxItem], object]
) -> None:
    await ledger.store.finish_effect(effect("queued"))
    await ledger.store.finish_effect(effect("confirmed", key="k:outbox", turn_id="k"))
    await ledger.outbox.put(ITEM)
    (item,) = await ledger.outbox.claim(owner="w", limit=1, lease_seconds=30)
    await left(ledger.outbox, item)  # type: ignore[misc]

    assert await ledger.forget() == 0


@pytest.mark.parametrize("attempt", ["confirmed", "failed", "unknown", "intent"])
async def test_the_attempts_of_an_item_go_with_it_whatever_became_of_each(
    ledger: Ledger, attempt: Status
) -> None:
    await ledger.store.finish_effect(effect("queued"))
    await ledger.store.finish_effect(effect(attempt, key="k:outbox:1", turn_id="k"))
    await ledger.outbox.put(ITEM)
    (item,) = await ledger.outbox.claim(owner="w", limit=1, lease_seconds=30)
    await ledger.outbox.done(item, reference="m-1")
    await ledger.outbox.forget(kept_seconds=-1)

    assert await ledger.forget() == 2


async def test_an_attempt_stays_while_its_effect_can_be_asked_for_again(ledger: Ledger) -> None:
    """A key that is found queued comes to the outbox again, which must find that it was carried out."""
    await ledger.store.finish_effect(effect("unknown"))
    await ledger.store.finish_effect(effect("confirmed", key="k:outbox", turn_id="k"))

    assert await ledger.forget() == 0


async def test_what_a_turn_without_an_answer_has_planned_stays_until_it_is_answered(ledger: Ledger) -> None:
    taken = await ledger.store.intake(message())
    assert taken.lease is not None
    await ledger.store.finish_effect(effect("confirmed", turn_id=taken.lease.turn_id))

    before = await ledger.forget()
    await ledger.store.commit(answer(taken.lease))

    assert before == 0
    assert await ledger.forget() == 1


async def test_a_later_word_on_an_effect_counts_from_then(ledger: Ledger, database: Database) -> None:  # noqa: F811
    await ledger.store.finish_effect(effect("queued"))
    await _a_day_passes(database)
    await ledger.store.finish_effect(effect("confirmed"))

    assert await ledger.forget(kept_seconds=60) == 0
    await _a_day_passes(database)
    assert await ledger.forget(kept_seconds=60) == 1


async def _a_day_passes(database: Database) -> None:  # noqa: F811
    await database.write(
        lambda connection: connection.exec_driver_sql("UPDATE effects SET at = at - 86400000000")
    )


async def test_other_tenants_do_not_hold_each_other_up(ledger: Ledger) -> None:
    await ledger.store.finish_effect(effect("confirmed"))
    await ledger.outbox.put(msgspec.structs.replace(ITEM, tenant="other"))

    assert await ledger.forget() == 1
