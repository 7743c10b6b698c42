"""
Claims about every hostile string as message, customer name, ticket and tool result of one turn, through the service over HTTP.

All of the naughty strings and log injections, and a sample of the XSS payloads; with `HOSTILE_STRINGS=all` in the environment,
all of them (a few minutes).
"""

import asyncio
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.clock import SystemClock
from core.records import Customer
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.tickets import SqlTicketDesk
from tests.careline_process import CarelineProcess
from tests.data import shared
from tests.service.scripted_model import ScriptedModelServer, Stage, calls, says

_SAMPLE = 60
_AT_ONCE = 8
_RESENDS = 5
_GREETING = re.compile(r"(?m)^(?:Careline listens on|Ask:|Widget:|Local mode:) .*\n")
"""What `careline serve` prints, beside its log."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_WISH = "\nPlease open a ticket about my broken garden lamp."
"""Each message ends with it: a model opens no ticket that the customer did not ask for."""
_ENDS_A_LINE = "one\x0btwo\x0cthree\x1cfour\x1dfive\x1esix\x85seven\u2028eight\u2029nine\r\nten"

pytestmark = pytest.mark.data


def rows(name: str, *, kind: str | None = None) -> list[str]:
    text = shared(f"security/{name}.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.split("\n") if line]
    return [row["payload"] for row in found if kind is None or row["kind"] == kind]


def strings() -> list[str]:
    xss = rows("xss_payloads")
    if os.environ.get("HOSTILE_STRINGS") != "all":
        xss = random.Random(1).sample(xss, _SAMPLE)
    everything = [
        *rows("naughty_strings"),
        *rows("web_payloads", kind="log_injection"),
        _ENDS_A_LINE,
        *xss,
    ]
    return [each for each in dict.fromkeys(everything) if not _UNSTORABLE.search(each)]


def subject_of(text: str) -> str:
    """As the model writes it; a ticket's subject is one line, so the tool joins it by single spaces."""
    return f"Re: {text}"[:150]


@dataclass
class Model:
    """Opens a ticket with the customer's words, then looks at ticket and account; `read` is what it was given, by message."""

    read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def play(self, stage: Stage) -> None:
        messages = stage.request["messages"]
        said = [each["content"] for each in messages if each["role"] == "user"][-1]
        said = said.removesuffix(_WISH)
        made = [call["function"]["name"] for each in messages for call in each.get("tool_calls") or ()]
        if "open_ticket" not in made:
            wanted = {"subject": subject_of(said), "description": f"They said: {said}"[:5000]}
            await calls(("open_ticket", json.dumps(wanted)), piece=500)(stage)
        elif "find_tickets" not in made:
            await calls(("find_tickets", "{}"), ("customer_info", '{"about": "profile"}'), piece=500)(stage)
        else:
            self.read[said] = [json.loads(each["content"]) for each in messages if each["role"] == "tool"]
            await says("All done.")(stage)


@dataclass
class Run:
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    model: Model = field(default_factory=Model)
    log: str = ""
    tickets: dict[str, tuple[str, str]] = field(default_factory=dict)


async def _run(folder: Path, redis_url: str, said: Sequence[str]) -> Run:
    run = Run()
    async with ScriptedModelServer(run.model.play) as server:
        settings = {
            "model_url": server.url,
            "model": "scripted",
            "redis_url": redis_url,
            "rate_limit_per_customer": "0",
            "log_format": "json",
        }
        with CarelineProcess(folder, settings) as careline:
            database = Database(f"sqlite+aiosqlite:///{folder / 'careline.db'}", timeout_seconds=30.0)
            directory = SqlCustomerDirectory(database)
            for number, text in enumerate(said):
                await directory.put_customer("default", Customer(f"cus_{number}", text, "ada@example.org"))
            async with httpx.AsyncClient(base_url=careline.url, timeout=60.0) as client:
                await _say_all(client, said, run)
            desk = SqlTicketDesk(database, clock=SystemClock())
            for number, text in enumerate(said):
                for ticket in await desk.find_tickets("default", f"cus_{number}", limit=5):
                    run.tickets[text] = (ticket.subject, ticket.description)
            await database.close()
            run.log = _GREETING.sub("", careline.log.read_text(encoding="utf-8"))
    return run


async def _say_all(client: httpx.AsyncClient, said: Sequence[str], run: Run) -> None:
    left = iter(enumerate(said))

    async def customer() -> None:
        for number, text in left:
            body = {
                "message": f"{text}{_WISH}",
                "customer_id": f"cus_{number}",
                "client_message_id": f"cm_{number}",
            }
            response = await _asked(client, "POST", "/v1/chat", json=body)
            run.statuses[response.status_code] += 1
            if response.status_code != 200:
                continue
            run.answers[text] = response.json()
            there = f"/v1/conversations/{run.answers[text]['conversation_id']}/messages"
            kept = (await _asked(client, "GET", there)).json()["messages"][0]["text"]
            run.kept[text] = kept.removesuffix(_WISH)

    await asyncio.gather(*(customer() for _ in range(_AT_ONCE)))


async def _asked(client: httpx.AsyncClient, method: str, path: str, **body: Any) -> httpx.Response:
    """A busy machine's 503 is asked again, as every client does; a message with the same id."""
    response = await client.request(method, path, **body)
    for _ in range(_RESENDS):
        if response.status_code == 503:
            await asyncio.sleep(float(response.headers["Retry-After"]))
            response = await client.request(method, path, **body)
    return response


async def test_each_is_stored_and_given_back_byte_for_byte_and_logged_in_lines(
    tmp_path: Path, redis_url: str
) -> None:
    said = strings()

    run = await _run(tmp_path, redis_url, said)

    assert run.statuses == {200: len(said)}
    assert [text for text in said if run.kept[text] != text] == []
    wrong_tickets = [
        text
        for text in said
        if run.tickets[text] != (" ".join(subject_of(text).split()), f"They said: {text}"[:5000].strip())
    ]
    assert wrong_tickets == []
    for text in said:
        _, opened, found, account = run.model.read[text]
        assert opened["status"] == found["status"] == account["status"] == "succeeded"
        assert found["value"]["tickets"][0]["subject"] == run.tickets[text][0]
        assert account["value"]["profile"]["name"] == text
    lines = run.log.split("\n")[:-1]
    assert run.log.splitlines() == lines
    events = [json.loads(line) for line in lines]
    assert all(isinstance(each, dict) and "event" in each and "level" in each for each in events)
    assert sum(each["event"] == "turn.answered" for each in events) == len(said)
    assert [each for each in events if each["level"] in ("error", "critical")] == []
    assert "forged" not in {each["event"] for each in events}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarelineProcess]:
    with CarelineProcess(tmp_path_factory.mktemp("hostile")) as careline:
        yield careline


@pytest.mark.parametrize("text", ["x\x00y", "half \ud83d a character"])
async def test_what_cannot_be_stored_is_refused_and_the_field_named(
    service: CarelineProcess, text: str
) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        raw = json.dumps({"message": text})
        response = await client.post("/v1/chat", content=raw, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    assert [each["loc"] for each in response.json()["errors"]] == [["body", "message"]]
    log = _GREETING.sub("", service.log.read_text())
    assert all(json.loads(line) for line in log.split("\n")[:-1])
