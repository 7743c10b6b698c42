"""Claims about the language that the company has on record: used where nothing else names one, and asked for seldom."""

import random
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from agent.turn.on_record import LanguageOnRecord
from agent.turn.steps import turn_input
from core.clock import SystemClock
from core.errors import DependencyUnavailable
from core.messages import Message, MessageRole
from core.records import Customer
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from state.models import ConversationState, CustomerState
from state.store import ConversationRecord, Lease, Snapshot
from tests.contracts.databases import NOON
from tests.fakes import FakeClock
from tests.tool_world import FakeDirectory

SPOKE_SPANISH = CustomerState(locale="es", last_conversation_id="conv_0")


def snapshot(
    text: str = "A-1234",
    *,
    locale: str | None = None,
    known: CustomerState = SPOKE_SPANISH,
    customer: str = "ada",
) -> Snapshot:
    return Snapshot(
        conversation=ConversationRecord(
            tenant="default",
            conversation_id="conv_1",
            customer_id=customer,
            channel="api",
            locale=locale,
            created_at=NOON,
            updated_at=NOON,
            head=1,
            answered=0,
            last_user=1,
        ),
        state=ConversationState(),
        state_version=0,
        history=(),
        fresh=(Message("msg_1", 1, MessageRole.CUSTOMER, text, NOON, "turn_1"),),
        customer_state=known,
        customer_version=1,
        source="sql",
    )


def on_record(directory: FakeDirectory, clock: FakeClock | None = None) -> LanguageOnRecord:
    once = GuardPolicy(retry=RetryPolicy(attempts=1), attempt_seconds=5.0)
    guard = Guard("customers", once, clock=SystemClock(), rng=random.Random(1))
    return LanguageOnRecord(directory, guard, clock=clock or FakeClock())


async def spoken(directory: FakeDirectory, given: Snapshot) -> str:
    learned = replace(given, customer_state=await on_record(directory).learned(given))
    lease = Lease(
        tenant="default",
        conversation_id="conv_1",
        turn_id="turn_1",
        token=1,
        owner="a",
        after_seq=0,
        upto_seq=1,
        state_version=0,
    )
    deadline = Deadline(SystemClock(), 5)
    return turn_input(learned, lease, now=NOON, deadline=deadline, default_locale="en").locale


def german() -> FakeDirectory:
    return FakeDirectory(Customer("ada", "Ada", locale="de"))


async def test_the_record_comes_before_what_was_spoken_in_another_conversation() -> None:
    assert await spoken(german(), snapshot()) == "de"


@pytest.mark.parametrize("locale", [None, "", "German, mostly", "🇩🇪"])
async def test_a_record_without_a_language_changes_nothing(locale: str | None) -> None:
    assert await spoken(FakeDirectory(Customer("ada", "Ada", locale=locale)), snapshot()) == "es"


@pytest.mark.parametrize(
    "given",
    [
        snapshot(locale="fr"),
        snapshot("Where is my order that I paid for last week?"),
        snapshot(customer="anon_1"),
        replace(snapshot(), source="journal"),
    ],
)
async def test_nobody_is_asked_where_that_is_pointless(given: Snapshot) -> None:
    directory = german()

    await spoken(directory, given)

    assert directory.asked_for == []


async def test_the_directory_is_asked_once_a_day() -> None:
    clock, directory = FakeClock(), german()
    language = on_record(directory, clock)
    known = await language.learned(snapshot())

    assert await language.learned(snapshot(known=known)) == known
    assert len(directory.asked_for) == 1
    clock.advance(timedelta(days=1, seconds=1).total_seconds())
    await language.learned(snapshot(known=known))
    assert len(directory.asked_for) == 2


async def test_a_directory_that_is_away_takes_nothing_that_was_known() -> None:
    directory = german()
    directory.failure = DependencyUnavailable("customers")
    known = msgspec.structs.replace(SPOKE_SPANISH, locale_on_record="de")

    learned = await on_record(directory).learned(snapshot(known=known))

    assert learned.locale_on_record == "de"
    assert learned.record_read_at is not None
