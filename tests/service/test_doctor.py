"""What `careline doctor` says of dependencies that are really broken: a name, what was found, and the next step."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.doctor.checks import diagnose
from agent.doctor.findings import Finding, Status, exit_code
from core.settings import Settings
from state.sql.migrate import upgrade
from tests.careline_process import environment
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.servers import PostgresServer, RedisServer, free_port
from tests.smtp_server import MailServer
from tests.timing import assert_within
from tests.vendors.zendesk import KEY, USER, Zendesk


async def findings(folder: Path, **settings: Any) -> dict[str, Finding]:
    values = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'careline.db'}",
        "data_dir": folder / "knowledge",
        **settings,
    }
    return {finding.name: finding for finding in await diagnose(Settings(**values))}


async def test_a_fresh_folder_is_well_and_stays_empty(tmp_path: Path) -> None:
    found = await findings(tmp_path)

    assert {name for name, each in found.items() if each.status is not Status.OK} == {"handoff"}
    assert found["handoff"].status is Status.WARN  # nobody is told of a customer who waits for a person
    assert "the first start makes it" in found["database"].found
    assert os.listdir(tmp_path) == []


async def test_an_embeddings_server_that_is_away_and_a_folder_without_a_model_are_told(
    tmp_path: Path,
) -> None:
    away = await findings(
        tmp_path,
        embedder_url=f"http://127.0.0.1:{free_port()}/v1",
        embedder_model="words",
        embedder_dimensions=8,
    )
    empty = await findings(tmp_path, embedder_folder=tmp_path / "model")

    assert away["embedder"].status is Status.WARN
    assert "searched by their words" in away["embedder"].found
    assert empty["embedder"].status is Status.BROKEN
    assert "no model.onnx" in empty["embedder"].found
    assert empty["embedder"].next_step == "Correct CARELINE_EMBEDDER_FOLDER, or what lies in it."


async def test_a_port_that_nobody_listens_on_is_named(tmp_path: Path) -> None:
    port = free_port()
    found = (await findings(tmp_path, database_url=f"postgresql://me:secret@127.0.0.1:{port}/careline"))[
        "database"
    ]

    assert found.status is Status.BROKEN
    assert found.next_step is not None
    assert f"Nobody listens at 127.0.0.1:{port}: start PostgreSQL there" in found.next_step
    assert "secret" not in found.found + found.next_step


async def test_of_several_hosts_all_are_named(tmp_path: Path) -> None:
    one, other = free_port(), free_port()

    found = await findings(
        tmp_path, database_url=f"postgresql://postgres@127.0.0.1:{one},127.0.0.1:{other}/careline"
    )

    step = found["database"].next_step or ""
    assert f"127.0.0.1:{one} or 127.0.0.1:{other}" in step
    assert "5432" not in step


@pytest.mark.parametrize(
    ("scheme", "path", "needed"),
    [
        ("redis", "/99", "the database's number"),
        ("redis+cluster", "", "It is no cluster"),
        ("redis+sentinel", "/careline/0", "the service's name"),
    ],
)
async def test_an_address_of_redis_that_asks_for_something_else_is_told_what_is_wrong(
    tmp_path: Path, redis_url: str, scheme: str, path: str, needed: str
) -> None:
    host = redis_url.split("/")[2]

    found = await findings(tmp_path, redis_url=f"{scheme}://{host}{path}")

    assert needed in (found["redis"].next_step or "")


async def test_a_missing_database_is_to_be_created(tmp_path: Path, postgres_server: PostgresServer) -> None:
    found = (await findings(tmp_path, database_url=postgres_server.url("nowhere")))["database"]

    assert found.status is Status.BROKEN
    assert found.next_step is not None
    assert found.next_step.startswith(
        f"Create it: createdb -h 127.0.0.1 -p {postgres_server.port} -U postgres nowhere"
    )


async def test_an_unknown_role_is_to_be_created(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.url().replace("postgres@", "ada@")
    found = (await findings(tmp_path, database_url=url))["database"]

    assert found.status is Status.BROKEN
    assert found.next_step is not None
    assert 'CREATE ROLE "ada" LOGIN' in found.next_step


async def test_a_database_without_tables_is_to_be_migrated(tmp_path: Path, postgres_database: str) -> None:
    before = await findings(tmp_path, database_url=postgres_database)
    upgrade(postgres_database)
    after = await findings(tmp_path, database_url=postgres_database)

    assert before["database"].status is Status.WARN
    assert before["database"].next_step is not None
    assert "careline migrate" in before["database"].next_step
    assert {name for name, each in after.items() if each.status is not Status.OK} == {"handoff"}
    assert "this machine's" in after["database clock"].found


async def test_a_database_of_its_own_for_tickets_is_told_by_its_setting(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    found = (await findings(tmp_path, tickets_database_url=postgres_server.url("nowhere")))["desk"]

    assert found.next_step is not None
    assert "CARELINE_TICKETS_DATABASE_URL" in found.next_step


async def test_a_wrong_password_is_told_apart_from_a_server_that_is_away(
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
    url = killable_postgres.url().replace("postgres@", "ada:wrong@")

    found = (await findings(tmp_path, database_url=url))["database"]

    assert found.status is Status.BROKEN
    assert found.next_step is not None
    assert "Check user and password in CARELINE_DATABASE_URL" in found.next_step
    assert "wrong" not in found.found


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "careline.db").write_text("not a database, but long enough to be read as one" * 40)

    found = (await findings(tmp_path))["database"]

    assert found.status is Status.BROKEN
    assert "restore it from a backup" in (found.next_step or "")


async def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = (await findings(tmp_path, data_dir=tmp_path / "file" / "knowledge"))["data_dir"]

    assert found.status is Status.BROKEN
    assert "CARELINE_DATA_DIR" in (found.next_step or "")


async def test_redis_is_asked_what_it_promises(tmp_path: Path, redis_url: str) -> None:
    keeps = (await findings(tmp_path, redis_url=redis_url))["redis"]
    with RedisServer("--appendonly", "no") as forgetful:
        forgets = (await findings(tmp_path, redis_url=forgetful.url))["redis"]

    assert keeps.status is Status.OK
    assert forgets.status is Status.WARN
    assert "appendfsync always" in (forgets.next_step or "")


async def test_a_redis_that_wants_a_password_is_told_apart_from_one_that_is_away(tmp_path: Path) -> None:
    with RedisServer() as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "ada", "on", ">right", "~*", "&*", "+@all")
        url = server.url.replace("redis://", "redis://ada:wrong@")
        refused = (await findings(tmp_path, redis_url=url))["redis"]
    away = (await findings(tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}/0"))["redis"]

    assert refused.status is away.status is Status.BROKEN
    assert "user and password" in (refused.next_step or "")
    assert "Start Redis" in (away.next_step or "")


async def test_a_mail_server_that_refuses_us_is_named(tmp_path: Path) -> None:
    async with MailServer(offers_auth=True, answers={"AUTH": "535 5.7.8 no"}) as server:
        url = f"smtp://ada:wrong@127.0.0.1:{server.port}"
        refused = (await findings(tmp_path, smtp_url=url))["smtp"]

    assert refused.status is Status.BROKEN
    assert "user and password in CARELINE_SMTP_URL" in (refused.next_step or "")


async def test_a_broker_that_is_away_only_costs_time(tmp_path: Path, redis_url: str) -> None:
    reached = (await findings(tmp_path, broker_url=redis_url))["broker"]
    away = (await findings(tmp_path, broker_url=f"redis://127.0.0.1:{free_port()}/0"))["broker"]

    assert reached.status is Status.OK
    assert away.status is Status.WARN


async def test_what_waits_for_a_person_is_said(tmp_path: Path, sqlite_url: str) -> None:
    upgrade(sqlite_url)
    import sqlite3

    with sqlite3.connect(tmp_path / "careline.db") as connection:
        connection.execute(
            "INSERT INTO outbox (tenant, key, kind, conversation_id, payload, locale, status, attempts, due_at, created_at) "
            "VALUES ('default', 'k', 'ticket', 'c', x'80', 'en', 'dead', 1, 0, 0)"
        )

    found = (await findings(tmp_path))["outbox"]

    assert found.status is Status.WARN
    assert "careline outbox list" in (found.next_step or "")


DESK: dict[str, Any] = {"ticket_desk": "zendesk", "ticket_desk_user": USER, "ticket_desk_key": KEY}


async def test_a_desk_of_a_vendor_is_asked_in_place_of_our_own_table(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    nowhere = postgres_server.url("nowhere")
    async with Zendesk() as vendor:
        found = await findings(tmp_path, **DESK, ticket_desk_url=vendor.url, tickets_database_url=nowhere)

        assert len(vendor.asked) == 1
    assert (found["desk"].status, found["desk"].found) == (Status.OK, "zendesk is reached, and it lets us in")


async def test_a_desk_that_refuses_our_key_is_told_without_the_key(tmp_path: Path) -> None:
    async with Zendesk() as vendor:
        wrong = DESK | {"ticket_desk_key": "a-wrong-key-0123456789"}
        found = (await findings(tmp_path, **wrong, ticket_desk_url=vendor.url))["desk"]

    assert found.status is Status.BROKEN
    assert found.next_step is not None
    assert "CARELINE_TICKET_DESK_KEY" in found.next_step
    assert "a-wrong-key" not in found.found + found.next_step


async def test_a_desk_by_e_mail_is_as_well_as_its_mail_server(tmp_path: Path) -> None:
    mailbox: dict[str, Any] = {"ticket_desk": "email", "ticket_desk_url": "mailto:team@shop.example"}
    async with MailServer() as mail:
        up = await findings(tmp_path, **mailbox, smtp_url=f"smtp://127.0.0.1:{mail.port}")
    down = await findings(tmp_path, **mailbox, smtp_url=f"smtp://127.0.0.1:{free_port()}")

    assert (up["desk"].status, down["desk"].status) == (Status.OK, Status.BROKEN)


@pytest.mark.alone
async def test_everything_down_is_told_within_seconds(
    tmp_path: Path, killable_postgres: PostgresServer
) -> None:
    """The database accepts connections and says nothing, which is slower than a refusal."""
    port = free_port()
    killable_postgres.pause()
    began = time.monotonic()

    found = await findings(
        tmp_path,
        database_url=killable_postgres.url(),
        redis_url=f"redis://127.0.0.1:{port}/0",
        model_url=f"http://127.0.0.1:{port}/v1",
        smtp_url=f"smtp://127.0.0.1:{port}",
        identity_jwks_url=f"http://127.0.0.1:{port}/keys",
        broker_url=f"redis://127.0.0.1:{port}/0",
        data_dir="/proc/none",
        **DESK,
        ticket_desk_url=f"http://127.0.0.1:{port}",
    )

    assert_within(time.monotonic() - began, 8.0)
    killable_postgres.resume()
    assert {name for name, each in found.items() if each.status is Status.OK} == {"embedder"}
    assert all(each.next_step for name, each in found.items() if name != "embedder")


@pytest.mark.parametrize(("statuses", "code"), [("ok", 0), ("ok warn", 1), ("warn broken ok", 2)])
def test_the_exit_code_is_that_of_the_worst(statuses: str, code: int) -> None:
    found = [Finding(name="x", status=Status(status), found="") for status in statuses.split()]

    assert exit_code(found) == code


def test_scripts_get_json_and_a_code_even_for_settings_that_cannot_be_used(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "doctor", "--json"],
        cwd=tmp_path,
        env=environment({"port": "many"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    (told,) = json.loads(done.stdout)
    assert (told["name"], told["status"]) == ("settings", "broken")
    assert "CARELINE_PORT" in told["found"]


async def test_whoever_is_told_of_handoffs_is_named(tmp_path: Path) -> None:
    async with MailServer() as mail:
        found = await findings(
            tmp_path,
            smtp_url=f"smtp://127.0.0.1:{mail.port}",
            ticket_fallback_email="desk@shop.example",
            handoff_email="team@shop.example",
        )

    assert found["handoff"].status is Status.OK
    assert "team@shop.example" in found["handoff"].found


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1", {"object": "list", "data": [{"id": "a"}]}, Status.OK),
        ("", {"object": "list", "data": []}, Status.WARN),  # the forgotten /v1
        ("/v1/v1", {"object": "list", "data": []}, Status.WARN),
        ("/v1", {"name": "another service"}, Status.WARN),
    ],
)
async def test_what_answers_and_lists_no_models_may_be_no_model_server(
    tmp_path: Path, path: str, body: dict[str, Any], status: Status
) -> None:
    def answer(asked: Asked) -> Answer:
        return as_json(body) if asked.path == "/v1/models" else as_json({"detail": "Not Found"}, status=404)

    async with FaultyServer(answer).listening() as server:
        found = (await findings(tmp_path, model_url=f"{server.url}{path}"))["model"]

    assert found.status is status
    assert status is Status.OK or "/v1" in str(found.next_step)


async def test_each_model_of_a_chain_is_looked_at(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    async with FaultyServer(lambda _: as_json({"data": []})).listening() as server:
        further = [{"model": "same server"}, {"model": "away", "url": nobody}]
        found = await findings(tmp_path, model_url=f"{server.url}/v1", further_models=further)

    assert found["model"].status is Status.OK
    assert "model.2" not in found
    assert found["model.3"].status is Status.BROKEN
    assert "the URL of away in CARELINE_FURTHER_MODELS" in str(found["model.3"].next_step)


async def test_a_breaker_of_nothing_that_there_is_is_named_and_one_by_hand_remembered(tmp_path: Path) -> None:
    wrong = (await findings(tmp_path, breaker_states="foo:isolated"))["breakers"]
    right = (await findings(tmp_path, breaker_states="tickets:isolated"))["breakers"]

    assert wrong.status is Status.BROKEN
    assert "names foo; there are sql" in wrong.found
    assert wrong.next_step == "Correct CARELINE_BREAKER_STATES."
    assert right.status is Status.WARN
    assert "tickets isolated" in right.found
