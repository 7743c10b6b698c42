"""What each vendor has of its own: how it refuses, recognises and limits; and that the settings alone reach it."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from core.clock import SystemClock
from core.errors import (
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorType,
    RateLimited,
)
from core.telemetry.logging import get_logger
from tests.contracts.desks import (
    MALFORMED,
    VENDORS,
    VendorWorld,
    github_world,
    intercom_world,
    jira_world,
    wish,
    zendesk_world,
)
from tests.tool_world import FakeDesk
from tests.vendors.github import Github
from tests.vendors.intercom import Intercom
from tests.vendors.jira import Jira
from tests.vendors.server import Answer
from tests.vendors.zendesk import Zendesk
from tools.adapters.desks.opening import OpenDesk, open_desk


@pytest.fixture(params=[*VENDORS])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[tuple[VendorWorld, OpenDesk]]:
    """By the settings alone, as the service does it."""
    records = FakeDesk(SystemClock())

    async def never_asked() -> None:
        raise AssertionError

    async with (
        VENDORS[request.param]() as world,
        open_desk(
            world.settings, records=records, records_probe=never_asked, mail=None, clock=SystemClock()
        ) as desk,
    ):
        yield world, desk
        assert world.server.refused == []


async def test_the_settings_alone_reach_the_desk(opened: tuple[VendorWorld, OpenDesk]) -> None:
    world, desk = opened

    await desk.probe()
    ticket = await desk.for_tools.open_ticket("default", wish())

    assert world.vendor.subjects == ["Lamp is broken"]
    assert ticket.reference in {"#1", "SUP-1"}


async def test_a_desk_that_says_too_much_is_asked_is_there(opened: tuple[VendorWorld, OpenDesk]) -> None:
    world, desk = opened
    world.server.fails_with.append(Answer(429, {"message": "slow down"}))
    await desk.probe()

    world.server.fails_with.extend([Answer(503, {"message": "maintenance"})] * 2)
    with pytest.raises(DependencyUnavailable):
        await desk.probe()


async def test_a_wrong_key_is_our_fault_and_stands_in_no_error(opened: tuple[VendorWorld, OpenDesk]) -> None:
    world, _ = opened
    wrong = world.settings.model_copy(update={"ticket_desk_key": SecretStr("a-wrong-key-0123456789")})

    async with open_desk(
        wrong,
        records=FakeDesk(SystemClock()),
        records_probe=_nothing,
        mail=None,
        clock=SystemClock(),
    ) as desk:
        with pytest.raises(Exception, match=r"answered 40[14]") as refused:
            await desk.probe()

    # GitHub hides a private repository from whoever may not see it.
    expected = {ErrorType.AUTHENTICATION_FAILED, ErrorType.TOOL_CONFIGURATION_ERROR}
    assert getattr(refused.value, "error_type", None) in expected
    assert "a-wrong-key" not in repr(refused.value)


@pytest.mark.parametrize(
    ("vendor", "method", "path", "what"), MALFORMED, ids=[f"{each[0]} {each[1]}" for each in MALFORMED]
)
async def test_a_malformed_request_is_refused_by_the_vendors_description(
    vendor: str, method: str, path: str, what: dict[str, Any]
) -> None:
    async with VENDORS[vendor]() as world:
        answer = await world.client.request(method, path, **what)

        assert answer.status_code == 400
        assert len(world.server.refused) == 1
        assert path in world.server.refused[0]
        assert world.vendor.subjects == []


async def test_zendesk_recognises_the_idempotency_key_where_it_lists_nothing() -> None:
    async with zendesk_world() as world:
        assert isinstance(world.server, Zendesk)
        world.server.knows_external_ids = False

        first = await world.open(wish())
        again = await world.open(wish())

        assert first.reference == again.reference
        assert len(world.server.tickets) == 1
        sent = [asked.headers["Idempotency-Key"] for asked in world.server.asked if asked.method == "POST"]
        assert len(set(sent)) == 1


async def test_zendesk_recognises_a_ticket_whose_idempotency_key_it_has_forgotten() -> None:
    async with zendesk_world() as world:
        assert isinstance(world.server, Zendesk)
        world.server.forgets_keys = True

        first = await world.open(wish())
        again = await world.open(wish())

        assert first.reference == again.reference
        assert len(world.server.tickets) == 1


async def test_zendesk_is_told_whom_to_answer_and_never_follows_its_next_page_elsewhere() -> None:
    async with zendesk_world() as world:
        for number in range(5):
            await world.open(wish(f"k{number}"))
        found = await world.desk.find_tickets("default", "cust_anna", limit=50)

        assert len(found) == 5
        made = next(asked for asked in world.server.asked if asked.method == "POST")
        assert made.json["ticket"]["requester"]["email"] == "anna@alvarez.example"
        assert {asked.headers["Host"] for asked in world.server.asked} == {f"127.0.0.1:{world.server.port}"}


async def test_a_ticket_without_its_customers_tag_is_never_shown() -> None:
    """Whatever a search makes of the words, another customer's ticket stays his."""
    async with zendesk_world() as world:
        assert isinstance(world.server, Zendesk)
        await world.open(wish("b", customer_id="cust_bob"))
        world.server.search_is_sloppy = True

        assert await world.desk.find_tickets("default", "cust_anna", limit=5) == ()


