"""A person of the team answers from the command line while the service runs: the customer reads it, the agent keeps silent."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess, environment

CUSTOMER = "ada"


@pytest.fixture
def careline(tmp_path: Path) -> Iterator[CarelineProcess]:
    with CarelineProcess(tmp_path) as process:
        yield process


def handoff(careline: CarelineProcess, *arguments: str, code: int = 0, typed: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agent", "handoff", *arguments],
        cwd=careline.folder,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input=typed,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else " ".join(done.stderr.split())


def say(careline: CarelineProcess, text: str, *, to: str | None = None) -> dict[str, Any]:
    body = {"message": text, "customer_id": CUSTOMER, "locale": "de"} | (
        {"conversation_id": to} if to else {}
    )
    result: dict[str, Any] = httpx.post(f"{careline.url}/v1/chat", json=body, timeout=20).json()
    return result


def read(careline: CarelineProcess, conversation_id: str) -> list[tuple[str, str]]:
    page = httpx.get(f"{careline.url}/v1/conversations/{conversation_id}/messages", timeout=20).json()
    return [(each["role"], each["text"]) for each in page["messages"]]


def test_a_customer_who_asks_for_a_person_is_answered_by_one_and_then_by_the_agent_again(
    careline: CarelineProcess,
) -> None:
    begun = say(careline, "Ich möchte mit einem Menschen sprechen")
    conversation_id = begun["conversation_id"]
    assert begun["status"] == "handed_over"
    (waiting,) = json.loads(handoff(careline, "list", "--json"))
    assert (waiting["conversation_id"], waiting["is_answered"]) == (conversation_id, False)
    assert "waits for an answer" in handoff(careline, "list")
    assert "customer: Ich möchte mit einem Menschen sprechen" in handoff(careline, "show", conversation_id)

    stream = f"{careline.url}/v1/conversations/{conversation_id}/events"
    with httpx.stream("GET", stream, timeout=30) as events:
        assert events.status_code == 200
        assert "reads it now" in handoff(careline, "reply", conversation_id, "-", typed="Hello,\nMia here.\n")
        heard = next(line for line in events.iter_lines() if line.startswith("data:") and "Mia" in line)
    assert json.loads(heard.removeprefix("data:"))["role"] == "operator"
    assert "said already" in handoff(careline, "reply", conversation_id, "Hello,\nMia here.")
    assert say(careline, "Danke. Und jetzt?", to=conversation_id)["status"] == "handed_over"

    assert "answers again" in handoff(careline, "return", conversation_id)
    assert say(careline, "Hallo", to=conversation_id)["status"] == "answered"

    said = read(careline, conversation_id)
    assert [text for role, text in said if role == "operator"] == ["Hello,\nMia here."]
    assert [text for role, text in said if role == "system"] == [
        "Unser Team hat diese Unterhaltung an mich, den automatischen Assistenten, zurückgegeben. Hier antworte wieder ich."
    ]
    assert "Nobody waits for a person" in handoff(careline, "list")


def test_a_reply_to_nobody_says_where_to_look(careline: CarelineProcess) -> None:
    said = handoff(careline, "reply", "conv_nobody", "Hello", code=1)

    assert "no conversation conv_nobody of tenant default" in said
    assert "careline handoff list" in said
