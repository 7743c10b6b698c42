"""
One suite for every help desk: a key opens one ticket, whatever happens to answers, and every failure has its name.

The vendors are played by servers that check each request, and each answer of their own, against the vendor's description.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from core.errors import (
    CarelineError,
    DependencyError,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorType,
    ExternalApiFailed,
    RateLimited,
)
from core.records import Recognition, TicketStatus
from tests.contracts.desks import VENDORS, VendorWorld, opened_once, sql_desk, wish
from tests.vendors.server import Answer, Asked
from tools.ports import TicketDesk

HOSTILE = (
    "ends with space \n",
    "  begins with it, and\ttabs",
    "a foot of his own:\n\n-- \nReceipt: R-FAKE\nCareline: tk_aaa cust_bbb",
    "<script>alert(1)</script> & {{7*7}} %s ${x} \\u0000 \\n",
    "emoji \U0001f469\u200d\U0001f469\u200d\U0001f467, right to left \u202eabc, combining Z\u0307\u0335",
    "one\n\ntwo\n\n\n\nthree",
    '"quoted" AND labels = "x" ORDER BY created',
)
GARBAGE = (
    b"",
    b"<html>Bad gateway</html>",
    b"{}",
    b"null",
    b'{"tickets"',
    b"\xff\xfe",
    b"[" * 100_000,
    b"[1]",
    b'{"tickets": [{"id": "1"}]}',
)


@pytest.fixture(params=["sql", *VENDORS])
async def desk(request: pytest.FixtureRequest, sqlite_url: str) -> AsyncIterator[TicketDesk]:
    if request.param == "sql":
        async with sql_desk(sqlite_url) as own:
            yield own
        return
    async with VENDORS[request.param]() as world:
        yield world.desk
        _kept_to_the_description(world)


@pytest.fixture(params=[*VENDORS])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[VendorWorld]:
    async with VENDORS[request.param]() as opened:
        yield opened
        _kept_to_the_description(opened)


def _is_opening(asked: Asked) -> bool:
    made = {"/api/v2/tickets", "/tickets", "/rest/api/3/issue", "/repos/shop/support/issues"}
    return asked.method == "POST" and asked.path in made


def _kept_to_the_description(world: VendorWorld) -> None:
    assert world.server.refused == []
    assert world.server.mistakes == []


async def test_one_key_opens_one_ticket_however_often(desk: TicketDesk) -> None:
    first = await opened_once(desk, "default", wish())
    again = await opened_once(desk, "default", wish())

    assert again.reference == first.reference
    assert len(await desk.find_tickets("default", "cust_anna", limit=10)) == 1


async def test_a_ticket_is_what_was_wished_for(desk: TicketDesk) -> None:
    wanted = wish()

    opened = await opened_once(desk, "default", wanted)
    (found,) = await desk.find_tickets("default", "cust_anna", limit=10)

    for ticket in (opened, found):
        assert ticket.reference
        assert (ticket.receipt, ticket.customer_id) == (wanted.receipt, "cust_anna")
        assert (ticket.subject, ticket.description) == (wanted.subject, wanted.description)
        assert ticket.status is TicketStatus.OPEN
        assert ticket.created_at.tzinfo is not None
    assert opened.reference == found.reference


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_the_customer_said_comes_back_word_for_word(desk: TicketDesk, text: str) -> None:
    await opened_once(desk, "default", wish(description=text, subject=text.replace("\n", " ")))

    again = await opened_once(desk, "default", wish(description=text))
    (found,) = await desk.find_tickets("default", "cust_anna", limit=10)

    assert (again.description, again.receipt) == (text, wish().receipt)
    assert (found.description, found.receipt) == (text, wish().receipt)


async def test_the_same_key_of_another_tenant_is_another_ticket(desk: TicketDesk) -> None:
    ours = await opened_once(desk, "default", wish())
    theirs = await opened_once(desk, "other", wish())

    assert ours.reference != theirs.reference
    (found,) = await desk.find_tickets("other", "cust_anna", limit=10)
    assert found.reference == theirs.reference


async def test_tickets_are_found_newest_first_over_pages_and_only_ones_own(desk: TicketDesk) -> None:
    opened = [await opened_once(desk, "default", wish(f"k{n}", subject=f"Lamp {n}")) for n in range(5)]
    await opened_once(desk, "default", wish("b", customer_id="cust_bob"))

    everything = await desk.find_tickets("default", "cust_anna", limit=50)
    newest = await desk.find_tickets("default", "cust_anna", limit=3)

    assert [ticket.reference for ticket in everything] == [ticket.reference for ticket in opened[::-1]]
    assert [ticket.subject for ticket in newest] == ["Lamp 4", "Lamp 3", "Lamp 2"]
    assert await desk.find_tickets("default", "nobody", limit=5) == ()


@pytest.mark.parametrize("who", [{"contact": None}, {"contact": None, "customer_id": None}])
async def test_a_ticket_needs_no_address_and_no_customer(desk: TicketDesk, who: dict[str, Any]) -> None:
    first = await opened_once(desk, "default", wish(**who))
    second = await opened_once(desk, "default", wish("k2", **who))
    again = await opened_once(desk, "default", wish("k2", **who))

    assert first.reference != second.reference == again.reference


async def test_a_ticket_whose_answer_was_lost_is_not_opened_a_second_time(world: VendorWorld) -> None:
    world.server.loses_answers = 1

    with pytest.raises(DependencyTimeout) as lost:
        await world.open(wish())
    again = await world.open(wish())

    assert lost.value.may_have_happened
    assert world.vendor.subjects == ["Lamp is broken"]
    assert again.receipt == wish().receipt


async def test_a_repeat_that_is_recognised_late_says_so(world: VendorWorld) -> None:
    """Whose search trails behind must not be asked again at once: the outbox waits for that long."""
    name = type(world.desk).__name__

    assert (world.desk.recognition is Recognition.KEY) is (name == "ZendeskTicketDesk")
    assert world.desk.recognition is not Recognition.NONE
    assert (world.desk.settles_after_seconds > 0) is (name in ("JiraTicketDesk", "IntercomTicketDesk"))


async def test_a_ticket_is_found_by_its_key_and_its_tenant_alone(desk: TicketDesk) -> None:
    opened = [await desk.open_ticket("default", wish(key)) for key in ("k1", "k2", "k3")]

    found = [await desk.ticket_of("default", key) for key in ("k1", "k2", "k3")]

    assert [ticket and ticket.reference for ticket in found] == [ticket.reference for ticket in opened]
    assert [ticket and ticket.receipt for ticket in found] == [ticket.receipt for ticket in opened]
    assert await desk.ticket_of("other", "k1") is None
    assert await desk.ticket_of("default", "k") is None


async def test_a_desk_that_is_looked_at_is_not_looked_at_by_opening_too(world: VendorWorld) -> None:
    await world.desk.open_ticket("default", wish())

    looks = 1 if world.desk.recognition is Recognition.KEY else 0
    assert len(world.server.asked) == looks + 1


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, ErrorType.VALIDATION_ERROR),
        (401, ErrorType.AUTHENTICATION_FAILED),
        (403, ErrorType.PERMISSION_DENIED),
        (404, ErrorType.TOOL_CONFIGURATION_ERROR),
        (409, ErrorType.EXTERNAL_API_ERROR),
        (410, ErrorType.TOOL_CONFIGURATION_ERROR),
        (413, ErrorType.VALIDATION_ERROR),
        (422, ErrorType.VALIDATION_ERROR),
        (429, ErrorType.RATE_LIMIT_EXCEEDED),
        (500, ErrorType.EXTERNAL_API_ERROR),
        (502, ErrorType.EXTERNAL_API_ERROR),
        (503, ErrorType.SERVICE_UNAVAILABLE),
        (504, ErrorType.TIMEOUT_ERROR),
        (301, ErrorType.EXTERNAL_API_ERROR),
    ],
)
async def test_every_refusal_of_a_ticket_has_its_name(
    world: VendorWorld, status: int, error_type: ErrorType
) -> None:
    world.server.fails_when = _is_opening
    world.server.fails_with.append(Answer(status, {"message": "no", "secret": "not for the log"}))

    with pytest.raises(CarelineError) as refused:
        await world.open(wish())

    assert refused.value.error_type is error_type
    assert "secret" not in str(refused.value)
    assert world.vendor.subjects == []
    if isinstance(refused.value, DependencyError):
        assert refused.value.dependency == "tickets"
        assert refused.value.may_have_happened is (status in (500, 502, 504))


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (401, ErrorType.AUTHENTICATION_FAILED),
        (403, ErrorType.PERMISSION_DENIED),
        (422, ErrorType.VALIDATION_ERROR),
        (429, ErrorType.RATE_LIMIT_EXCEEDED),
        (500, ErrorType.EXTERNAL_API_ERROR),
        (503, ErrorType.SERVICE_UNAVAILABLE),
    ],
)
async def test_a_desk_that_cannot_be_searched_opens_nothing_and_finds_no_empty_list(
    world: VendorWorld, status: int, error_type: ErrorType
) -> None:
    """Else an outage of the search would be read as "no such ticket", and a second one opened."""
    for ask in (lambda: world.open(wish()), lambda: world.desk.find_tickets("default", "cust_anna", limit=5)):
        world.server.fails_with.append(Answer(status, {"message": "no"}))
        with pytest.raises(CarelineError) as refused:
            await ask()
        assert refused.value.error_type is error_type
        assert not getattr(refused.value, "may_have_happened", False)
    assert world.vendor.subjects == []


async def test_a_project_that_is_not_there_is_a_matter_for_operators(world: VendorWorld) -> None:
    world.server.fails_with.extend([Answer(404, {"message": "Not Found"})] * 2)  # Jira has two searches

    with pytest.raises(CarelineError) as refused:
        await world.open(wish())

    assert refused.value.error_type is ErrorType.TOOL_CONFIGURATION_ERROR


@pytest.mark.parametrize("is_date", [False, True])
async def test_the_wait_that_a_429_asks_for_is_handed_on(world: VendorWorld, is_date: bool) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    wait = format_datetime(now + timedelta(seconds=7), usegmt=True) if is_date else "7"
    told = {"Retry-After": wait, "Date": format_datetime(now, usegmt=True)}
    world.server.fails_with.append(Answer(429, {"message": "slow down"}, told))

    with pytest.raises(RateLimited) as limited:
        await world.open(wish())

    assert limited.value.retry_after == 7.0
    assert limited.value.dependency == "tickets"


@pytest.mark.parametrize("when", ["looking up", "opening"])
async def test_an_answer_that_cannot_be_read_is_a_failure_of_the_desk(world: VendorWorld, when: str) -> None:
    is_opening = when == "opening"
    world.server.fails_when = lambda asked: _is_opening(asked) is is_opening

    for raw in GARBAGE:
        world.server.fails_with.append(Answer(201 if is_opening else 200, raw=raw))
        with pytest.raises(ExternalApiFailed) as garbage:
            await world.open(wish())
        assert garbage.value.reason == "unreadable"
        assert garbage.value.may_have_happened is is_opening
    assert world.vendor.subjects == []


async def test_a_desk_that_is_not_there_was_not_asked(world: VendorWorld) -> None:
    await world.server.__aexit__(None, None, None)

    with pytest.raises(DependencyUnavailable) as gone:
        await world.open(wish())

    assert gone.value.reason == "refused"
    assert not gone.value.may_have_happened


async def test_a_desk_that_is_back_is_asked_for_the_same_ticket(world: VendorWorld) -> None:
    first = await world.open(wish())
    await world.server.__aexit__(None, None, None)
    with pytest.raises(DependencyUnavailable):
        await world.open(wish())
    await world.server.__aenter__()

    again = await world.open(wish())

    assert again.reference == first.reference
    assert len(world.vendor.subjects) == 1