async def test_jira_keeps_the_customers_words_though_its_editor_changes_the_description() -> None:
    async with jira_world() as world:
        assert isinstance(world.server, Jira)
        await world.open(wish())
        world.server.issues[0]["fields"]["description"] = {"type": "doc", "version": 1, "content": []}
        world.server.issues[0]["fields"]["status"]["statusCategory"]["key"] = "done"

        (found,) = await world.desk.find_tickets("default", "cust_anna", limit=5)

        assert (found.description, found.status.value) == (wish().description, "solved")


async def test_jiras_document_holds_no_empty_text() -> None:
    """Atlassian's document format refuses one, and the description of the interface does not say so."""
    async with jira_world() as world:
        await world.open(wish(description="\n\n\na\n\n\nb\n"))
        made = next(asked for asked in world.server.asked if asked.method == "POST")

        texts = [
            part.get("text")
            for paragraph in made.json["fields"]["description"]["content"]
            for part in paragraph["content"]
            if part["type"] == "text"
        ]
        assert texts
        assert all(texts)


async def test_intercom_takes_a_customer_that_it_knows_already() -> None:
    async with intercom_world() as world:
        assert isinstance(world.server, Intercom)
        world.server.external_ids.add("cust_anna")

        await world.open(wish(contact=None))

        assert world.server.refused == []
        made = next(asked for asked in world.server.asked if asked.path == "/tickets")
        assert made.json["contacts"] == [{"external_id": "cust_anna"}]
        assert made.headers["Intercom-Version"] == "2.16"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "in 40 s"}, 40.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, 60.0),
    ],
)
async def test_githubs_spent_rate_limit_is_no_lack_of_rights(headers: dict[str, str], wait: float) -> None:
    if headers.get("X-RateLimit-Reset") == "in 40 s":
        headers = {**headers, "X-RateLimit-Reset": str(int(time.time()) + 40)}
    async with github_world() as world:
        world.server.fails_with.append(Answer(403, {"message": "secondary rate limit"}, headers))

        with pytest.raises(RateLimited) as limited:
            await world.open(wish())

        assert limited.value.retry_after == pytest.approx(wait, abs=2)


async def test_a_github_token_that_may_not_label_is_named_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("tests")
    async with github_world() as world:
        assert isinstance(world.server, Github)
        world.server.drops_labels = True

        ticket = await world.open(wish())

        assert ticket.reference == "#1"
        told = capsys.readouterr()
        assert "desk.labels_dropped" in told.out + told.err


async def test_a_pull_request_of_the_same_label_is_no_ticket() -> None:
    async with github_world() as world:
        assert isinstance(world.server, Github)
        await world.open(wish())
        await world.open(wish("k2"))
        world.server.issues[0]["pull_request"] = dict.fromkeys(("url", "html_url", "diff_url", "patch_url"))

        found = await world.desk.find_tickets("default", "cust_anna", limit=5)

        assert [ticket.reference for ticket in found] == ["#2"]


async def test_a_lookup_whose_answer_is_lost_has_opened_nothing() -> None:
    async with zendesk_world() as world:
        world.server.makes_something = lambda asked: True  # type: ignore[method-assign]
        world.server.loses_answers = 1

        with pytest.raises(DependencyTimeout) as lost:
            await world.open(wish())

        assert not lost.value.may_have_happened


async def test_what_the_desk_does_not_want_is_rejected_input() -> None:
    async with intercom_world() as world:
        desk = type(world.desk)(world.client, ticket_type="a type that it has not")  # type: ignore[call-arg]

        with pytest.raises(DependencyRejectedInput):
            await desk.open_ticket("default", wish())


async def _nothing() -> None: ...
