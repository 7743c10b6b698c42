"""Claims about the service while its memory is away: Redis, SQL, or both."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess, run_careline
from tests.servers import PostgresServer, RedisServer
from tests.service.degraded.stage import ARTICLES, REFUND, load_customers, own_postgres, own_redis
from tests.service.degraded.talk import Customer, Service, eventually, missing
from tests.timing import assert_within

LONGEST_TURN_SECONDS = 1.5
LONGEST_REFUSAL_SECONDS = 1.0

SUBJECT = "The strap of my helmet is broken"
DESCRIPTION = "It came off on the first ride, and I would like a new one."
ADDRESS = "You can write to ada@shop.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A service with PostgreSQL as its record and a Redis that forgets nothing."""

    careline: CarelineProcess
    sql: PostgresServer
    redis: RedisServer


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("service")
    with own_postgres() as sql, own_redis() as redis:
        settings = {"database_url": sql.url(), "redis_url": redis.url}
        run_careline("ingest", *ARTICLES, folder=folder, settings=settings)
        load_customers(sql.url())
        with CarelineProcess(folder, settings) as careline:
            yield Shop(careline=careline, sql=sql, redis=redis)


@pytest.fixture
async def service(shop: Shop, talk_to: Callable[[CarelineProcess], Service]) -> Service:
    """Nothing is missing when a test begins."""
    service = talk_to(shop.careline)
    for server in (shop.sql, shop.redis):
        server.resume()
        server.start()
    await service.is_whole_again()
    return service


