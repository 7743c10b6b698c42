"""The command line as a newcomer uses it: each command runs, says what it did, and fails with a next step."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import app
from agent.cli.common import explained
from core.errors import DependencyUnavailable, ToolMisconfigured
from tests.careline_process import CarelineProcess, environment, run_careline
from tests.data import shared
from tests.servers import PostgresServer, free_port
from tests.unit.flows.declare import RETURN

COMMANDS = (
    "serve",
    "demo",
    "chat",
    "ingest",
    "replay",
    "import-log",
    "export",
    "reveal",
    "migrate",
    "worker",
    "deploy",
    "outbox",
    "handoff",
    "doctor",
    "explain",
    "flows",
    "knowledge",
)


def failing(*arguments: str, folder: Path, settings: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and standard error of a command that is expected to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env=environment(settings or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two articles have been ingested."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "help").mkdir()
    (folder / "help" / "returns.md").write_text(
        "# Returning a kettle\n\nA kettle can be returned within 30 days if it was never filled.\n",
        encoding="utf-8",
    )
    (folder / "help" / "delivery.md").write_text(
        "# Delivery\n\nStandard delivery takes three working days and costs four pounds.\n", encoding="utf-8"
    )
    run_careline("ingest", "help", folder=folder)
    return folder


@pytest.fixture(scope="module")
def service(shop: Path) -> Iterator[CarelineProcess]:
    with CarelineProcess(shop) as process:
        yield process


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: ten starts of another would cost ten seconds, and every other test here starts one."""
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, [command, "--help"], prog_name="careline")

    assert told.exit_code == 0
    assert f"careline {command}" in told.stdout
    assert not (tmp_path / "careline.db").exists()


def test_a_wrong_setting_is_named_with_what_to_do(tmp_path: Path) -> None:
    code, said = failing("serve", folder=tmp_path, settings={"port": "many"})

    assert code == 2
    assert "CARELINE_PORT" in said


def test_a_mail_server_that_cannot_be_one_is_named_before_anything_is_opened(tmp_path: Path) -> None:
    code, said = failing("serve", folder=tmp_path, settings={"smtp_url": "foo"})

    assert code == 2
    assert "CARELINE_SMTP_URL: must be smtp://[USER:PASSWORD@]HOST[:PORT]" in said
    assert not (tmp_path / "careline.db").exists()


def test_a_missing_database_is_said_with_how_to_create_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    code, said = failing("serve", folder=tmp_path, settings={"database_url": postgres_server.url("nowhere")})

    assert code == 1
    assert 'database "nowhere" does not exist' in said
    assert f"Create it: createdb -h 127.0.0.1 -p {postgres_server.port} -U postgres nowhere" in said


def test_an_unknown_role_is_said_with_how_to_create_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.url().replace("postgres@", "ada@")
    code, said = failing("serve", folder=tmp_path, settings={"database_url": url})

    assert code == 1
    assert 'Create it, in psql as an administrator: CREATE ROLE "ada" LOGIN' in said


def test_flows_of_ones_own_are_shown_and_a_slip_ends_check_and_start(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "returns.yaml").write_text(RETURN, encoding="utf-8")

    shown = run_careline("flows", "check", "mine", "--locale", "de", folder=tmp_path)
    (tmp_path / "mine" / "returns.yaml").write_text(
        RETURN.replace("open_ticket", "open_tikket"), encoding="utf-8"
    )
    checked = failing("flows", "check", "mine", folder=tmp_path)
    started = failing("serve", folder=tmp_path, settings={"flows": "mine", "port": "0"})

    assert "return_item: Rückgabe" in shown
    assert "Nothing is wrong. Flows: 1; texts worded anew: 0." in shown
    line = RETURN.splitlines().index("  tool: open_ticket") + 1
    for code, said in (checked, started):
        assert code == 1
        assert f"returns.yaml:{line}: call.tool: must be one of" in said
        assert "docs/flows.md" in said


def test_a_decision_on_nothing_says_where_to_look(tmp_path: Path) -> None:
    code, said = failing("outbox", "drop", "R-NOTHING", "--reason", "x", folder=tmp_path)

    assert code == 1
    assert "nothing was promised under R-NOTHING" in said
    assert "careline outbox list" in said


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "careline.toml").write_text('model_ulr = "http://127.0.0.1:1/v1"\n', encoding="utf-8")

    code, said = failing("serve", folder=tmp_path)

    assert code == 2
    assert "careline.toml: model_ulr: no such setting; did you mean model_url?" in said


