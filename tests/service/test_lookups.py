"""The service over a CRM, tables and a search of others: it answers from them, says when it cannot, and tells no secret."""

import asyncio
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess, run_careline
from tests.contracts import crm
from tests.contracts.test_customer_directories import SHOP, make_shop_tables
from tests.contracts.test_knowledge_searches import api as knowledge_api
from tests.contracts.test_knowledge_searches import find
from tests.http_faults import Answer, Asked, FaultyServer
from tests.servers import PostgresServer, free_port
from tests.service.degraded.talk import Service, missing
from tests.service.test_commands import failing

CRM_TOKEN = "crm-t0ken-97531"
SECRETS = {
    "customers_credentials": (f"bearer {CRM_TOKEN}", CRM_TOKEN),
    "knowledge_credentials": ("basic search:kn0wledge-86420", "kn0wledge-86420"),
    "api_keys": ("shop:serverkey0123456789", "serverkey0123456789"),
    "identity_secret": ("1dentity-secret-of-32-bytes-and-more", "1dentity-secret"),
    "model_key": ("m0del-key-13579", "m0del-key-13579"),
    "smtp_url": ("smtp://mail:sm7p-password@127.0.0.1:{port}", "sm7p-password"),
    "redis_url": ("redis://:r3dis-password@127.0.0.1:{port}/0", "r3dis-password"),
}
"""Each setting that holds a secret: its value, and what of it must stand nowhere."""

FAILURES = (
    Answer(status=401, body=b"invalid token"),
    Answer(status=403),
    Answer(status=404),
    Answer(status=422),
    Answer(status=429, headers={"Retry-After": "0"}),
    Answer(status=500),
    Answer(status=503),
    Answer(resets=True),
    Answer(body=b"<html>"),
    Answer(body=b'{"customer": {"id": "1001"}}'),
)


def declared(model: Any) -> str:
    return json.dumps(model.model_dump(mode="json", exclude_none=True))


async def test_orders_and_articles_come_from_where_the_company_keeps_them(tmp_path: Path) -> None:
    async with FaultyServer(crm.Crm("cursor")).listening() as shop, FaultyServer(find).listening() as search:
        settings = {
            "customers_api": declared(crm.api(shop.url, "cursor")),
            "customers_credentials": f"bearer {CRM_TOKEN}",
            "knowledge_api": declared(knowledge_api(search.url, "POST")),
        }
        async with (
            _started(tmp_path, settings) as careline,
            httpx.AsyncClient(base_url=careline.url, timeout=30) as client,
        ):
            service = Service(client)
            anna = service.customer("1001")
            orders = await anna.hears("Where is my order A-24?")
            warranty = await service.customer("1002").hears("Are broken lamps repaired under warranty?")
            shop.answer = lambda _: Answer(status=503)
            away = await service.customer("1001").say("Where are my orders?")
            await service.shows_down("customers")
            shop.answer = crm.Crm("cursor")
            await service.is_whole_again()

    assert "A-24" in orders
    assert "repaired for two years" in warranty
    assert ("customer_info", "customers") in missing(away)
    assert "A-24" not in away["reply"]["text"]
    assert {asked.headers.get("authorization") for asked in shop.asked} == {f"Bearer {CRM_TOKEN}"}
    assert "authorization" not in search.asked[0].headers


def test_a_companys_tables_are_read_and_left_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    make_shop_tables(f"sqlite:///{file}")
    before = file.read_bytes()
    settings = {"customers_database_url": f"sqlite:///{file}", "customers_sql": declared(SHOP)}

    with CarelineProcess(tmp_path, settings) as careline:
        asked = {"message": "Where is my order A-24?", "customer_id": "1001"}
        answer = httpx.post(f"{careline.url}/v1/chat", json=asked, timeout=30).json()
        careline.terminate()

    assert "A-24" in answer["reply"]["text"]
    assert file.read_bytes() == before
    assert sorted(each.name for each in tmp_path.glob("shop.db*")) == ["shop.db"]


@pytest.fixture
def wrong_tables(tmp_path: Path) -> dict[str, str]:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE clients (client_no INTEGER, first_name TEXT, last_name TEXT)")
    connection.close()
    return {"customers_database_url": f"sqlite:///{tmp_path / 'shop.db'}", "customers_sql": declared(SHOP)}


def test_a_column_that_is_not_there_stops_the_start_by_its_name(
    tmp_path: Path, wrong_tables: dict[str, str]
) -> None:
    code, said = failing("serve", folder=tmp_path, settings=wrong_tables | {"port": str(free_port())})

    assert code == 1
    assert "CARELINE_CUSTOMERS_SQL: customer.name.1: " in said
    assert "Last" in said
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in said
    assert "CARELINE_DATABASE_URL" not in said


