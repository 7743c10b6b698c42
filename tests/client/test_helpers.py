"""Finding, making once, making together and waiting, for both clients on the fake."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from careline_client import (
    ConflictError,
    Creation,
    DeploymentFailedError,
    RetryPolicy,
    RolledBackError,
    ServerError,
    ValidationError,
)
from careline_client.fake import FakeCareline

from tests.client.speaking import Speaking, passing, speaking_to

NIL = "00000000-0000-0000-0000-000000000000"
TOGETHER = [
    Creation("agent-classes", {"name": "Support"}),
    Creation("system-prompts", {"name": "Kind", "content": "Be kind."}),
    Creation("agent-definitions", lambda made: {"name": "D", "agent_class_id": made[0]["id"]}),
    Creation("deployments", lambda made: {"name": "Live", "agent_definition_id": made[2]["id"]}),
]


@pytest.fixture
async def speaking(fake: FakeCareline, is_sync: bool) -> AsyncIterator[Speaking]:
    policy = RetryPolicy(clock=passing(fake), chance=lambda: 1.0, attempts=2)
    opened = speaking_to(fake, is_sync=is_sync, policy=policy)
    yield opened
    await opened.close()


def _left(fake: FakeCareline) -> list[str]:
    return [each["name"] for creation in TOGETHER for each in fake.kept(creation.kind)]


# -- find, get_or_create, iterate ------------------------------------------------------------------


async def test_find_is_none_where_there_is_none(speaking: Speaking) -> None:
    made = await speaking(lambda library: library.tools.create({"name": "t", "json_schema": {}}))

    assert await speaking(lambda library: library.tools.find(made["id"])) == made
    assert await speaking(lambda library: library.tools.find(NIL)) is None
    assert await speaking(lambda library: library.tools.find_named("t")) == made
    assert await speaking(lambda library: library.tools.find_named("T")) is None
    with pytest.raises(ValidationError):
        await speaking(lambda library: library.tools.find("not-an-id"))


async def test_what_is_there_is_got_as_it_is(speaking: Speaking, fake: FakeCareline) -> None:
    first = await speaking(lambda library: library.agent_classes.get_or_create({"name": "A"}))
    again = await speaking(
        lambda library: library.agent_classes.get_or_create({"name": "A", "description": "other"})
    )

    assert again == first
    assert len(fake.kept("agent-classes")) == 1


async def test_a_name_taken_between_two_requests_is_found(speaking: Speaking, fake: FakeCareline) -> None:
    def taken(request: httpx.Request) -> None:
        if request.method == "POST":
            fake.meanwhile = None
            fake.create("agent-classes", {"name": "A", "description": "theirs"})

    fake.meanwhile = taken
    got = await speaking(lambda library: library.agent_classes.get_or_create({"name": "A"}))

    assert got["description"] == "theirs"


async def test_a_conflict_with_nothing_to_be_found_is_raised(speaking: Speaking, fake: FakeCareline) -> None:
    fake.fails(409, method="POST")
    with pytest.raises(ConflictError):
        await speaking(lambda library: library.agent_classes.get_or_create({"name": "A"}))


async def test_ten_at_once_get_the_same(speaking: Speaking, fake: FakeCareline, is_sync: bool) -> None:
    def one() -> Any:
        return speaking.library.agent_classes.get_or_create({"name": "A"})

    if is_sync:
        got = await asyncio.gather(*(asyncio.to_thread(one) for _ in range(10)))
    else:
        got = await asyncio.gather(*(one() for _ in range(10)))

    assert len({each["id"] for each in got}) == 1
    assert len(fake.kept("agent-classes")) == 1


@pytest.mark.parametrize("page_size", [2, 3, 7, 1000])
async def test_a_walk_tells_each_that_stood_all_the_while_once(
    speaking: Speaking, fake: FakeCareline, page_size: int
) -> None:
    ids = [fake.create("agent-classes", {"name": f"class {n:02}"})["id"] for n in range(20)]
    gone: set[str] = set()
    steps = 0

    def meanwhile(request: httpx.Request) -> None:
        """One is made before every other page, and now and then some that were told already, or not yet, go."""
        nonlocal steps
        steps += 1
        if steps % 2:
            fake.create("agent-classes", {"name": f"new {steps}"})
        for each in {2: ids[-1:-4:-1], 4: ids[5:7], 6: ids[-6:-8:-1]}.get(steps, []):
            if each not in gone:
                gone.add(each)
                fake.delete("agent-classes", each)

    fake.meanwhile = meanwhile
    told = [
        each["id"]
        for each in await speaking.all(lambda library: library.agent_classes.iterate(page_size=page_size))
    ]

    assert len(told) == len(set(told))
    assert set(ids) - gone <= set(told)
    assert [each for each in told if each in ids] == [each for each in reversed(ids) if each in told]


async def test_a_page_of_one_cannot_overlap(speaking: Speaking) -> None:
    with pytest.raises(ValueError, match="two places"):
        await speaking.all(lambda library: library.agent_classes.iterate(page_size=1))


# -- create_with_rollback --------------------------------------------------------------------------


async def test_together_all_are_made(speaking: Speaking, fake: FakeCareline) -> None:
    made = await speaking(lambda library: library.create_with_rollback(TOGETHER))

    assert [each["name"] for each in made] == ["Support", "Kind", "D", "Live"]
    assert _left(fake) == ["Support", "Kind", "D", "Live"]


@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("failure", [409, 422, 500, 503, httpx.ReadError("cut")], ids=repr)
@pytest.mark.parametrize("is_after_the_write", [False, True])
async def test_where_one_fails_nothing_is_left(
    speaking: Speaking, fake: FakeCareline, nth: int, failure: Any, is_after_the_write: bool
) -> None:
    kind = TOGETHER[nth].kind
    is_told_no = failure in (409, 422)
    if is_told_no and is_after_the_write:
        is_after_the_write = False  # a refusal says that nothing was done
    fake.fails(
        failure,
        times=1 if failure in (409, 422, 500) else 2,
        method="POST",
        path=kind,
        is_after_the_write=is_after_the_write,
    )
    with pytest.raises(RolledBackError) as raised:
        await speaking(lambda library: library.create_with_rollback(TOGETHER))

    assert _left(fake) == []
    assert raised.value.left == ()
    assert kind in str(raised.value)
    names = [each["name"] for each in raised.value.undone]
    assert names[-nth:] == ["Support", "Kind", "D"][:nth][::-1] if nth else True


async def test_what_cannot_be_taken_back_is_told_with_its_reason(
    speaking: Speaking, fake: FakeCareline
) -> None:
    fake.fails(422, method="POST", path="deployments")
    fake.fails(500, method="DELETE", path="system-prompts")
    with pytest.raises(RolledBackError) as raised:
        await speaking(lambda library: library.create_with_rollback(TOGETHER))

    assert _left(fake) == ["Kind"]
    assert [each["name"] for each in raised.value.undone] == ["D", "Support"]
    ((resource, reason),) = raised.value.left
    assert resource["name"] == "Kind"
    assert isinstance(reason, ServerError)
    assert isinstance(raised.value.__cause__, ValidationError)
    assert "1 could not be taken back" in str(raised.value)


async def test_a_creation_that_cannot_be_settled_is_told_too(speaking: Speaking, fake: FakeCareline) -> None:
    fake.fails(httpx.ReadError("cut"), times=9, method="POST", path="system-prompts", is_after_the_write=True)
    with pytest.raises(RolledBackError) as raised:
        await speaking(lambda library: library.create_with_rollback(TOGETHER))

    ((fields, reason),) = raised.value.left
    assert fields == {"name": "Kind", "content": "Be kind."}
    assert reason.outcome_unknown
    assert _left(fake) == ["Kind"]


async def test_what_a_programs_own_code_raises_takes_back_too(speaking: Speaking, fake: FakeCareline) -> None:
    wrong = [TOGETHER[0], Creation("tools", lambda made: {"name": made[7]["id"]})]
    with pytest.raises(RolledBackError) as raised:
        await speaking(lambda library: library.create_with_rollback(wrong))

    assert isinstance(raised.value.__cause__, IndexError)
    assert _left(fake) == []


@pytest.mark.parametrize("is_after_the_write", [False, True])
async def test_an_interrupt_takes_back_and_stays_an_interrupt(
    speaking: Speaking, fake: FakeCareline, is_after_the_write: bool
) -> None:
    def interrupt(request: httpx.Request) -> None:
        if request.method == "POST" and "agent-definitions" in request.url.path:
            fake.meanwhile = None
            if is_after_the_write:
                fake.serve(request)
            raise KeyboardInterrupt

    fake.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt) as raised:
        await speaking(lambda library: library.create_with_rollback(TOGETHER))

    assert _left(fake) == []
    assert any("gone again" in note for note in raised.value.__notes__)


# -- wait_until_active -----------------------------------------------------------------------------


async def _deployed(speaking: Speaking) -> str:
    made = await speaking(lambda library: library.create_with_rollback(TOGETHER))
    return str(made[3]["id"])


async def test_waiting_ends_when_it_is_active(speaking: Speaking, fake: FakeCareline) -> None:
    fake.spawning_reads = 3
    id = await _deployed(speaking)
    got = await speaking(lambda library: library.deployments.wait_until_active(id))

    assert got["status"] == "active"
    assert fake.slept == [2.0, 2.0, 2.0]


async def test_waiting_outlives_a_failed_read(speaking: Speaking, fake: FakeCareline) -> None:
    id = await _deployed(speaking)
    fake.fails(503, method="GET")
    got = await speaking(lambda library: library.deployments.wait_until_active(id))

    assert got["status"] == "active"


@pytest.mark.parametrize(
    ("becomes", "failure", "said"),
    [
        ("failed", "the provider does not answer", "is failed: the provider"),
        ("completed", None, "is completed"),
    ],
)
async def test_waiting_tells_why_it_will_not_be(
    speaking: Speaking, fake: FakeCareline, becomes: str, failure: str | None, said: str
) -> None:
    fake.becomes, fake.failure = becomes, failure
    id = await _deployed(speaking)
    with pytest.raises(DeploymentFailedError, match=said) as raised:
        await speaking(lambda library: library.deployments.wait_until_active(id))

    assert raised.value.deployment["status"] == becomes


async def test_waiting_has_an_end(speaking: Speaking, fake: FakeCareline) -> None:
    fake.spawning_reads = 10_000
    id = await _deployed(speaking)
    with pytest.raises(DeploymentFailedError, match="still spawning after 7 s"):
        await speaking(lambda library: library.deployments.wait_until_active(id, timeout_seconds=7))

    assert sum(fake.slept) <= 7


async def test_what_is_active_at_the_last_moment_is_active(speaking: Speaking, fake: FakeCareline) -> None:
    fake.spawning_reads = 1
    id = await _deployed(speaking)

    active = await speaking(lambda library: library.deployments.wait_until_active(id, timeout_seconds=1))

    assert active["status"] == "active"
    assert sum(fake.slept) <= 1


def test_threads_may_share_one_client(fake: FakeCareline) -> None:
    speaking = speaking_to(fake, is_sync=True, policy=RetryPolicy())
    threads = [
        threading.Thread(target=speaking.library.tools.create, args=({"name": f"t{n}", "json_schema": {}},))
        for n in range(20)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len({each["name"] for each in fake.kept("tools")}) == 20
    speaking.library.close()
