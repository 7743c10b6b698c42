"""What a customer hears in the conversation of desks that refuse, mailboxes, and letters: a receipt whatever became of it."""

# ruff: noqa: F811 - fixtures are parameters, too

import msgspec
import pytest

from core.errors import (
    CarelineError,
    Conflict,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    InvalidInput,
    NotFound,
    ToolMisconfigured,
)
from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import Recognition
from tests.service.test_outbox_dispatcher import place  # noqa: F401 - a fixture
from tests.service.ticket_office import REFUSALS, TICKET, Office, desk, office, world_with  # noqa: F401 - fixtures
from tests.tool_world import FakeDesk, ToolWorld
from tools.adapters.desks.fallback import with_fallback
from tools.open_ticket import OpenTicket


async def test_in_a_conversation_a_mailbox_opens_a_ticket_under_its_receipt(office: Office) -> None:
    world = world_with(office.mailbox())

    outcome = await world.call("open_ticket", TICKET)

    ((_, subject, _),) = office.letters()
    assert outcome.action.status is ActionStatus.SUCCEEDED
    assert outcome.action.receipt is not None
    assert outcome.action.receipt in subject


async def test_in_a_conversation_a_letter_of_unknown_fate_is_said_to_be_and_left_to_operators(
    office: Office,
) -> None:
    office.mail.answers["MESSAGE"] = None
    world = world_with(office.mailbox())

    outcome = await world.call("open_ticket", TICKET)
    again = await world.call("open_ticket", TICKET)

    assert outcome.action.status is ActionStatus.UNKNOWN
    assert again.action.status is ActionStatus.UNKNOWN
    assert len(office.mail.messages) == 1
    (promised,) = outcome.outbox
    # The turn's ledger, and the promise in its commit: the outbox finds that nobody knows.
    (stored,) = world.ledger.effects.values()
    wanted = msgspec.structs.replace(promised, conversation_id=office.place.conversation_id)
    await office.place.store.begin_effect(stored)
    await office.place.store.finish_effect(stored)
    await office.outbox.put(wanted)
    await office.dispatcher(office.mailbox()).work_once()
    assert await office.status() == ("dead", "fate_unknown")
    assert await office.place.notes() == []  # the reply has told it already
    assert len(office.mail.messages) == 1


async def test_a_mailbox_lists_no_tickets_and_says_so(office: Office) -> None:
    world = world_with(office.mailbox())

    outcome = await world.call("find_tickets", {})

    assert outcome.action.status is ActionStatus.FAILED
    assert outcome.action.error_type == "tool_configuration_error"
    assert not office.mail.connections


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: type(each).__name__)
async def test_in_a_conversation_a_refusal_is_a_promise_where_there_is_a_letter_to_send(
    desk: FakeDesk, refusal: CarelineError
) -> None:
    desk.failure = refusal

    kept = await world_with(with_fallback(desk)).call("open_ticket", TICKET)

    assert kept.action.status is ActionStatus.QUEUED
    assert [item.error for item in kept.outbox] == [None]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (DependencyRefusedUs("tickets"), None),
        (DependencyForbidsUs("tickets"), None),
        (ToolMisconfigured("no such project"), None),
        (DependencyRejectedInput("tickets", answer="Order number: needed"), "Order number: needed"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_without_a_letter_to_send_a_refused_wish_has_its_receipt_and_is_kept_for_a_person(
    desk: FakeDesk, refusal: CarelineError, error: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an operator mends is due; what the desk does not want waits for a person, with the desk's words."""
    desk.failure = refusal
    world = world_with(desk)

    outcome = await world.call("open_ticket", TICKET)
    again = await world.call("open_ticket", TICKET)

    (item,) = outcome.outbox
    assert (outcome.action.status, outcome.action.reason) == (ActionStatus.QUEUED, "kept_for_a_person")
    assert outcome.action.receipt == receipt_for(item.key)
    assert "looks at" in outcome.summary
    assert str(outcome.action.receipt) in outcome.summary
    assert item.error == (None if error is None else f"validation_error: {error}")
    assert outcome.degraded == (() if error is not None else (("tickets", "tickets"),))
    assert (again.action.receipt, again.summary) == (outcome.action.receipt, outcome.summary)
    assert ("outbox.given_up" in capsys.readouterr().out) is (error is not None)


@pytest.mark.parametrize(
    "refusal", [NotFound(), Conflict(), InvalidInput()], ids=lambda each: type(each).__name__
)
async def test_what_is_the_customers_to_mend_is_not_kept(desk: FakeDesk, refusal: CarelineError) -> None:
    desk.failure = refusal

    outcome = await world_with(desk).call("open_ticket", TICKET)

    assert outcome.action.status is ActionStatus.FAILED
    assert outcome.outbox == ()


def test_whether_a_ticket_may_be_repeated_is_the_desks_word(desk: FakeDesk) -> None:
    world = ToolWorld()
    tool = OpenTicket(desk, world.directory, directory_guard=world.guards["customers"], clock=world.clock)

    assert tool.is_repeatable
    for recognition in (Recognition.LOOKUP, Recognition.NONE):
        desk.recognition = recognition
        assert not tool.is_repeatable
