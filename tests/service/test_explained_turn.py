"""A turn of the whole service, explained: what was found, decided, called and repeated, and what was down."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.bootstrap import Careline, Wanted, explained_turn, open_careline, open_ingestion
from agent.cli.explain import lines_of
from agent.turn.inputs import ChatRequest, Finished
from core.identity import Caller, CallerKind
from core.ids import new_id
from core.messages import TurnResult
from core.settings import Settings
from tests.careline_process import run_careline
from tests.vendors.server import Answer
from tests.vendors.zendesk import KEY, USER, Zendesk

CALLER = Caller(kind=CallerKind.LOCAL, customer_id="cust_anna", email="anna@alvarez.example")


def settings_for(folder: Path, **more: Any) -> Settings:
    return Settings(
        data_dir=folder / "careline-data",
        database_url=f"sqlite+aiosqlite:///{folder / 'shop.db'}",
        **more,
    )


@asynccontextmanager
async def shop(folder: Path, **more: Any) -> AsyncIterator[tuple[Careline, Settings]]:
    settings = settings_for(folder, **more)
    (folder / "help").mkdir()
    (folder / "help" / "returns.md").write_text(
        "# Returning a kettle\n\nA kettle can be returned within 30 days if it was never filled.\n",
        encoding="utf-8",
    )
    async with open_ingestion(settings, Wanted(paths=[folder / "help"]), "default") as (ingestion, sources):
        await ingestion.take_in(sources, "default")
    async with open_careline(settings) as careline:
        yield careline, settings


async def say(careline: Careline, text: str, conversation_id: str | None = None) -> TurnResult:
    submission = await careline.turns.submit(
        ChatRequest(
            caller=CALLER,
            message=text,
            conversation_id=conversation_id,
            client_message_id=new_id("cm"),
            locale="en",
            channel="terminal",
        )
    )
    async for _, event in careline.turns.events(CALLER.tenant, submission.turn_id):
        if isinstance(event, Finished) and event.result is not None:
            return event.result
    raise AssertionError("no reply")


async def steps_of(careline: Careline, result: TurnResult) -> dict[str, dict[str, Any]]:
    """The last step of each kind. The commit comes before the explanation is handed over."""
    for _ in range(100):
        explanation = await careline.parts.explained.of_turn("default", result.turn_id)
        if explanation is not None:
            return {step["kind"]: step for step in explanation.steps}
        await asyncio.sleep(0.02)
    raise AssertionError("not explained")


async def test_an_answer_says_what_was_found_and_why_it_was_taken(tmp_path: Path) -> None:
    async with shop(tmp_path) as (careline, _):
        result = await say(careline, "Can I return a kettle that was never filled?")
        steps = await steps_of(careline, result)

    assert result.reply is not None
    assert result.reply.citations
    (candidate,) = steps["tool_called"]["found"]
    assert candidate["title"] == "Returning a kettle"
    assert {"score", "cosine", "lexical", "heading"} <= set(candidate)
    assert steps["understood"]["wishes"][0]["intent"] == "question"
    assert steps["judged"]["verdict"] == "answers"
    assert steps["judged"]["probability"] >= steps["judged"]["answers_from"]
    assert steps["loaded"]["fresh"] == 1


async def test_a_desk_that_fails_is_seen_with_its_attempts_and_breaker(tmp_path: Path) -> None:
    async with Zendesk() as desk:
        desk_settings = {
            "ticket_desk": "zendesk",
            "ticket_desk_url": desk.url,
            "ticket_desk_user": USER,
            "ticket_desk_key": KEY,
        }
        async with shop(tmp_path, **desk_settings) as (careline, _):
            conversation_id = (await say(careline, "Please open a ticket")).conversation_id
            await say(careline, "Lamp is broken", conversation_id)
            desk.fails_with.extend([Answer(503, {"error": "later"})] * 100)
            result = await say(careline, "It flickers, then it goes out for good.", conversation_id)
            steps = await steps_of(careline, result)

    called = steps["tool_called"]
    assert called["tool"] == "open_ticket"
    assert called["status"] == "queued"
    assert called["receipt"] == result.actions[0].receipt
    assert called["attempts"] >= 1
    assert called["breaker"] in ("closed", "open")
    assert called["dependency"] == steps["attempt_failed"]["dependency"] == "tickets"


async def test_nothing_is_kept_where_nothing_shall_be(tmp_path: Path) -> None:
    async with shop(tmp_path, explained_days=0) as (careline, _):
        result = await say(careline, "Can I return a kettle?")
        await asyncio.sleep(0.1)

        assert await careline.parts.explained.of_turn("default", result.turn_id) is None


async def test_what_waits_is_stored_when_the_service_ends(tmp_path: Path) -> None:
    async with shop(tmp_path) as (careline, settings):
        result = await say(careline, "My mail is anna@alvarez.example. Can I return a kettle?")

    turn = await explained_turn(settings, "default", result.turn_id)

    assert turn.explanation is not None
    said = "\n".join(lines_of(turn))
    assert "anna@" not in said
    assert "[email]" in said
    assert "Returning a kettle" in said


async def test_the_command_tells_what_the_service_keeps(tmp_path: Path) -> None:
    async with shop(tmp_path) as (careline, _):
        result = await say(careline, "Can I return a kettle?")
        await steps_of(careline, result)
    place = {
        "database_url": f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}",
        "data_dir": str(tmp_path / "careline-data"),
    }

    read = run_careline("explain", result.turn_id, folder=tmp_path, settings=place)
    shown = json.loads(run_careline("explain", result.turn_id, "--json", folder=tmp_path, settings=place))

    assert result.turn_id in read
    assert "judged" in read
    assert shown["turn"]["turn_id"] == result.turn_id
    assert next(step["kind"] for step in shown["explanation"]["steps"]) == "loaded"
