"""What `careline doctor` says of the company's own systems that the settings name: each is looked at, and nothing is sent."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.doctor.findings import Finding, Status
from tests.contracts.crm import api
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.mcp_world import program
from tests.servers import PostgresServer, free_port
from tests.service.test_doctor import findings
from tools.adapters.webhook import verified

NOBODY = "http://127.0.0.1:1"
SECRET = "s" * 32
PASSAGE = {"article_id": "id", "title": "title", "text": "text"}
CRM: Mapping[str, Any] = {"path": "/c/{customer_id}", "customer": {"customer_id": "id", "name": "name"}}
TWILIO = {"twilio_account": "AC" + "0" * 32, "twilio_key": "token", "twilio_sender": "+15005550006"}
WEBHOOK = {"webhook_secret": SECRET}


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[FaultyServer]:
    async with FaultyServer(lambda _: answer).listening() as server:
        yield server


def is_well(found: Finding) -> bool:
    return found.status is Status.OK and found.next_step is None


async def test_what_is_dead_is_named_with_its_setting(tmp_path: Path) -> None:
    found = await findings(
        tmp_path,
        customers_api={**CRM, "url": NOBODY},
        knowledge_api={"url": NOBODY, "passage": PASSAGE},
        webhook_url=NOBODY,
        **WEBHOOK,
        twilio_url=NOBODY,
        **TWILIO,
        sendgrid_url=NOBODY,
        sendgrid_key="SG.x",
        chat_url="nonsense://{address}",
        usual_channel="sms",
        mcp_servers={
            "shop": {"command": "/nonexistent", "tools": {"look_up": {"risk": "read"}}},
            "till": {"url": f"{NOBODY}/mcp", "tools": {"look_up": {"risk": "read"}}},
        },
    )

    named = {
        "directory": "CARELINE_CUSTOMERS_API",
        "knowledge": "CARELINE_KNOWLEDGE_API",
        "webhook": "CARELINE_WEBHOOK_URL",
        "sms": "CARELINE_TWILIO_URL",
        "sendgrid": "CARELINE_SENDGRID_URL",
        "chat": "CARELINE_CHAT_URL",
        "mcp_shop": "command",
        "mcp_till": "url and headers of till in CARELINE_MCP_SERVERS",
    }
    dead = {name for name, each in found.items() if each.status is Status.BROKEN}
    assert dead - {"embedder"} == set(named)  # that one is only slow to load where much else is going on
    assert {name: setting in str(found[name].next_step) for name, setting in named.items()} == dict.fromkeys(
        named, True
    )
    assert "smtp" not in found  # "written to the log" would be untrue
    assert "FileNotFoundError" in found["mcp_shop"].found


async def test_a_channel_that_is_usual_and_not_set_up_is_named(tmp_path: Path) -> None:
    found = (await findings(tmp_path, usual_channel="sms", smtp_url="smtp://127.0.0.1:1"))["usual_channel"]

    assert found.status is Status.BROKEN
    assert "set up: email" in found.found
    assert "CARELINE_USUAL_CHANNEL" in str(found.next_step)


async def test_credentials_that_are_refused_are_named_and_not_shown(tmp_path: Path) -> None:
    async with answering(Answer(status=401)) as server:
        found = await findings(
            tmp_path,
            customers_api={**CRM, "url": server.url},
            customers_credentials="bearer crm-token",
            knowledge_api={"url": server.url, "passage": PASSAGE},
            knowledge_credentials="bearer kb-token",
            webhook_url=server.url,
            **WEBHOOK,
            twilio_url=server.url,
            **TWILIO,
            sendgrid_url=server.url,
            sendgrid_key="SG.secret",
        )

    named = {
        "directory": "CARELINE_CUSTOMERS_CREDENTIALS",
        "knowledge": "CARELINE_KNOWLEDGE_CREDENTIALS",
        "webhook": "CARELINE_WEBHOOK_SECRET",
        "sms": "CARELINE_TWILIO_KEY",
        "sendgrid": "CARELINE_SENDGRID_KEY",
    }
    for name, setting in named.items():
        assert found[name].status is Status.BROKEN
        assert setting in str(found[name].next_step)
        said = found[name].found + str(found[name].next_step)
        assert not any(secret in said for secret in ("crm-token", "kb-token", SECRET, "SG.secret"))


async def test_what_works_is_well_and_nobody_is_written_to(tmp_path: Path) -> None:
    def company(asked: Asked) -> Answer:
        match asked.path:
            case "/search":
                return as_json([{"id": "a", "title": "Returns", "text": "Within 30 days."}])
            case "/v2/health" | "/v3/scopes" | "/":
                return as_json({"ok": True})
            case path if path.endswith("/Messages.json"):
                return as_json({"messages": []})
        return as_json({}, status=500)

    async with FaultyServer(company).listening() as server:
        found = await findings(
            tmp_path,
            customers_api=api(server.url, "inside").model_dump(),
            knowledge_api={"url": server.url, "passage": PASSAGE},
            webhook_url=f"{server.url}/",
            **WEBHOOK,
            twilio_url=server.url,
            **TWILIO,
            sendgrid_url=server.url,
            sendgrid_key="SG.x",
            smtp_sender="help@shop.example",
            chat_url="json://127.0.0.1:1/{address}",
        )

    names = ("directory", "knowledge", "webhook", "sms", "sendgrid", "chat")
    assert {name: is_well(found[name]) for name in names} == dict.fromkeys(names, True)
    writes = [asked for asked in server.asked if asked.method != "GET"]
    assert sorted(asked.path for asked in writes) == ["/", "/search"]
    (ping,) = (asked for asked in writes if asked.path == "/")
    assert b'"type":"ping"' in ping.body
    assert "customers" not in found["database"].found


async def test_a_crm_without_a_place_to_ask_is_asked_for_nobody(tmp_path: Path) -> None:
    async with answering(Answer(status=404)) as knows_nobody:
        well = (await findings(tmp_path, customers_api={**CRM, "url": knows_nobody.url}))["directory"]
    async with answering(as_json({"id": "careline-doctor", "name": "Eve"})) as knows_all:
        odd = (await findings(tmp_path, customers_api={**CRM, "url": knows_all.url}))["directory"]
    async with answering(Answer(body=b"<html>Sign in</html>")) as no_crm:
        wrong = (await findings(tmp_path, customers_api={**CRM, "url": no_crm.url}))["directory"]

    assert [asked.path for asked in knows_nobody.asked] == ["/c/careline-doctor"]
    assert well.status is Status.OK
    assert (odd.status, wrong.status) == (Status.WARN, Status.WARN)
    assert "{customer_id}" in str(odd.next_step)
    assert "CARELINE_CUSTOMERS_API" in str(wrong.next_step)


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        (Answer(status=404), "url, method, path or body"),
        (as_json({"hits": []}), "hits and passage"),
        (as_json([{"id": "a", "title": None, "text": "x"}]), "hits and passage"),
    ],
)
async def test_a_search_that_answers_something_else_is_a_mapping_to_mend(
    tmp_path: Path, answer: Answer, step: str
) -> None:
    async with answering(answer) as server:
        found = (await findings(tmp_path, knowledge_api={"url": server.url, "passage": PASSAGE}))["knowledge"]

    assert found.status is Status.BROKEN
    assert f"Correct {step} in CARELINE_KNOWLEDGE_API" in str(found.next_step)


def people(url: str) -> str:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id TEXT, name TEXT)")
    engine.dispose()
    return url


async def test_tables_of_our_own_are_held_against_their_mapping(tmp_path: Path) -> None:
    url = people(f"sqlite:///{tmp_path / 'shop.db'}")
    mapping = {"table": "people", "customer": {"customer_id": "id", "name": "name"}}
    well = await findings(tmp_path, customers_database_url=url, customers_sql=mapping)
    mapping["customer"] = {"customer_id": "id", "name": "name", "email": "mial"}
    wrong = (await findings(tmp_path, customers_database_url=url, customers_sql=mapping))["directory"]

    assert well["directory"].status is Status.OK
    assert wrong.status is Status.BROKEN
    assert wrong.found.startswith("CARELINE_CUSTOMERS_SQL: customer.email: ")
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in str(wrong.next_step)


async def test_a_wrong_password_for_tables_of_our_own_is_named(
    tmp_path: Path, killable_postgres: PostgresServer
) -> None:
    with killable_postgres.connection() as connection:
        connection.execute("CREATE ROLE ada LOGIN PASSWORD 'right'")
        (hba,) = connection.execute("SHOW hba_file").fetchone() or ("",)
    lines = "host all ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
    await asyncio.to_thread(Path(hba).write_text, lines)
    with killable_postgres.connection() as connection:
        connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)
    mapping = {"table": "people", "customer": {"customer_id": "id", "name": "name"}}
    refused = killable_postgres.url().replace("postgres@", "ada:wrong@")
    away = f"postgresql://ada:wrong@127.0.0.1:{free_port()}/shop"

    found = [
        (await findings(tmp_path, customers_database_url=url, customers_sql=mapping))["directory"]
        for url in (refused, away)
    ]

    assert [each.status for each in found] == [Status.BROKEN, Status.BROKEN]
    assert "Check user and password in CARELINE_CUSTOMERS_DATABASE_URL" in str(found[0].next_step)
    assert "CARELINE_CUSTOMERS_DATABASE_URL" in str(found[1].next_step)
    assert "wrong" not in "".join(each.found for each in found)


async def test_an_mcp_server_is_started_asked_and_ended(tmp_path: Path) -> None:
    tools = {"look_up": {"risk": "read"}}
    journal = tmp_path / "journal"
    found = await findings(
        tmp_path,
        mcp_servers={
            "shop": program(journal, tools=tools),
            "till": program(journal, tools={"fly": {"risk": "read"}}),
            "mute": {
                "command": sys.executable,
                "args": ["-c", "input()"],
                "tools": tools,
                "start_seconds": 0.5,
            },
        },
    )

    assert found["mcp_shop"].found == "reached, and declares look_up"
    assert is_well(found["mcp_shop"])
    assert found["mcp_till"].status is Status.BROKEN
    assert "no tool fly" in found["mcp_till"].found
    assert found["mcp_mute"].status is Status.BROKEN
    assert not journal.exists()  # no tool was called
    assert not (tmp_path / "knowledge").exists()


async def test_the_ping_of_a_webhook_is_signed_as_its_receiver_expects(tmp_path: Path) -> None:
    import time

    async with answering(Answer(status=204)) as server:
        found = (await findings(tmp_path, webhook_url=server.url, **WEBHOOK))["webhook"]

    (asked,) = server.asked
    assert is_well(found)
    assert verified(asked.headers, asked.body, secret=SECRET.encode(), now=time.time())


async def test_an_opensearch_index_is_asked_a_question(tmp_path: Path) -> None:
    async with answering(Answer(status=401)) as server:
        refused = await findings(tmp_path, knowledge_opensearch={"url": server.url, "index": "articles"})
    away = await findings(tmp_path, knowledge_opensearch={"url": NOBODY, "index": "articles"})

    assert [each["knowledge"].status for each in (refused, away)] == [Status.BROKEN, Status.BROKEN]
    assert "CARELINE_KNOWLEDGE_CREDENTIALS" in str(refused["knowledge"].next_step)
    assert "url in CARELINE_KNOWLEDGE_OPENSEARCH" in str(away["knowledge"].next_step)
