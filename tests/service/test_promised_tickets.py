"""Promised tickets at desks that recognise a repeat late or never, and at a mailbox: once per key, on a real outbox."""

# ruff: noqa: F811 - fixtures are parameters, too

import asyncio

import pytest

from core.errors import (
    CarelineError,
    DependencyTimeout,
)
from core.records import EffectRecord, NewTicket, Recognition, Ticket
from tests.fakes import FakeClock
from tests.service.test_outbox_dispatcher import place  # noqa: F401 - a fixture
from tests.service.ticket_office import ATTEMPT_SECONDS, ATTEMPTS, RECEIPT, REFUSALS, Office, desk, office  # noqa: F401 - fixtures
from tests.smtp_server import HANG_UP
from tests.tool_world import FakeDesk


async def test_a_desk_that_shows_tickets_late_is_not_asked_at_once(office: Office, desk: FakeDesk) -> None:
    """The turn's own try may have made one, and another replica claims the promise the moment after."""
    desk.recognition, desk.settles_after_seconds = Recognition.LOOKUP, 30.0
    clock = FakeClock()
    await office.turn_left_in_doubt()
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, clock=clock)

    await dispatcher.work_once()
    asked_at_first = desk.calls
    clock.advance(34.9)
    await dispatcher.work_once()
    asked_too_early = desk.calls
    clock.advance(0.1)
    await dispatcher.work_once()

    assert (asked_at_first, asked_too_early) == (0, 0)
    assert office.outbox.waits[0] == ATTEMPT_SECONDS + 30.0
    assert (await office.status())[0] == "done"
    assert len(desk.tickets) == 1


async def test_a_call_of_unknown_fate_is_repeated_when_the_desk_would_show_it(
    office: Office, desk: FakeDesk
) -> None:
    desk.recognition, desk.settles_after_seconds = Recognition.LOOKUP, 30.0
    desk.failure, desk.times = DependencyTimeout("tickets", may_have_happened=True), 1
    clock = FakeClock()
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, clock=clock)

    await dispatcher.work_once()
    clock.advance(30.0)
    await dispatcher.work_once()
    asked = desk.calls
    clock.advance(ATTEMPT_SECONDS)
    await dispatcher.work_once()

    assert office.outbox.waits == [30.0, ATTEMPT_SECONDS]
    assert asked == 1
    assert len(desk.tickets) == 1


class SilentDesk(FakeDesk):
    """Shows what it has, and takes nothing without a word."""

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        raise DependencyTimeout("tickets", may_have_happened=True)


async def test_a_desk_that_answers_questions_and_takes_nothing_is_replaced_by_one_letter(
    office: Office,
) -> None:
    """Waiting until there is more to see is no outage; a ticket that is still not there after so many tries is one."""
    clock = FakeClock()
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(
        SilentDesk(clock, recognition=Recognition.LOOKUP), has_fallback=True, clock=clock
    )

    before = []
    for _ in range(ATTEMPTS):
        await dispatcher.work_once()
        clock.advance(15.0)
        before.append(len(office.letters()))
    for _ in range(3):
        await dispatcher.work_once()
        clock.advance(15.0)

    assert before == [0] * ATTEMPTS
    assert len(office.letters()) == 1
    assert await office.status() == ("done", f"e-mail {RECEIPT}")


async def test_a_ticket_that_waits_to_be_looked_at_is_not_mailed_meanwhile(
    office: Office, desk: FakeDesk
) -> None:
    desk.recognition, desk.settles_after_seconds = Recognition.LOOKUP, 30.0
    clock = FakeClock()
    await office.turn_left_in_doubt()
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(desk, has_fallback=True, clock=clock)

    for _ in range(2 * ATTEMPTS):
        await dispatcher.work_once()

    assert office.letters() == []
    assert (await office.status())[0] == "due"


