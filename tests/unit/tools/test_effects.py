"""
Claims about tools that change something: done once, promised when they cannot be done, never done in doubt.
"""

import dataclasses
import re

import msgspec
import pytest

from core.errors import (
    CarelineError,
    ConcurrentAccess,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.identity import Caller, CallerKind
from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import EffectRecord, NewTicket, Notification, OutboxKind
from tests.tool_world import ANNA, ToolWorld, status_of

LAMP = {"subject": "Broken lamp", "description": "The garden lamp does not turn on."}
HELLO = {"subject": "Your return", "body": "Send it to Main Street 1."}


async def test_an_opened_ticket_has_a_receipt_made_from_the_key_and_the_desks_number() -> None:
    world = ToolWorld()
    call = world.tool_call()

    outcome = await world.call("open_ticket", LAMP, call)

    assert outcome.action.status is ActionStatus.SUCCEEDED
    assert outcome.action.receipt == receipt_for(call.key)
    assert outcome.action.reference == "T-1"
    assert "T-1" in outcome.summary
    assert receipt_for(call.key) in outcome.summary
    assert world.ledger.effects[("default", call.key)].status == "confirmed"


async def test_the_plan_stands_in_the_ledger_before_the_desk_is_asked() -> None:
    world = ToolWorld()
    world.ledger.failure = DependencyUnavailable("sql")

    outcome = await world.call("open_ticket", LAMP)

    assert status_of(outcome) == (ActionStatus.FAILED, "service_unavailable", None)
    assert world.desk.calls == 0


async def test_a_rerun_of_the_turn_says_the_same_and_asks_the_desk_nothing() -> None:
    world = ToolWorld()
    first = await world.call("open_ticket", LAMP)
    calls = world.desk.calls

    again = await world.call("open_ticket", {"subject": "Other words", "description": "from another thought"})

    assert again == first
    assert world.desk.calls == calls


async def test_a_rerun_after_a_crash_opens_the_ticket_that_was_planned_and_no_second_one() -> None:
    world = ToolWorld()
    world.ledger.fails_to_finish = DependencyUnavailable("sql")
    await world.call("open_ticket", LAMP)
    world.ledger.fails_to_finish = None

    again = await world.call("open_ticket", {"subject": "Other words", "description": "from another thought"})

    assert again.action.reference == "T-1"
    assert [ticket.subject for _, ticket in world.desk.tickets] == ["Broken lamp"]


@pytest.mark.parametrize(
    "failure",
    [
        DependencyUnavailable("tickets"),
        DependencyTimeout("tickets", may_have_happened=True),
        NetworkFailed("tickets", may_have_happened=True),
        ExternalApiFailed("tickets", answered_status=500),
        RateLimited(dependency="tickets"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
)
async def test_a_desk_that_cannot_be_asked_leaves_a_promise_with_a_receipt(failure: Exception) -> None:
    world = ToolWorld()
    world.desk.failure = failure
    call = world.tool_call()

    outcome = await world.call("open_ticket", LAMP, call)

    assert outcome.action.status is ActionStatus.QUEUED
    assert outcome.action.receipt == receipt_for(call.key)
    assert outcome.action.reference is None
    assert receipt_for(call.key) in outcome.summary
    (item,) = outcome.outbox
    assert (item.kind, item.key) == (OutboxKind.TICKET, call.key)
    assert msgspec.convert(item.payload, type=NewTicket).subject == "Broken lamp"
    assert outcome.degraded == (("tickets", "tickets"),)


async def test_a_promise_is_given_again_by_a_rerun_even_when_the_desk_is_back() -> None:
    world = ToolWorld()
    world.desk.failure = DependencyUnavailable("tickets")
    first = await world.call("open_ticket", LAMP)
    world.desk.failure = None

    again = await world.call("open_ticket", LAMP)

    assert again.outbox == first.outbox
    assert again.action == first.action
    assert world.desk.tickets == []


async def test_what_waiting_does_not_mend_is_said_at_once_and_not_promised() -> None:
    world = ToolWorld()
    world.desk.failure = RateLimited("quota of this customer")

    outcome = await world.call("open_ticket", LAMP)

    assert outcome.action.status is ActionStatus.FAILED
    assert "No further tickets" in outcome.summary
    assert outcome.outbox == ()


async def test_a_failed_effect_is_tried_again_by_a_rerun() -> None:
    world = ToolWorld()
    world.desk.failure = RateLimited("quota of this customer")
    await world.call("open_ticket", LAMP)
    world.desk.failure = None

    again = await world.call("open_ticket", LAMP)

    assert again.action.status is ActionStatus.SUCCEEDED


async def test_the_same_problem_is_asked_about_and_not_opened_twice() -> None:
    world = ToolWorld()
    await world.call("open_ticket", LAMP)

    outcome = await world.call(
        "open_ticket",
        {"subject": " broken  LAMP! ", "description": "the garden lamp does not turn on"},
        world.tool_call(turn="turn_2"),
    )

    assert status_of(outcome) == (ActionStatus.FAILED, "invalid_input", "similar")
    assert outcome.action.reference == "T-1"
    assert "T-1" in outcome.summary
    assert len(world.desk.tickets) == 1


async def test_the_same_problem_after_a_month_is_a_new_ticket() -> None:
    world = ToolWorld()
    await world.call("open_ticket", LAMP)
    world.clock.advance(30 * 86_400 + 1)

    outcome = await world.call("open_ticket", LAMP, world.tool_call(turn="turn_2"))

    assert outcome.action.reference == "T-2"


async def test_another_customers_same_problem_is_no_duplicate() -> None:
    ben = msgspec.structs.replace(ANNA, customer_id="cust_ben", email="ben@ben.example")
    world = ToolWorld(ANNA, ben)
    await world.call("open_ticket", LAMP)

    outcome = await world.call("open_ticket", LAMP, world.tool_call(world.caller("cust_ben"), turn="turn_2"))

    assert outcome.action.status is ActionStatus.SUCCEEDED


async def test_concurrent_access_in_an_effect_is_repeated_under_its_own_plan() -> None:
    world = ToolWorld()
    world.desk.failure, world.desk.times = ConcurrentAccess("moved"), 1

    async def reload_state() -> None:
        pass

    outcome = await world.call("open_ticket", LAMP, reload_state=reload_state)

    assert outcome.action.reference == "T-1"


async def test_a_visitor_is_asked_for_an_address_and_keeps_the_one_they_give() -> None:
    world = ToolWorld()
    call = world.tool_call(world.visitor())

    without = await world.call("open_ticket", LAMP, call)
    wrong = await world.call("open_ticket", {**LAMP, "contact": "me@x.example\r\nBcc: all@x.example"}, call)
    right = await world.call("open_ticket", {**LAMP, "contact": " me@x.example "}, call)

    assert status_of(without) == (ActionStatus.FAILED, "validation_error", "contact_missing")
    assert status_of(wrong) == (ActionStatus.FAILED, "validation_error", "invalid_address")
    assert right.action.status is ActionStatus.SUCCEEDED
    assert world.desk.contacts == ["me@x.example"]


async def test_a_model_cannot_divert_the_answer_to_a_known_customers_ticket() -> None:
    world = ToolWorld()
    caller = dataclasses.replace(world.caller(), email="anna@alvarez.example")

    await world.call("open_ticket", {**LAMP, "contact": "evil@evil.example"}, world.tool_call(caller))

    assert world.desk.contacts == ["anna@alvarez.example"]
    assert world.directory.calls == 0


@pytest.mark.parametrize("token_says", [None, "none yet", "a@x.example\r\nBcc: all@x.example"])
async def test_a_known_customer_is_answered_at_the_directorys_address(token_says: str | None) -> None:
    world = ToolWorld()
    caller = dataclasses.replace(world.caller(), email=token_says)

    await world.call("open_ticket", {**LAMP, "contact": "evil@evil.example"}, world.tool_call(caller))

    assert world.desk.contacts == [ANNA.email]


@pytest.mark.parametrize(
    "failure",
    [
        DependencyUnavailable("customers"),
        DependencyTimeout("customers"),
        DependencyRefusedUs("customers"),
        RateLimited(dependency="customers"),
        NotFound("no such customer"),
        ToolMisconfigured("no such column"),
    ],
)
async def test_a_customer_whose_address_nobody_can_tell_is_asked_for_it(failure: CarelineError) -> None:
    world = ToolWorld()
    world.directory.failure = failure

    without = await world.call("open_ticket", LAMP)
    right = await world.call("open_ticket", {**LAMP, "contact": "anna@home.example"})

    assert status_of(without) == (ActionStatus.FAILED, "validation_error", "contact_missing")
    assert "address" in without.summary
    assert right.action.status is ActionStatus.SUCCEEDED
    assert world.desk.contacts == ["anna@home.example"]


@pytest.mark.parametrize("email", [None, "unknown", "anna@alvarez.example\nBcc: all@x.example"])
async def test_a_customer_without_a_usable_address_on_file_is_asked_for_one(email: str | None) -> None:
    world = ToolWorld(msgspec.structs.replace(ANNA, email=email))

    without = await world.call("open_ticket", LAMP)

    assert status_of(without) == (ActionStatus.FAILED, "validation_error", "contact_missing")


async def test_a_directory_that_answers_with_somebody_else_gives_no_address() -> None:
    world = ToolWorld()
    world.directory.customers[ANNA.customer_id] = msgspec.structs.replace(ANNA, customer_id="cust_ben")

    without = await world.call("open_ticket", LAMP)

    assert status_of(without) == (ActionStatus.FAILED, "validation_error", "contact_missing")


async def test_a_ticket_that_was_begun_is_not_begun_anew_when_the_address_cannot_be_told_any_more() -> None:
    """The first run died while the desk was asked; the second cannot even plan."""
    world = ToolWorld()
    call = world.tool_call()
    world.ledger.fails_to_finish = DependencyUnavailable("sql")
    await world.call("open_ticket", LAMP, call)
    world.ledger.fails_to_finish = None
    world.directory.failure = DependencyUnavailable("customers")

    again = await world.call("open_ticket", LAMP, call)

    assert (again.action.status, again.action.reference) == (ActionStatus.SUCCEEDED, "T-1")
    assert world.ledger.effects[("default", call.key)].status == "confirmed"


async def test_a_visitor_sees_the_tickets_of_their_own_id_only() -> None:
    world = ToolWorld()
    await world.call("open_ticket", LAMP)
    visitor = world.tool_call(world.visitor(), turn="turn_2")
    await world.call("open_ticket", {**LAMP, "contact": "me@x.example"}, visitor)

    outcome = await world.call("find_tickets", {}, world.tool_call(world.visitor(), turn="turn_3"))

    assert [ticket["reference"] for ticket in outcome.value["tickets"]] == ["T-2"]


@pytest.mark.parametrize("tool", ["customer_info", "notify"])
async def test_a_visitor_is_refused_what_belongs_to_an_account(tool: str) -> None:
    world = ToolWorld()

    outcome = await world.call(tool, HELLO if tool == "notify" else {}, world.tool_call(world.visitor()))

    assert status_of(outcome) == (ActionStatus.REFUSED, "permission_denied", "permission")
    assert world.directory.calls == 0
    assert world.channel.sent == []


@pytest.mark.parametrize("tool", ["find_tickets", "customer_info", "notify"])
async def test_a_server_that_acts_for_nobody_reaches_nobodys_data(tool: str) -> None:
    world = ToolWorld()
    server = Caller(kind=CallerKind.SERVER, name="shop")

    outcome = await world.call(tool, HELLO if tool == "notify" else {}, world.tool_call(server))

    assert status_of(outcome) == (ActionStatus.REFUSED, "permission_denied", "permission")


async def test_an_order_of_somebody_else_is_not_found() -> None:
    world = ToolWorld()

    own = await world.call("customer_info", {"order_id": "ORD-1001"})
    other = await world.call("customer_info", {"order_id": "ORD-2002"})

    assert own.value["orders"][0]["tracking"] == "TRK-ANNA"
    assert status_of(other) == (ActionStatus.FAILED, "invalid_input", "order_not_found")
    assert "ORD-2002" not in str(other.value) + other.summary


async def test_an_unknown_customer_is_told_so() -> None:
    world = ToolWorld()

    outcome = await world.call("customer_info", {}, world.tool_call(world.caller("cust_new")))

    assert status_of(outcome) == (ActionStatus.FAILED, "invalid_input", "not_found")
    assert "no account on file" in outcome.summary


async def test_a_notification_goes_to_the_address_on_file() -> None:
    world = ToolWorld()

    outcome = await world.call("notify", HELLO)

    assert outcome.action.status is ActionStatus.SUCCEEDED
    (sent,) = world.channel.sent
    assert (sent.address, sent.subject, sent.body) == (ANNA.email, "Your return", "Send it to Main Street 1.")


async def test_the_channels_own_id_is_kept_but_is_no_reference_for_the_customer() -> None:
    world = ToolWorld()

    outcome = await world.call("notify", HELLO)

    assert outcome.action.reference is None
    assert outcome.value["message_id"]
    (kept,) = world.ledger.effects.values()
    assert kept.value["value"]["message_id"] == outcome.value["message_id"]


async def test_an_address_that_does_not_work_is_a_failure_that_names_it_so() -> None:
    world = ToolWorld()
    world.channel.failure = DependencyRejectedInput("notifications", reason="invalid_address")

    outcome = await world.call("notify", HELLO)

    assert status_of(outcome) == (ActionStatus.FAILED, "validation_error", "invalid_address")
    assert "contact details" in outcome.summary
    assert outcome.degraded == ()


@pytest.mark.parametrize("email", [None, "not an address", "a@b.example\nBcc: c@d.example"])
async def test_an_address_on_file_that_cannot_be_one_is_not_tried(email: str | None) -> None:
    world = ToolWorld(msgspec.structs.replace(ANNA, email=email))

    outcome = await world.call("notify", HELLO)

    assert status_of(outcome) == (ActionStatus.FAILED, "validation_error", "invalid_address")
    assert world.channel.calls == 0


async def test_an_unknown_channel_is_named_with_those_there_are() -> None:
    world = ToolWorld()

    outcome = await world.call("notify", {**HELLO, "channel": "pigeon"})

    assert status_of(outcome) == (ActionStatus.FAILED, "validation_error", "unknown_channel")
    assert outcome.value["fields"] == [{"field": "channel", "problem": "must be one of: email"}]


async def test_a_message_that_was_not_taken_is_kept_for_later() -> None:
    world = ToolWorld()
    world.channel.failure = DependencyUnavailable("notifications")
    call = world.tool_call()

    outcome = await world.call("notify", HELLO, call)

    assert outcome.action.status is ActionStatus.QUEUED
    (item,) = outcome.outbox
    assert (item.kind, item.key) == (OutboxKind.NOTIFICATION, call.key)
    assert msgspec.convert(item.payload, type=Notification).address == ANNA.email


@pytest.mark.parametrize(
    "failure", [DependencyTimeout("notifications", may_have_happened=True), BrokenPipeError(), RuntimeError()]
)
async def test_a_message_of_unknown_fate_is_neither_repeated_nor_kept(failure: Exception) -> None:
    world = ToolWorld()
    world.channel.failure = failure

    outcome = await world.call("notify", HELLO)
    world.channel.failure = None
    again = await world.call("notify", HELLO)

    assert outcome.action.status is ActionStatus.UNKNOWN
    assert outcome.outbox == ()
    assert again.action == outcome.action
    assert world.channel.calls == 1


async def test_a_message_whose_turn_crashed_while_sending_is_not_sent_again() -> None:
    world = ToolWorld()
    world.ledger.fails_to_finish = DependencyUnavailable("sql")
    await world.call("notify", HELLO)
    world.ledger.fails_to_finish = None

    again = await world.call("notify", HELLO)

    assert again.action.status is ActionStatus.UNKNOWN
    assert len(world.channel.sent) == 1


async def test_a_rerun_that_cannot_plan_says_what_was_done_before() -> None:
    world = ToolWorld()
    first = await world.call("notify", HELLO)
    world.directory.failure = DependencyUnavailable("customers")

    again = await world.call("notify", HELLO)

    assert again == first
    assert len(world.channel.sent) == 1


async def test_a_rerun_with_wrong_arguments_says_what_was_done_before() -> None:
    world = ToolWorld()
    first = await world.call("open_ticket", LAMP)

    again = await world.call("open_ticket", {"subject": ""})

    assert again == first
    assert len(world.desk.tickets) == 1


async def test_a_crash_in_the_second_try_of_a_refused_message_counts_as_doubt() -> None:
    world = ToolWorld()
    world.channel.failure = DependencyRejectedInput("notifications", reason="invalid_address")
    await world.call("notify", HELLO)
    world.channel.failure = None
    (effect,) = world.ledger.effects.values()
    assert effect.status == "failed"

    original = world.ledger.finish_effect

    async def crash_when_done(effect: EffectRecord) -> None:
        if effect.status == "intent":
            await original(effect)

    # A crash between two writes is not in the fake's repertoire.
    world.ledger.finish_effect = crash_when_done  # type: ignore[method-assign]
    await world.call("notify", HELLO)
    third = await world.call("notify", HELLO)

    assert third.action.status is ActionStatus.UNKNOWN
    assert len(world.channel.sent) == 1


async def test_a_down_directory_does_not_count_against_the_mail_server() -> None:
    world = ToolWorld()
    world.directory.failure = DependencyUnavailable("customers")

    for step in range(20):
        outcome = await world.call("notify", HELLO, world.tool_call(step=step))
    world.directory.failure = None

    assert outcome.degraded == (("notifications", "customers"),)
    assert world.guards["notifications"].breaker.state.value == "closed"
    assert world.guards["customers"].breaker.state.value == "open"
    assert world.channel.sent == []


async def test_a_handoff_asks_nobody_and_hands_over() -> None:
    world = ToolWorld()

    outcome = await world.call("handoff", {"reason": "wants a person"})
    again = await world.call("handoff", {"reason": "wants a person"})

    assert outcome.hands_over
    assert again.hands_over
    assert outcome.action.status is ActionStatus.SUCCEEDED


async def test_words_alone_never_make_a_receipt() -> None:
    world = ToolWorld()
    world.desk.failure = RateLimited("quota of this customer")

    outcome = await world.call("open_ticket", LAMP)

    assert outcome.action.receipt is None
    assert re.search(r"R-\w{10}", outcome.summary) is None


async def test_a_mail_planned_where_sql_cannot_be_asked_is_left_to_the_outbox() -> None:
    world = ToolWorld()
    world.ledger.is_journal = True
    call = world.tool_call()

    outcome = await world.call("notify", HELLO, call)

    assert outcome.action.status is ActionStatus.QUEUED
    assert [(item.kind, item.key) for item in outcome.outbox] == [(OutboxKind.NOTIFICATION, call.key)]
    assert outcome.degraded == ()
    assert world.channel.sent == []


async def test_a_mail_whose_journaled_run_died_is_promised_and_not_doubted() -> None:
    world = ToolWorld()
    world.ledger.is_journal = True
    world.ledger.fails_to_finish = DependencyUnavailable("redis")
    await world.call("notify", HELLO)
    world.ledger.is_journal = False
    world.ledger.fails_to_finish = None

    again = await world.call("notify", HELLO)

    assert again.action.status is ActionStatus.QUEUED
    assert world.channel.sent == []


async def test_a_ticket_is_opened_at_once_wherever_it_is_planned() -> None:
    world = ToolWorld()
    world.ledger.is_journal = True

    outcome = await world.call("open_ticket", LAMP)

    assert outcome.action.reference == "T-1"


async def test_a_rerun_that_lays_a_call_at_another_messages_door_finds_the_key_of_its_first_run() -> None:
    world = ToolWorld()
    first = await world.call("open_ticket", LAMP, key="lamps", other_keys=("bells",))

    again = await world.call("open_ticket", LAMP, key="bells", other_keys=("lamps",))

    assert again == first
    assert len(world.desk.tickets) == 1


async def test_a_key_that_the_turn_has_used_for_another_step_is_not_used_again() -> None:
    world = ToolWorld()
    await world.call("open_ticket", LAMP, key="lamps", other_keys=("bells",))

    bell = {"subject": "Broken bell", "description": "The bell does not ring."}
    await world.call("open_ticket", bell, key="lamps", other_keys=("lamps-2", "bells"), step=2)

    assert [ticket.subject for _, ticket in world.desk.tickets] == ["Broken lamp", "Broken bell"]
    assert list(world.ledger.effects) == [("default", "lamps"), ("default", "lamps-2")]