def test_a_customers_database_that_refuses_us_stops_the_start_with_what_to_do(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    settings = {
        "customers_database_url": postgres_server.url("nowhere"),
        "customers_sql": declared(SHOP),
        "port": str(free_port()),
    }

    code, said = failing("serve", folder=tmp_path, settings=settings)

    assert code == 1
    assert "createdb" in said
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in said


def test_a_mapping_that_cannot_work_stops_the_start_by_its_field(tmp_path: Path) -> None:
    (tmp_path / "careline.toml").write_text(
        '[customers_api]\nurl = "https://crm.example"\npath = "/c/{customer_id}"\n'
        'customer = { customer_id = "id", name = "name", emial = "mail" }\n',
        encoding="utf-8",
    )

    code, said = failing("serve", folder=tmp_path)

    assert code == 2
    assert "careline.toml: customers_api.customer.emial: no such setting" in said


async def test_no_secret_of_the_settings_stands_in_a_log_line_when_calls_fail(tmp_path: Path) -> None:
    failures = itertools.cycle(FAILURES)

    def echo(asked: Asked) -> Answer:
        """Some gateways send back what they were sent."""
        failure = next(failures)
        headers = {name: asked.headers[name] for name in ("authorization",) if name in asked.headers}
        body = failure.body or json.dumps({"error": "refused", "request": headers}).encode()
        return Answer(status=failure.status, body=body, headers={**failure.headers, "X-Echo": str(headers)})

    async with FaultyServer(echo).listening() as server:
        settings = {name: value.format(port=free_port()) for name, (value, _) in SECRETS.items()} | {
            "customers_api": declared(crm.api(server.url, "link")),
            "knowledge_api": declared(knowledge_api(server.url, "POST")),
            "model_url": f"{server.url}/v1",
            "log_level": "debug",
            "breaker_minimum_calls": "1000",
            "rate_limit_per_customer": "0",
        }
        async with _started(tmp_path, settings) as careline:
            key = {"Authorization": f"Bearer {SECRETS['api_keys'][1]}"}
            async with httpx.AsyncClient(base_url=careline.url, timeout=30, headers=key) as client:
                for n in range(len(FAILURES)):
                    for message in ("Where are my orders?", "Are broken lamps repaired?"):
                        asked = {
                            "message": message,
                            "customer_id": "1001",
                            "client_message_id": f"{message}{n}",
                        }
                        answer = await client.post("/v1/chat", json=asked)
                        assert answer.status_code == 200
                        assert [part for _, part in SECRETS.values() if part in answer.text] == []
            log = careline.log.read_text(encoding="utf-8")

    sent = {asked.headers.get("authorization", "") for asked in server.asked}
    assert f"Bearer {CRM_TOKEN}" in sent
    assert len(sent) >= 3  # the CRM's, the search's and the model's
    assert log.count("customers") > 10
    assert [part for _, part in SECRETS.values() if part in log] == []
    assert [token for token in sent if token and token.split()[-1] in log] == []


async def test_while_the_companys_search_is_down_what_was_ingested_answers_and_the_customer_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "help").mkdir()
    (tmp_path / "help" / "warranty.md").write_text(
        "# Warranty\n\nBroken lamps are repaired free of charge in the ingested copy.\n", encoding="utf-8"
    )
    await asyncio.to_thread(run_careline, "ingest", "help", folder=tmp_path)
    async with FaultyServer(find).listening() as search:
        settings = {"knowledge_api": declared(knowledge_api(search.url, "POST"))}
        async with (
            _started(tmp_path, settings) as careline,
            httpx.AsyncClient(base_url=careline.url, timeout=30) as client,
        ):
            customer = Service(client).customer("1001")
            theirs = await customer.say("Are broken lamps repaired under warranty?")
            search.answer = lambda _: Answer(status=503)
            copy = await customer.say("Are broken lamps repaired under warranty?")
            search.answer = find
            again = await customer.say("Are broken lamps repaired under warranty?")

    assert "repaired for two years" in theirs["reply"]["text"]
    assert missing(theirs) == missing(again) == []
    assert "in the ingested copy" in copy["reply"]["text"]
    assert missing(copy) == [("knowledge_search", "search_service")]
    assert "saved copy" in copy["degraded"][0]["message"]


@asynccontextmanager
async def _started(folder: Path, settings: dict[str, str]) -> AsyncIterator[CarelineProcess]:
    careline = CarelineProcess(folder, settings)
    await asyncio.to_thread(careline.start)
    try:
        yield careline
    finally:
        careline.kill()
