"""Every record of conversations keeps the state protocol: nothing lost, nothing twice, nobody fenced out writes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Conflict, LeaseLost, NotFound
from core.messages import Citation, Durability, MessageRole, TurnStatus
from core.records import OutboxItem, OutboxKind
from state.journal import CommitEntry, EffectEntry, encode_entry
from state.models import ConversationState, CustomerState, OpenFlow
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.outbox import SqlOutbox
from state.store import EffectRecord, Intake, Lease
from tests.contracts.databases import NOON, answer, database, database_url, message  # noqa: F401


@pytest.fixture
def store(database: Database) -> SqlConversationStore:  # noqa: F811
    return SqlConversationStore(database, owner="replica-a", lease_seconds=30)


@pytest.fixture
def impatient(database: Database) -> SqlConversationStore:  # noqa: F811
    """Leases that have run out as soon as they are given."""
    return SqlConversationStore(database, owner="replica-b", lease_seconds=-1)


def leased(intake: Intake) -> Lease:
    assert intake.lease is not None
    return intake.lease


async def test_a_message_begins_a_conversation_and_takes_its_lease(store: SqlConversationStore) -> None:
    intake = await store.intake(message())

    lease = leased(intake)
    assert (intake.seq, intake.durability, intake.result) == (1, Durability.SQL, None)
    assert (lease.after_seq, lease.upto_seq, lease.state_version, lease.token) == (0, 1, 0, 1)
    assert lease.turn_id == intake.turn_id
    assert [fresh.text for fresh in lease.fresh] == ["Where is my order?"]


async def test_a_committed_turn_is_what_everybody_reads(store: SqlConversationStore) -> None:
    intake = await store.intake(message())
    state = ConversationState(
        flow=OpenFlow("ticket", {"subject": "late"}, "description", NOON), offer="ticket"
    )

    rest = await store.commit(answer(leased(intake), state=state, customer_state=CustomerState("de")))

    assert rest is None
    turn = await store.turn("default", intake.turn_id)
    assert turn is not None
    assert turn.result is not None
    assert turn.status is TurnStatus.ANSWERED
    assert turn.result.reply is not None
    assert turn.result.reply.text == "It is on its way."
    following = await store.intake(message("And now?", id="m2", conversation=intake.conversation_id))
    snapshot = await store.load(leased(following), history_messages=20)
    assert snapshot.state == state
    assert snapshot.state_version == 1
    assert snapshot.customer_state == CustomerState("de")
    assert [(m.seq, m.role) for m in snapshot.history] == [(1, MessageRole.CUSTOMER), (2, MessageRole.AGENT)]
    assert [m.text for m in snapshot.fresh] == ["And now?"]


async def test_text_is_kept_byte_for_byte(store: SqlConversationStore) -> None:
    text = "  naïve  \t\r\n\u202eمرحبا 👩‍👩‍👧 e\u0301 \u00a0"

    intake = await store.intake(message(text, metadata={"a": [1, None, "ü\x00"]}))

    (stored,) = await store.messages("default", intake.conversation_id, after=0, limit=10)
    assert stored.text == text
    assert stored.metadata == {"a": [1, None, "ü\x00"]}
    assert stored.at == NOON


async def test_the_same_message_again_gets_the_stored_answer(store: SqlConversationStore) -> None:
    first = await store.intake(message())
    await store.commit(answer(leased(first)))

    second = await store.intake(message())

    assert second.is_duplicate
    assert second.lease is None
    assert second.result is not None
    assert (second.turn_id, second.message_id, second.seq) == (first.turn_id, first.message_id, first.seq)
    assert len(await store.messages("default", first.conversation_id, after=0, limit=10)) == 2


async def test_the_same_message_while_its_turn_runs_waits_for_it(store: SqlConversationStore) -> None:
    first = await store.intake(message())

    second = await store.intake(message())

    assert second.is_duplicate
    assert second.lease is None
    assert second.result is None
    assert second.turn_id == first.turn_id


async def test_the_same_message_id_with_another_text_is_a_conflict(store: SqlConversationStore) -> None:
    await store.intake(message())

    with pytest.raises(Conflict):
        await store.intake(message("Something else"))


async def test_the_same_message_id_from_another_customer_is_a_conflict(store: SqlConversationStore) -> None:
    await store.intake(message(principal="server:shop"))

    with pytest.raises(Conflict):
        await store.intake(message(principal="server:shop", customer_id="bob"))


@pytest.mark.parametrize("changes", [{"customer_id": "bob"}, {"tenant": "other"}])
async def test_a_conversation_of_somebody_else_is_not_there(
    store: SqlConversationStore, changes: dict[str, str]
) -> None:
    intake = await store.intake(message())

    with pytest.raises(NotFound):
        await store.intake(message(id="m2", conversation=intake.conversation_id, **changes))

    assert len(await store.messages("default", intake.conversation_id, after=0, limit=10)) == 1


async def test_an_unknown_conversation_is_not_begun(store: SqlConversationStore) -> None:
    with pytest.raises(NotFound):
        await store.intake(message(conversation="conv_nobody"))

    assert await store.conversation("default", "conv_nobody") is None


async def test_messages_during_a_turn_share_the_next_one(store: SqlConversationStore) -> None:
    first = await store.intake(message())
    second = await store.intake(message("And also", id="m2", conversation=first.conversation_id))
    third = await store.intake(message("this.", id="m3", conversation=first.conversation_id))

    rest = await store.commit(answer(leased(first)))

    assert second.lease is None
    assert third.lease is None
    assert second.turn_id == third.turn_id != first.turn_id
    assert rest is not None
    assert (rest.turn_id, rest.after_seq, rest.upto_seq, rest.state_version) == (second.turn_id, 1, 3, 1)
    snapshot = await store.load(rest, history_messages=20)
    assert [m.text for m in snapshot.fresh] == ["And also", "this."]
    assert [m.text for m in snapshot.history] == ["Where is my order?", "It is on its way."]


async def test_ten_parallel_messages_are_all_kept_in_order_and_answered(store: SqlConversationStore) -> None:
    first = await store.intake(message())

    intakes = await asyncio.gather(
        *(
            store.intake(message(f"line {n}", id=f"p{n}", conversation=first.conversation_id))
            for n in range(10)
        )
    )
    lease: Lease | None = leased(first)
    while lease is not None:
        lease = await store.commit(answer(lease))

    log = await store.messages("default", first.conversation_id, after=0, limit=100)
    assert [m.seq for m in log] == list(range(1, len(log) + 1))
    by_seq = {m.seq: m.text for m in log}
    assert all(by_seq[intake.seq] == f"line {n}" for n, intake in enumerate(intakes))
    for intake in intakes:
        turn = await store.turn("default", intake.turn_id)
        assert turn is not None
        assert turn.result is not None
    record = await store.conversation("default", first.conversation_id)
    assert record is not None
    assert record.answered == record.last_user


async def test_parallel_first_messages_with_one_id_make_one_conversation(store: SqlConversationStore) -> None:
    intakes = await asyncio.gather(*(store.intake(message()) for _ in range(5)))

    assert len({intake.conversation_id for intake in intakes}) == 1
    assert sum(intake.lease is not None for intake in intakes) == 1
    assert len(await store.messages("default", intakes[0].conversation_id, after=0, limit=10)) == 1


async def test_an_expired_lease_is_taken_over_and_the_first_holder_is_fenced(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    first = await impatient.intake(message())

    (taken,) = await store.claim_unanswered(limit=10)

    assert taken.turn_id == first.turn_id
    assert taken.token == leased(first).token + 1
    assert [m.text for m in taken.fresh] == ["Where is my order?"]
    for fenced in (
        impatient.commit(answer(leased(first), "late")),
        impatient.load(replace(leased(first), basis=None), history_messages=5),
        impatient.renew(leased(first)),
    ):
        with pytest.raises(LeaseLost):
            await fenced
    await store.commit(answer(taken))
    log = await store.messages("default", first.conversation_id, after=0, limit=10)
    assert [m.text for m in log] == ["Where is my order?", "It is on its way."]


async def test_a_new_message_takes_over_an_interrupted_turn_which_keeps_its_id(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    first = await impatient.intake(message())

    second = await store.intake(message("Hello?", id="m2", conversation=first.conversation_id))

    lease = leased(second)
    assert lease.turn_id == first.turn_id
    assert second.turn_id != first.turn_id
    assert [m.text for m in lease.fresh] == ["Where is my order?"]
    rest = await store.commit(answer(lease))
    assert rest is not None
    assert rest.turn_id == second.turn_id


async def test_the_same_message_again_restarts_a_turn_whose_replica_died(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    first = await impatient.intake(message())

    again = await store.intake(message())

    assert again.is_duplicate
    assert leased(again).turn_id == first.turn_id


async def test_a_renewed_lease_is_not_taken_over(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    first = await impatient.intake(message())
    await store.renew(leased(first))

    assert await store.claim_unanswered(limit=10) == []


async def test_a_released_lease_is_taken_over_at_once_by_who_holds_none(store: SqlConversationStore) -> None:
    lease = leased(await store.intake(message()))

    await store.release(lease)

    (taken,) = await store.claim_unanswered(limit=5)
    assert taken.turn_id == lease.turn_id
    await store.release(lease)  # the new holder's is not touched
    assert await store.claim_unanswered(limit=5) == []


async def test_two_replicas_never_claim_the_same_conversation(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    for n in range(6):
        await impatient.intake(message(id=f"c{n}"))

    claims = await asyncio.gather(*(store.claim_unanswered(limit=6) for _ in range(3)))

    turns = [lease.turn_id for claim in claims for lease in claim]
    assert len(turns) == len(set(turns)) == 6


async def test_an_answered_conversation_is_not_claimed(
    store: SqlConversationStore, impatient: SqlConversationStore
) -> None:
    intake = await impatient.intake(message())
    await impatient.commit(answer(leased(intake)))

    assert await store.claim_unanswered(limit=10) == []


async def test_a_commit_whose_answer_got_lost_can_be_sent_again(store: SqlConversationStore) -> None:
    first = await store.intake(message())
    second = await store.intake(message("More", id="m2", conversation=first.conversation_id))
    commit = answer(leased(first))

    once = await store.commit(commit)
    again = await store.commit(commit)

    assert once is not None
    assert once == again
    assert once.turn_id == second.turn_id
    assert len(await store.messages("default", first.conversation_id, after=0, limit=10)) == 3


async def test_a_turn_commits_its_promises_with_its_reply(
    store: SqlConversationStore,
    database: Database,  # noqa: F811
) -> None:
    intake = await store.intake(message())
    item = OutboxItem("k1", OutboxKind.TICKET, "default", intake.conversation_id, {"subject": "late"})

    await store.commit(answer(leased(intake), outbox=(item,)))

    (claimed,) = await SqlOutbox(database).claim(owner="w", limit=5, lease_seconds=5)
    assert (claimed.key, claimed.payload) == ("k1", {"subject": "late"})


async def test_what_one_turn_promises_is_promised_in_its_order(
    store: SqlConversationStore,
    database: Database,  # noqa: F811
) -> None:
    intake = await store.intake(message())
    items = tuple(
        OutboxItem(key, OutboxKind.NOTIFICATION, "default", intake.conversation_id, {})
        for key in ("z", "b", "m")
    )

    await store.commit(answer(leased(intake), outbox=items))

    first, second, third = sorted(await SqlOutbox(database).entries(), key=lambda entry: entry.created_at)
    assert [each.item.key for each in (first, second, third)] == ["z", "b", "m"]
    assert first.created_at < second.created_at < third.created_at


async def test_a_fenced_turn_promises_nothing(
    store: SqlConversationStore,
    impatient: SqlConversationStore,
    database: Database,  # noqa: F811
) -> None:
    intake = await impatient.intake(message())
    await store.claim_unanswered(limit=1)
    item = OutboxItem("k1", OutboxKind.TICKET, "default", intake.conversation_id, {})

    with pytest.raises(LeaseLost):
        await impatient.commit(answer(leased(intake), outbox=(item,), customer_state=CustomerState("fr")))

    assert await SqlOutbox(database).claim(owner="w", limit=5, lease_seconds=5) == ()


async def test_a_promise_of_a_journaled_answer_is_kept_where_another_answer_stands(
    store: SqlConversationStore,
    database: Database,  # noqa: F811
) -> None:
    """Two replicas, one of them cut off from SQL, answered the same message; each told the customer of a receipt."""
    lease = leased(await store.intake(message()))
    await store.commit(answer(lease, "Here you are."))
    sent = EffectRecord(
        tenant="default",
        key="sent",
        turn_id=lease.turn_id,
        step=1,
        tool="notify",
        arguments={},
        status="confirmed",
    )
    await store.begin_effect(sent)
    promised = [
        OutboxItem(key, OutboxKind.NOTIFICATION, "default", lease.conversation_id, {})
        for key in ("promised", "sent")
    ]
    elsewhere = answer(lease, "I have kept that.", outbox=tuple(promised))
    unknown_here = replace(elsewhere, lease=replace(lease, turn_id="turn_elsewhere"))
    queued = replace(sent, status="queued")

    for _ in range(2):
        await store.absorb([encode_entry(EffectEntry(queued)), encode_entry(CommitEntry(elsewhere))])
        await store.absorb([encode_entry(CommitEntry(unknown_here))])

    claimed = await SqlOutbox(database).claim(owner="w", limit=5, lease_seconds=5)
    assert [item.key for item in claimed] == ["promised"]
    log = await store.messages("default", lease.conversation_id, after=0, limit=10)
    assert [m.text for m in log][1:] == ["Here you are."]


async def test_a_person_has_the_conversation_until_the_time_is_over(store: SqlConversationStore) -> None:
    intake = await store.intake(message("A person, please"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    await store.commit(answer(leased(intake), hand_over_until=soon))

    kept = await store.intake(message("Anybody?", id="m2", conversation=intake.conversation_id))

    assert kept.lease is None
    assert kept.result is not None
    assert kept.result.status is TurnStatus.HANDED_OVER
    assert kept.result.reply is not None
    assert kept.result.reply.text == "A person has your conversation."
    again = await store.intake(message("Anybody?", id="m2", conversation=intake.conversation_id))
    assert again.result == kept.result
    assert await store.claim_unanswered(limit=5) == []
    record = await store.conversation("default", intake.conversation_id)
    assert record is not None
    assert record.handed_over_until == soon


async def test_an_old_handover_is_over(store: SqlConversationStore) -> None:
    intake = await store.intake(message("A person, please"))
    await store.commit(answer(leased(intake), hand_over_until=datetime.now(UTC) - timedelta(seconds=1)))

    after = await store.intake(message("Anybody?", id="m2", conversation=intake.conversation_id))

    assert after.lease is not None


async def test_two_conversations_of_a_customer_keep_each_others_receipts(store: SqlConversationStore) -> None:
    one = await store.intake(message())
    other = await store.intake(message(id="other"))
    await store.commit(answer(leased(one), customer_state=CustomerState(receipts=("R-1",))))

    await store.commit(answer(leased(other), customer_state=CustomerState("en", receipts=("R-2",))))

    third = await store.intake(message(id="third"))
    snapshot = await store.load(leased(third), history_messages=2)
    assert snapshot.customer_state == CustomerState("en", receipts=("R-2", "R-1"))
    assert snapshot.customer_version == 2


async def test_conversations_of_a_customer_that_commit_at_once_keep_each_others_receipts(
    store: SqlConversationStore,
) -> None:
    leases = [leased(await store.intake(message(id=f"m{n}"))) for n in range(8)]

    await asyncio.gather(
        *(
            store.commit(answer(lease, customer_state=CustomerState(receipts=(f"R-{n}",))))
            for n, lease in enumerate(leases)
        )
    )

    last = leased(await store.intake(message(id="last")))
    snapshot = await store.load(last, history_messages=2)
    assert set(snapshot.customer_state.receipts) == {f"R-{n}" for n in range(8)}
    assert snapshot.customer_version == 8


async def test_a_plan_is_made_once(store: SqlConversationStore) -> None:
    plan = EffectRecord(
        tenant="default", key="k", turn_id="t", step=0, tool="open_ticket", arguments={"a": 1}
    )

    first = await store.begin_effect(plan)
    again = await store.begin_effect(
        EffectRecord(tenant="default", key="k", turn_id="t", step=0, tool="notify", arguments={"b": 2})
    )

    assert first == again == plan


async def test_what_became_of_an_effect_is_remembered(store: SqlConversationStore) -> None:
    plan = EffectRecord(tenant="default", key="k", turn_id="t", step=0, tool="open_ticket", arguments={})
    await store.begin_effect(plan)
    done = EffectRecord(
        tenant="default",
        key="k",
        turn_id="t",
        step=0,
        tool="open_ticket",
        arguments={},
        status="confirmed",
        reference="T-1",
        value={"x": [1]},
    )

    await store.finish_effect(done)

    assert await store.begin_effect(plan) == done


async def test_a_note_is_added_once_per_key(store: SqlConversationStore) -> None:
    intake = await store.intake(message())
    for _ in range(2):
        await store.append_note("default", intake.conversation_id, key="n1", text="Ticket T-1", at=NOON)

    await store.commit(answer(leased(intake)))

    log = await store.messages("default", intake.conversation_id, after=0, limit=10)
    assert [(m.role, m.seq) for m in log] == [
        (MessageRole.CUSTOMER, 1),
        (MessageRole.SYSTEM, 2),
        (MessageRole.AGENT, 3),
    ]


async def test_a_note_for_no_conversation_is_refused(store: SqlConversationStore) -> None:
    with pytest.raises(NotFound):
        await store.append_note("default", "conv_x", key="n1", text="x", at=NOON)


async def test_a_visitors_conversation_is_claimed_once(store: SqlConversationStore) -> None:
    intake = await store.intake(message(customer_id="anon_1", principal="visitor:anon_1"))

    await store.claim_conversation("default", intake.conversation_id, visitor="anon_1", customer="ada")

    record = await store.conversation("default", intake.conversation_id)
    assert record is not None
    assert record.customer_id == "ada"
    turn = await store.turn("default", intake.turn_id)
    assert turn is not None
    assert turn.customer_id == "ada"
    with pytest.raises(NotFound):
        await store.claim_conversation("default", intake.conversation_id, visitor="anon_1", customer="bob")


async def test_citations_survive_with_the_reply(store: SqlConversationStore) -> None:
    intake = await store.intake(message())
    commit = answer(leased(intake))
    cited = Citation(1, "a1", "Shipping", None, "It takes two days.")
    object.__setattr__(
        commit, "reply", __import__("msgspec").structs.replace(commit.reply, citations=(cited,))
    )

    await store.commit(commit)

    log = await store.messages("default", intake.conversation_id, after=1, limit=10)
    assert log[0].citations == (cited,)


async def test_messages_come_in_pages(store: SqlConversationStore) -> None:
    first = await store.intake(message())
    for n in range(4):
        await store.intake(message(f"line {n}", id=f"p{n}", conversation=first.conversation_id))

    page = await store.messages("default", first.conversation_id, after=2, limit=2)

    assert [m.seq for m in page] == [3, 4]


async def test_the_history_is_bounded_and_newest(store: SqlConversationStore) -> None:
    intake = await store.intake(message())
    for n in range(6):
        await store.commit(answer(leased(intake)))
        intake = await store.intake(message(f"line {n}", id=f"p{n}", conversation=intake.conversation_id))

    snapshot = await store.load(leased(intake), history_messages=4)

    assert [m.seq for m in snapshot.history] == [9, 10, 11, 12]
    assert [m.seq for m in snapshot.fresh] == [13]
