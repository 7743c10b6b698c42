"""A company's own flow over HTTP: declared in a folder, kept in SQL, carried on by the next process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.careline_process import CarelineProcess
from tests.unit.flows.declare import RETURN, written

SETTINGS = {"flows": "mine", "rate_limit_per_customer": "0"}
ASKS_WHERE_TO_ANSWER = RETURN.replace(
    "confirm:",
    """  - name: contact
    type: email
    only_when_asked: true
    ask: {en: "Where can we answer you?", de: "Wo können wir antworten?"}
confirm:""",
    1,
).replace("  offers:", '    contact: "{contact}"\n  offers:', 1)
"""For customers of whom nobody knows an address, as the one of these tests is."""


def talk(service: CarelineProcess, conversation: str | None = None) -> Callable[[str], dict[str, Any]]:
    """Says something in one conversation, and returns the answer."""
    ids = {"conversation_id": conversation} if conversation else {}

    def say(message: str) -> dict[str, Any]:
        answer = httpx.post(f"{service.url}/v1/chat", json={"message": message, **ids}, timeout=30)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        ids["conversation_id"] = told["conversation_id"]
        return told

    return say


def test_a_flow_of_ones_own_goes_on_after_a_restart_and_is_explained(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    written(tmp_path / "mine", returns=ASKS_WHERE_TO_ANSWER)
    with CarelineProcess(tmp_path, SETTINGS) as service:
        say = talk(service)
        begun = say("I want to return my lamp, it is damaged")
        say("ORD-1001")

    with CarelineProcess(tmp_path, SETTINGS) as service:
        say = talk(service, begun["conversation_id"])
        corrected = say("No, I meant ORD-1002")
        say("The glass")
        say("on 3 November 2025")
        confirm = say("anna@alvarez.example")
        done = say("yes")
        told = httpx.get(f"{service.url}/v1/turns/{done['turn_id']}", params={"view": "explain"}, timeout=30)

    assert begun["status"] == "needs_customer"
    assert corrected["reply"]["text"] == "All right: ORD-1002. What is broken?"
    assert confirm["reply"]["quick_replies"] == ["Yes", "No"]
    (action,) = done["actions"]
    assert (action["tool"], action["status"]) == ("open_ticket", "succeeded")
    assert f"Your return number is {action['receipt']}." in done["reply"]["text"]
    steps = {step["kind"]: step for step in told.json()["explanation"]["steps"]}
    assert (steps["flow_went_on"]["flow"], steps["flow_went_on"]["calls"]) == ("return_item", "open_ticket")