@pytest.mark.alone
async def test_without_sql_articles_are_cited_from_the_local_copy_of_a_named_day(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_01")
    shop.sql.kill()

    answer = await customer.say(REFUND)
    seconds = customer.seconds
    seen = await service.shows_down("sql")

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert missing(answer) == [("conversation", "sql"), ("knowledge_search", "sql")]
    told = answer["degraded"][1]["message"]
    assert told.startswith(tuple(_saved_copy_of(day) for day in _today_or_yesterday()))
    assert_within(seconds, LONGEST_TURN_SECONDS)
    assert (seen.code, seen.status) == (200, "degraded")

    shop.sql.start()
    await service.is_whole_again()
    answer = await customer.say(REFUND)

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert missing(answer) == []


@pytest.mark.alone
async def test_without_redis_a_conversation_goes_on_whole_and_nobody_notices(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_01")
    await customer.say(REFUND)
    await customer.say("Please open a ticket")
    assert _copied_version(shop.redis, customer) == 2
    shop.redis.kill()

    seconds = []
    answers = []
    for text in (SUBJECT, DESCRIPTION, REFUND):
        answers.append(await customer.say(text))
        seconds.append(customer.seconds)
    seen = await service.shows_down("redis")

    assert_within(max(seconds), LONGEST_TURN_SECONDS)
    assert [missing(answer) for answer in answers] == [[], [], []]
    assert {answer["durability"] for answer in answers} == {"sql"}
    assert [action["status"] for action in answers[1]["actions"]] == ["succeeded"]
    assert answers[2]["reply"]["citations"][0]["title"] == REFUND
    said = [each["text"] for each in await customer.reads_back() if each["role"] == "customer"]
    assert said == [REFUND, "Please open a ticket", SUBJECT, DESCRIPTION, REFUND]
    assert (seen.code, seen.status) == (200, "degraded")

    shop.redis.start()
    await service.is_whole_again()
    answer = await customer.say("Thank you")

    assert missing(answer) == []
    assert _copied_version(shop.redis, customer) == 6


@pytest.mark.alone
async def test_a_silent_redis_slows_one_turn_and_not_the_next(shop: Shop, service: Service) -> None:
    customer = service.customer("cus_02")
    await customer.say("Please open a ticket")
    shop.redis.pause()

    seconds = []
    for text in ("The hood of my rain jacket leaks", DESCRIPTION, REFUND):
        answer = await customer.say(text)
        seconds.append(customer.seconds)
        assert missing(answer) == []

    assert_within(seconds[0], LONGEST_TURN_SECONDS)
    assert_within(max(seconds[1:]), 1.0)
    assert (await service.shows_down("redis")).status == "degraded"
    shop.redis.resume()
    await service.is_whole_again()


@pytest.mark.alone
async def test_without_sql_turns_go_on_in_redis_and_all_of_it_reaches_sql_once(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_01")
    await customer.say("Hello")
    await customer.say("Please open a ticket")
    shop.sql.kill()

    asked = await customer.say("My bell does not ring")
    seconds = customer.seconds
    where = await customer.say(DESCRIPTION)
    answer = await customer.say(ADDRESS, client_message_id="bell")
    resent = await customer.say(ADDRESS, client_message_id="bell")
    orders = await customer.say("Where is my order QC204918?")
    read_meanwhile = _spoken(await customer.reads_back())
    other = service.customer("cus_02")
    handoff = await other.say("I want to talk to a person")
    seen = await service.shows_down("sql", "tickets", "customers")

    assert_within(seconds, LONGEST_TURN_SECONDS)
    assert "describe what happened" in asked["reply"]["text"]
    assert missing(asked) == [("conversation", "sql")]
    assert asked["degraded"][0]["message"].startswith(
        "Our records cannot be reached right now. Your message is kept safe"
    )
    assert {each["durability"] for each in (asked, answer, orders)} == {"redis"}
    assert "which e-mail address" in where["reply"]["text"]  # the directory is away with the rest
    (action,) = answer["actions"]
    assert (action["tool"], action["status"], action["reference"]) == ("open_ticket", "queued", None)
    assert f"its receipt number is {action['receipt']}" in answer["reply"]["text"]
    assert missing(answer) == [("conversation", "sql"), ("tickets", "tickets")]
    assert resent == answer
    assert "BX7731900421GB" not in orders["reply"]["text"]
    assert missing(orders) == [("conversation", "sql"), ("customer_info", "customers")]
    assert (handoff["status"], missing(handoff)) == ("handed_over", [("conversation", "sql")])
    assert (seen.code, seen.status) == (200, "degraded")

    shop.sql.start()
    told = await customer.is_told(action["receipt"])
    await service.is_whole_again()
    again = await customer.say(ADDRESS, client_message_id="bell")
    after = await customer.say(REFUND)

    assert told.startswith(f"Your request {action['receipt']} is now ticket T-")
    assert again == answer
    assert (after["durability"], missing(after)) == ("sql", [])
    assert (await other.say("Hello?"))["status"] == "handed_over"
    stored = _stored(shop.sql, customer)
    assert [seq for seq, _, _ in stored] == list(range(1, len(stored) + 1))
    spoken = [(role, text) for _, role, text in stored if role != "system"]
    assert spoken[: len(read_meanwhile)] == read_meanwhile
    assert [text for role, text in spoken if role == "customer"] == [
        "Hello",
        "Please open a ticket",
        "My bell does not ring",
        DESCRIPTION,
        ADDRESS,
        "Where is my order QC204918?",
        REFUND,
    ]
    assert len(spoken) == 14
    assert _tickets_about(shop.sql, "My bell does not ring") == [(action["receipt"],)]
    assert _waiting_in(shop.redis) == []


@pytest.mark.alone
async def test_without_both_a_message_is_refused_at_once_and_stored_once_when_it_is_sent_again(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_02")
    await customer.say("Hello")
    shop.sql.kill()
    shop.redis.kill()

    refused = await customer.send(REFUND, client_message_id="refund")
    seconds = customer.seconds
    seen = await _is_not_ready(service)

    _assert_nothing_was_promised(refused)
    assert_within(seconds, LONGEST_REFUSAL_SECONDS)
    assert seen >= {"sql", "redis"}

    shop.sql.start()
    shop.redis.start()
    await service.is_whole_again()
    answer = await customer.say(REFUND, client_message_id="refund")
    again = await customer.say(REFUND, client_message_id="refund")

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert (answer["durability"], missing(answer)) == ("sql", [])
    assert again == answer
    assert [text for _, role, text in _stored(shop.sql, customer) if role == "customer"] == ["Hello", REFUND]


@pytest.mark.alone
@pytest.mark.parametrize("names_himself", [True, False])
async def test_with_both_silent_a_message_is_refused_within_the_same_second(
    shop: Shop, service: Service, names_himself: bool
) -> None:
    customer = service.customer("cus_02")
    await customer.say("Hello")
    shop.sql.pause()
    shop.redis.pause()

    refused = await customer.send(REFUND, names_himself=names_himself)

    _assert_nothing_was_promised(refused)
    assert_within(customer.seconds, LONGEST_REFUSAL_SECONDS)
    shop.sql.resume()
    shop.redis.resume()
    await service.is_whole_again()
    assert missing(await customer.say(REFUND)) == []


@pytest.mark.alone
async def test_a_redis_that_forgets_takes_no_message_while_sql_is_away(
    tmp_path: Path, talk_to: Callable[[CarelineProcess], Service]
) -> None:
    with own_postgres() as sql, own_redis("--appendonly", "no") as redis:
        settings = {"database_url": sql.url(), "redis_url": redis.url}
        with CarelineProcess(tmp_path, settings) as careline:
            service = talk_to(careline)
            customer = service.customer("cus_01")
            await customer.say("Hello")
            sql.kill()

            refused = await customer.send("Are you there?")
            seen = await _is_not_ready(service)

            _assert_nothing_was_promised(refused)
            assert_within(customer.seconds, LONGEST_REFUSAL_SECONDS)
            assert "sql" in seen
            assert "redis" not in seen

            sql.start()
            await service.is_whole_again()
            assert missing(await customer.say("Are you there?")) == []


def _assert_nothing_was_promised(refused: httpx.Response) -> None:
    assert refused.status_code == 503, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) >= 1
    problem = refused.json()
    assert problem["code"] == "service_unavailable"
    assert problem["stored"] is False
    assert problem["retryable"] is True
    assert problem["detail"] == "Something that is needed for this cannot be reached right now."


async def _is_not_ready(service: Service) -> frozenset[str]:
    """What is down, as soon as no turn can be served."""

    async def ask() -> frozenset[str] | None:
        response = await service.client.get("/readyz")
        if response.status_code != 503:
            return None
        dependencies: dict[str, Any] = response.json()["dependencies"]
        return frozenset(name for name, each in dependencies.items() if each["state"] == "down")

    return await eventually(ask)


def _saved_copy_of(day: str) -> str:
    return f"I am searching a saved copy of our help articles from {day}"


def _today_or_yesterday() -> tuple[str, str]:
    """The index was built moments ago, perhaps on the other side of midnight."""
    now = datetime.now(UTC)
    return now.date().isoformat(), (now - timedelta(hours=1)).date().isoformat()


def _copied_version(server: RedisServer, customer: Customer) -> int | None:
    """Of the conversation's copy in Redis, looked at past the service."""
    with server.client() as client:
        (place,) = client.scan_iter(f"careline:copy.*:{customer.conversation_id}}}")
        version = client.hget(place, "version")
    return None if version is None else int(version)


def _waiting_in(server: RedisServer) -> list[bytes]:
    with server.client() as client:
        return list(client.scan_iter("careline:journal.entries:*"))


def _spoken(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["role"], each["text"]) for each in messages if each["role"] != "system"]


def _stored(server: PostgresServer, customer: Customer) -> list[tuple[int, str, str]]:
    with server.connection() as connection:
        return connection.execute(
            "SELECT seq, role, text FROM messages WHERE conversation_id = %s ORDER BY seq",
            (customer.conversation_id,),
        ).fetchall()


def _tickets_about(server: PostgresServer, subject: str) -> list[tuple[str]]:
    with server.connection() as connection:
        return connection.execute("SELECT receipt FROM tickets WHERE subject = %s", (subject,)).fetchall()
