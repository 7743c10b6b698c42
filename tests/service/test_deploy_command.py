"""`careline deploy` against a running service: what it makes there, says and exits with."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.deploy.folder import folder_for, held
from agent.deploy.http_plane import HttpPlane, NoPlane, make_plane_client
from core.clock import SystemClock
from core.errors import DependencyUnavailable, ExternalApiFailed
from core.resilience.retry import RetryPolicy
from tests.careline_process import CarelineProcess, environment
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.servers import free_port

KEY = "a key of the shop"
AGENT = """\
classes:
  support: {}
tools:
  search_knowledge: {json_schema: {type: object}}
prompts:
  tone: {content: Be kind., class: support, status: published}
definitions:
  agent: {class: support, prompt: tone, tools: [search_knowledge], status: published}
deployments:
  live: {definition: agent}
"""


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def outcome(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.out)
        return told


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarelineProcess]:
    with CarelineProcess(tmp_path_factory.mktemp("plane"), {"api_keys": f"shop:{KEY}"}) as process:
        yield process


@pytest.fixture(autouse=True)
def url(service: CarelineProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CARELINE_DEPLOY_URL", service.url)
    monkeypatch.setenv("CARELINE_DEPLOY_KEY", KEY)
    return service.url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(AGENT, encoding="utf-8")
    return path


def deploy(file: Path, *options: str) -> Said:
    done = CliRunner().invoke(app, ["deploy", str(file), *options], prog_name="careline")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.stdout, " ".join(done.stderr.split()))


def of_plane(url: str, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(
        f"{url}/api/v1/{kind}", headers={"Authorization": f"Bearer {KEY}"}
    ).json()
    return found


def test_it_is_planned_applied_serves_and_has_then_nothing_to_do(file: Path, url: str) -> None:
    planned = deploy(file, "--dry-run")
    assert (planned.code, of_plane(url, "agent-classes")) == (0, [])

    applied = deploy(file)
    again = deploy(file, "--json")

    assert (applied.code, again.code) == (0, 0)
    assert "+ to create   deployments.live" in planned.out
    assert "Planned: 5 to create. Nothing was written." in planned.out
    assert "Applied: 5 created" in applied.out
    assert [each["status"] for each in of_plane(url, "deployments")] == ["active"]
    assert (again.outcome["result"], len(again.outcome["resources"])) == ("unchanged", 5)

    file.write_text(AGENT.replace("Be kind.", "Be brief."), encoding="utf-8")
    changed = deploy(file)
    assert changed.code == 0
    assert [each["status"] for each in of_plane(url, "deployments")] == ["active", "completed"]

    file.write_text("classes: {}\n", encoding="utf-8")
    pruned = deploy(file, "--prune", "--json")
    assert pruned.code == 0
    assert {each["state"] for each in pruned.outcome["resources"]} == {"deleted"}
    assert of_plane(url, "deployments") == of_plane(url, "agent-classes") == []


def test_what_fails_its_probes_is_taken_back_with_the_reason(file: Path, url: str) -> None:
    before = {kind: of_plane(url, kind) for kind in ("agent-classes", "tools", "deployments")}
    file.write_text(AGENT.replace("search_knowledge", "read_minds"), encoding="utf-8")

    said = deploy(file, "--json")

    assert said.code == 1
    assert said.outcome["result"] == "rolled_back"
    assert "there is no tool named read_minds here" in said.outcome["error"]
    live = next(each for each in said.outcome["resources"] if each["section"] == "deployments")
    assert live["state"] == "failed"
    assert live["next_step"]
    assert before == {kind: of_plane(url, kind) for kind in before}


def test_a_wrong_file_is_named_and_nothing_asked(file: Path, tmp_path: Path) -> None:
    file.write_text(AGENT.replace("prompt: tone", "prompt: tune"), encoding="utf-8")

    said = deploy(file, "--to", f"http://127.0.0.1:{free_port()}")

    assert said.code == 2
    assert "shop.yaml:8: definitions.agent.prompt: prompts has no tune; did you mean tone?" in said.err
    assert not (tmp_path / ".careline-deploy").exists()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--key", "wrong"), 1, "--key"),
        (("--to", "ftp://x"), 2, "--to http://HOST:PORT"),
        (("--to", "http://x:y"), 2, "--to http://HOST:PORT"),
    ],
)
def test_a_wrong_call_says_what_to_do(file: Path, options: tuple[str, ...], code: int, told: str) -> None:
    said = deploy(file, *options)

    assert said.code == code
    assert told in said.err


def test_a_deploy_that_runs_already_is_left_alone(file: Path, url: str) -> None:
    with held(folder_for(file, url)):
        said = deploy(file, "--json")

    assert said.code == 4
    assert said.outcome["recoverable"] is True
    assert "another deploy of this file runs" in said.outcome["error"]


def test_ctrl_c_leaves_what_can_be_taken_back_or_completed(file: Path, url: str, tmp_path: Path) -> None:
    before = of_plane(url, "agent-definitions")
    # No service of this environment runs, so it is waited for.
    file.write_text(
        AGENT.replace("definition: agent}", "definition: agent, environment: moon}"), encoding="utf-8"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "deploy", "shop.yaml", "--to", url, "--key", KEY],
        cwd=tmp_path,
        env=environment({}),
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background of a shell has a SIGINT that is ignored, and hands that on.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as running:
        while not of_plane(url, "deployments"):
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        try:
            _, told = running.communicate(timeout=30)
        finally:
            running.kill()

    back = deploy(file, "--roll-back", "--json")

    assert running.returncode == 4
    assert "it goes on from its journal" in told
    assert "Traceback" not in told
    assert (back.code, back.outcome["result"]) == (0, "rolled_back")
    assert {each["state"] for each in back.outcome["resources"]} == {"taken back"}
    assert of_plane(url, "agent-definitions") == before


def test_nothing_is_taken_back_where_nothing_is_open(file: Path) -> None:
    said = deploy(file, "--roll-back", "--json")

    assert (said.code, said.outcome["result"]) == (0, "unchanged")


# -- the plane over HTTP ---------------------------------------------------------------------------


@asynccontextmanager
async def asked_plane(
    answer: Callable[[Asked], Answer], *, key: str | None = None
) -> AsyncIterator[tuple[FaultyServer, httpx.AsyncClient]]:
    async with (
        FaultyServer(answer).listening() as server,
        make_plane_client(server.url, key=key, timeout_seconds=5) as client,
    ):
        yield server, client


async def test_a_list_that_shifts_between_its_pages_is_read_anew() -> None:
    rows = [{"id": str(n)} for n in range(450)]
    asked_before = 0

    def answer(asked: Asked) -> Answer:
        nonlocal asked_before
        asked_before += 1
        if asked_before == 2:
            rows.insert(0, {"id": "new"})
        start, size = int(asked.query["offset"]), int(asked.query["limit"])
        return as_json(rows[start : start + size])

    async with asked_plane(answer) as (_, client):
        found = await HttpPlane(client, clock=SystemClock()).listed("tools")

    assert [row["id"] for row in found] == ["new", *(str(n) for n in range(450))]


async def test_a_repeat_has_the_same_request_id_and_key() -> None:
    async with asked_plane(lambda _: as_json({"detail": "broken"}, status=500), key="k") as (server, client):
        plane = HttpPlane(client, clock=SystemClock(), policy=RetryPolicy(attempts=3, base_seconds=0.0))
        with pytest.raises(ExternalApiFailed, match="answered 500"):
            await plane.create("tools", {"name": "x"}, key="once")

    sent = [(asked.headers["x-request-id"], asked.headers["idempotency-key"]) for asked in server.asked]
    assert len(sent) == 3
    assert {key for _, key in sent} == {"once"}
    assert len({request_id for request_id, _ in sent}) == 1
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer k"}


async def test_whoever_is_no_plane_is_told_apart_from_an_empty_one() -> None:
    async with asked_plane(lambda _: Answer(status=404)) as (_, client):
        with pytest.raises(NoPlane, match="there is no control plane at"):
            await HttpPlane(client, clock=SystemClock()).listed("tools")


@pytest.mark.parametrize("listed", [{"data": []}, None, [1, 2], "tools", [{"name": "of another service"}]])
async def test_what_lists_something_else_is_no_plane(listed: object) -> None:
    async with asked_plane(lambda _: as_json(listed)) as (_, client):
        with pytest.raises(NoPlane, match=r"no control plane"):
            await HttpPlane(client, clock=SystemClock()).listed("tools")


async def test_who_cannot_be_reached_is_named_with_the_address() -> None:
    async with make_plane_client("http://127.0.0.1:9", key=None, timeout_seconds=5) as client:
        plane = HttpPlane(client, clock=SystemClock(), policy=RetryPolicy(attempts=1))
        with pytest.raises(DependencyUnavailable, match=r"http://127\.0\.0\.1:9"):
            await plane.listed("tools")