def test_a_variable_that_no_setting_knows_is_named_and_the_command_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "migrate"],
        cwd=tmp_path,
        env=environment(
            {"databse_url": "sqlite:///secret.db", "colour": "red", "replay_key": "k", "port": "0"}
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr.splitlines() == [
        "CARELINE_COLOUR: no such setting, ignored; docs/settings.md lists all",
        "CARELINE_DATABSE_URL: no such setting, ignored; did you mean CARELINE_DATABASE_URL?",
    ]


def test_without_credentials_it_refuses_to_listen_to_the_network(tmp_path: Path) -> None:
    code, said = failing("serve", "--host", "0.0.0.0", folder=tmp_path)  # noqa: S104 -- it must refuse

    assert code == 2
    assert "CARELINE_API_KEYS" in said


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        code, said = failing("serve", "--port", port, folder=tmp_path)

    assert code == 1
    assert port in said
    assert "--port" in said


@pytest.mark.parametrize("command", [("migrate",), ("ingest", "."), ("chat",)])
def test_a_command_whose_database_is_away_names_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"

    code, said = failing(*command, folder=tmp_path, settings={"database_url": url, "port": str(free_port())})

    assert code == 1
    assert "CARELINE_DATABASE_URL" in said


def test_the_service_says_where_to_ask_and_how_to_embed_it(service: CarelineProcess) -> None:
    said = service.log.read_text().splitlines()

    assert f"Careline listens on {service.url}" in said
    assert f"Ask: POST {service.url}/v1/chat" in said
    assert f'Widget: <script src="{service.url}/widget.js"></script>' in said


def test_a_replay_without_an_answer_shows_no_row_of_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        json.dumps({"id": "one", "messages": [{"role": "customer", "text": "hello"}]}), encoding="utf-8"
    )
    nobody = f"http://127.0.0.1:{free_port()}"

    done = subprocess.run(
        [sys.executable, "-m", "agent", "replay", str(log), "--against", nobody, "--patience", "0"],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "not answered" in done.stdout
    assert "None" not in done.stdout
    assert "latency" not in done.stdout


def test_migrate_makes_the_tables(tmp_path: Path) -> None:
    run_careline("migrate", folder=tmp_path)

    assert (tmp_path / "careline.db").stat().st_size > 0


def test_chat_answers_with_its_source_in_the_terminal(shop: Path) -> None:
    said = run_careline("chat", folder=shop, text="Can I return a kettle that I never filled?\n/quit\n")

    assert "within 30 days" in said
    assert "[1] Returning a kettle" in said


def test_replay_in_this_process_leaves_the_service_alone(shop: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    conversation = {
        "id": "one",
        "messages": [
            {"role": "customer", "text": "What does delivery cost?"},
            {"role": "agent", "text": "Four pounds."},
            {"role": "customer", "text": "I want to open a ticket"},
        ],
    }
    log.write_text(json.dumps(conversation) + "\n", encoding="utf-8")
    before = (shop / "careline.db").read_bytes()

    run_careline("replay", str(log), "--out", str(tmp_path / "out"), folder=shop)

    rows = [json.loads(line) for line in (tmp_path / "out" / "turns.jsonl").read_text().splitlines()]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["turn"] for row in rows] == [1, 2]
    assert rows[0]["citations"] == ["delivery"]
    assert 0 < rows[0]["overlap"] < 1
    assert rows[1]["status"] == "needs_customer"
    assert (summary["answered"], summary["errors"], summary["cited"]) == (2, {}, 1)
    assert (shop / "careline.db").read_bytes() == before


def test_replay_against_a_service_speaks_http_and_repeats_itself(
    service: CarelineProcess, tmp_path: Path
) -> None:
    """The same run again gets the stored answers: the same ids, the same replies."""
    outputs = []
    for number in ("1", "2"):
        folder = tmp_path / number
        run_careline(
            *("replay", str(shared("sgd_sample/dialogues_007.json")), "--against", service.url),
            *("--limit", "3", "--run", "same", "--out", str(folder)),
            folder=tmp_path,
        )
        rows = [json.loads(line) for line in (folder / "turns.jsonl").read_text().splitlines()]
        outputs.append(sorted((row["conversation"], row["turn"], row["reply"]) for row in rows))

    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 10


def test_replay_against_nobody_says_so_in_every_row(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        json.dumps({"id": "one", "messages": [{"role": "customer", "text": "hello"}]}) + "\n",
        encoding="utf-8",
    )

    code, said = failing(
        *(
            "replay",
            str(log),
            "--against",
            f"http://127.0.0.1:{free_port()}",
            "--out",
            "out",
            "--patience",
            "0.5",
        ),
        folder=tmp_path,
    )

    row = json.loads((tmp_path / "out" / "turns.jsonl").read_text())
    assert code == 1
    assert "1 turns got no answer" in said
    assert row["error"].startswith("service_unavailable")


@pytest.mark.data
@pytest.mark.parametrize(
    ("log", "limit"),
    [
        ("dstc11_track5/logs.json", "40"),
        ("sgd_sample/dialogues_007.json", "10"),
        ("abcd/abcd_sample.json", "3"),
    ],
)
def test_public_conversations_replay_without_an_error(tmp_path: Path, log: str, limit: str) -> None:
    """The short form; `careline replay ../shared/data/dstc11_track5/logs.json` is the long one (docs/figures.md)."""
    run_careline("replay", str(shared(log)), "--limit", limit, "--out", str(tmp_path), folder=tmp_path)

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["errors"] == {}
    assert summary["conversations"] == int(limit)
    assert summary["answered"] == summary["turns"]


def test_a_wrong_setting_is_not_blamed_on_the_database(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), explained():
        raise ToolMisconfigured("CARELINE_BREAKER_STATES names foo")
    wrong = capsys.readouterr().err
    with pytest.raises(typer.Exit), explained():
        raise DependencyUnavailable("sql", "it is away")
    away = capsys.readouterr().err

    assert "Correct the setting that it names" in wrong
    assert "CARELINE_DATABASE_URL" in away
