"""The e-mail that stands in for a desk which refuses, or is away for long: one letter per key, on a real mail server."""

# ruff: noqa: F811 - fixtures are parameters, too

import msgspec
import pytest

from core.errors import (
    CarelineError,
    DependencyForbidsUs,
    DependencyRejectedInput,
    DependencyUnavailable,
    ExternalApiFailed,
)
from core.records import NewTicket, OutboxItem, OutboxKind
from tests.service.test_outbox_dispatcher import place  # noqa: F401 - a fixture
from tests.service.ticket_office import ATTEMPTS, OUTAGES, RECEIPT, REFUSALS, TICKET, Office, desk, office  # noqa: F401 - fixtures
from tests.smtp_server import HANG_UP
from tests.tool_world import FakeDesk
from tools.adapters.desks.fallback import with_fallback
from tools.ports import TakesAdditions


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: type(each).__name__)
async def test_a_desk_that_refuses_for_good_is_replaced_by_one_letter(
    office: Office, desk: FakeDesk, refusal: CarelineError, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.failure = refusal
    await office.place.promise_ticket()

    office.outbox.is_lost = True

    for _ in range(2):
        await office.dispatcher(desk, has_fallback=True).work_once()

    ((_, subject, _),) = office.letters()
    assert subject.startswith(f"[{RECEIPT}]")
    assert await office.status() == ("done", f"e-mail {RECEIPT}")
    assert len(await office.place.notes()) == 1
    told = capsys.readouterr()
    assert "outbox.ticket_mailed" in told.out + told.err


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda each: type(each).__name__)
async def test_a_desk_that_is_away_for_long_is_replaced_by_one_letter(
    office: Office, desk: FakeDesk, outage: CarelineError
) -> None:
    desk.failure = outage
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, has_fallback=True)

    for _ in range(ATTEMPTS - 1):
        await dispatcher.work_once()
    before = len(office.letters())
    await dispatcher.work_once()

    assert (before, len(office.letters())) == (0, 1)
    assert await office.status() == ("done", f"e-mail {RECEIPT}")


async def test_a_desk_that_answers_with_errors_is_replaced_before_the_outbox_gives_up(
    office: Office, desk: FakeDesk
) -> None:
    desk.failure = ExternalApiFailed("tickets", answered_status=500)
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, has_fallback=True)

    for _ in range(3):
        await dispatcher.work_once()

    assert await office.status() == ("done", f"e-mail {RECEIPT}")


async def test_a_desk_that_comes_back_in_time_gets_the_ticket_and_no_letter_goes_out(
    office: Office, desk: FakeDesk
) -> None:
    desk.failure, desk.times = DependencyUnavailable("tickets"), ATTEMPTS - 1
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, has_fallback=True)

    for _ in range(ATTEMPTS):
        await dispatcher.work_once()

    assert office.letters() == []
    assert await office.status() == ("done", "T-1")


async def test_a_letter_in_place_of_a_ticket_that_may_be_on_its_way_ends_the_matter(
    office: Office, desk: FakeDesk
) -> None:
    """The desk is back, but the letter may have gone out: asking the desk now could do it twice."""
    desk.failure = DependencyForbidsUs("tickets")
    office.mail.answers["MESSAGE"] = HANG_UP
    office.outbox.is_lost = True
    await office.place.promise_ticket()
    await office.dispatcher(desk, has_fallback=True).work_once()
    desk.failure = None
    for _ in range(2):
        await office.dispatcher(desk, has_fallback=True).work_once()

    assert desk.tickets == []
    assert len(office.letters()) == 1
    assert await office.status() == ("dead", "fate_unknown")

    await office.operator_says_it_never_happened()
    await office.dispatcher(desk, has_fallback=True).work_once()

    assert await office.status() == ("done", "T-1")
    assert len(office.letters()) == 1


async def test_without_an_address_to_fall_back_on_a_refusal_is_given_up(
    office: Office, desk: FakeDesk
) -> None:
    desk.failure = DependencyRejectedInput("tickets", answer="Order number: needed")
    await office.place.promise_ticket()

    await office.dispatcher(desk).work_once()

    assert await office.status() == ("dead", "validation_error: Order number: needed")
    assert office.letters() == []


def test_a_desk_that_takes_additions_still_does_with_a_letter_to_fall_back_on(
    office: Office, desk: FakeDesk
) -> None:
    assert isinstance(with_fallback(desk), TakesAdditions)
    assert not isinstance(with_fallback(office.mailbox()), TakesAdditions)


async def test_words_that_a_desk_does_not_add_become_a_letter_that_names_the_ticket(
    office: Office, desk: FakeDesk
) -> None:
    wanted = NewTicket(
        "effect_t", RECEIPT, "cust_anna", office.place.conversation_id, "Lamp", "Still broken.", adds_to="T-1"
    )
    await office.outbox.put(
        OutboxItem(
            "effect_t",
            OutboxKind.TICKET,
            "default",
            office.place.conversation_id,
            msgspec.to_builtins(wanted),
        )
    )
    desk.failure = DependencyForbidsUs("tickets")

    await office.dispatcher(desk, has_fallback=True).work_once()

    ((_, subject, _),) = office.letters()
    assert subject == f"[{RECEIPT}] T-1: Lamp"