async def test_a_promised_ticket_of_a_mailbox_is_one_letter_with_all_that_the_team_needs(
    office: Office,
) -> None:
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(office.mailbox())

    await dispatcher.work_once()
    await dispatcher.work_once()

    ((message_id, subject, body),) = office.letters()
    assert subject == f"[{RECEIPT}] Lamp"
    assert body.startswith("It is broken.\n")
    assert office.place.conversation_id in body
    assert message_id.endswith("@shop.example>")
    assert await office.status() == ("done", RECEIPT)
    assert await office.place.notes() == [f"Your request {RECEIPT} has been handed to our team by e-mail."]


async def test_a_letter_that_was_refused_for_now_goes_out_later(office: Office) -> None:
    await office.place.promise_ticket()
    dispatcher = office.dispatcher(office.mailbox())
    office.mail.answers["MAIL"] = "451 come back later"

    await dispatcher.work_once()
    del office.mail.answers["MAIL"]
    await dispatcher.work_once()

    assert len(office.letters()) == 1
    assert (await office.status())[0] == "done"


@pytest.mark.parametrize("answer", [None, HANG_UP])
async def test_a_letter_of_unknown_fate_is_sent_again_on_an_operators_word_alone(
    office: Office, answer: str | None
) -> None:
    await office.place.promise_ticket()
    office.mail.answers["MESSAGE"] = answer
    office.outbox.is_lost = True  # so that the item has a second life that no operator gave it

    await office.dispatcher(office.mailbox()).work_once()
    office.mail.answers.clear()
    for _ in range(2):
        await office.dispatcher(office.mailbox()).work_once()

    assert len(office.letters()) == 1  # the one that nobody answered
    assert await office.status() == ("dead", "fate_unknown")
    (note,) = await office.place.notes()
    assert RECEIPT in note

    await office.operator_says_it_never_happened()
    await office.dispatcher(office.mailbox()).work_once()

    assert len(office.letters()) == 2
    assert await office.status() == ("done", RECEIPT)


async def test_a_letter_that_a_turn_began_and_never_ended_is_not_sent_by_the_outbox(office: Office) -> None:
    await office.place.promise_ticket()
    plan = EffectRecord(
        tenant="default", key="effect_t", turn_id="turn", step=1, tool="open_ticket", arguments={}
    )
    await office.place.store.begin_effect(plan)

    await office.dispatcher(office.mailbox()).work_once()

    assert office.letters() == []
    assert await office.status() == ("dead", "fate_unknown")


@pytest.mark.parametrize("refusal", [REFUSALS[0], REFUSALS[2]], ids=lambda each: type(each).__name__)
async def test_what_an_operator_mends_is_given_up_after_no_number_of_tries(
    office: Office, desk: FakeDesk, refusal: CarelineError
) -> None:
    """A key that ran out on Friday is mended on Monday."""
    desk.failure = refusal
    await office.place.promise_ticket()

    for _ in range(5):  # of three at most, for what is refused for what it is
        await office.dispatcher(desk).work_once()
    waiting = await office.status()
    desk.failure = None
    await office.dispatcher(desk).work_once()

    assert waiting[0] == "due"
    assert await office.status() == ("done", "T-1")


async def test_a_row_that_waits_for_a_person_is_worked_on_when_they_say_so(
    office: Office, desk: FakeDesk
) -> None:
    await office.place.promise_ticket(error="validation_error: Order number: needed")

    await office.dispatcher(desk).work_once()
    waiting = await office.status()
    await office.operator_says_it_never_happened()
    await office.dispatcher(desk).work_once()

    assert waiting == ("dead", "validation_error: Order number: needed")
    assert await office.status() == ("done", "T-1")


async def test_two_tenants_same_key_are_two_letters(office: Office) -> None:
    wanted = NewTicket("k1", RECEIPT, "cust_anna", "conv_1", "Lamp", "It is broken.")
    desk = office.mailbox()

    await asyncio.gather(desk.open_ticket("default", wanted), desk.open_ticket("other", wanted))
    await desk.open_ticket("default", wanted)

    assert len({message_id for message_id, _, _ in office.letters()}) == 2
