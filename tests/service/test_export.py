"""What was said, called and found in a real service is what its export says, in full where it was recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from agent.bootstrap import Wanted as Sources
from agent.bootstrap import open_careline, open_history, open_ingestion
from agent.models.recorded import RecordingModel
from agent.models.scripted import ScriptedModel, calls, says
from agent.replay.exporting import exported
from agent.replay.formats import read_log
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.turn.inputs import ChatRequest
from core.identity import Caller, CallerKind
from core.ids import new_id
from core.messages import TurnResult
from core.records import Customer
from core.settings import Settings
from state.sql.history import Wanted
from tests.careline_process import CarelineProcess, run_careline

RETURN = "Can I return a kettle that was never filled?"
TALK = (
    RETURN,
    "Please open a ticket: the lid of my kettle broke",
    "It came off on the first day. My number is +49 170 1234567.",
    "Show me my account details",
)
ANNA = "cust_anna"
EMAIL = "anna@alvarez.example"


def settings_for(folder: Path, **more: Any) -> Settings:
    return Settings(
        data_dir=folder / "data", database_url=f"sqlite+aiosqlite:///{folder / 'shop.db'}", **more
    )


async def talk(settings: Settings, *said: str, customer: str = ANNA) -> list[TurnResult]:
    results: list[TurnResult] = []
    async with open_careline(settings) as careline:
        caller = Caller(kind=CallerKind.LOCAL, customer_id=customer, email=EMAIL)
        for text in said:
            submission = await careline.turns.submit(
                ChatRequest(
                    caller=caller,
                    message=text,
                    conversation_id=results[-1].conversation_id if results else None,
                    client_message_id=new_id("cm"),
                    locale="en",
                    channel="web",
                )
            )
            result = submission.result or await careline.turns.wait("default", submission.turn_id, seconds=20)
            assert result is not None
            results.append(result)
        await asyncio.sleep(0)
    return results


@asynccontextmanager
async def shop(folder: Path, **more: Any) -> AsyncIterator[Settings]:
    settings = settings_for(folder, **more)
    (folder / "help").mkdir()
    (folder / "help" / "returns.md").write_text(
        "# Returning a kettle\n\nA kettle can be returned within 30 days if it was never filled.\n",
        encoding="utf-8",
    )
    async with open_ingestion(settings, Sources(paths=[folder / "help"]), "default") as (ingestion, sources):
        await ingestion.take_in(sources, "default")
    async with open_careline(settings) as careline:
        await careline.records.customers.put_customer(
            "default", Customer(customer_id=ANNA, name="Anna Alvarez", email=EMAIL, phone="+34 600 111 222")
        )
    yield settings


async def export(settings: Settings, wanted: Wanted | None = None) -> list[RecordedConversation]:
    async with open_history(settings) as history:
        return [each async for each in exported(history, wanted or Wanted())]


def tools_of(conversation: RecordedConversation) -> list[RecordedMessage]:
    return [message for message in conversation.messages if message.role == "tool"]


def said_in(conversation: RecordedConversation) -> list[tuple[str, str]]:
    return [(each.role, each.text) for each in conversation.messages if each.role in ("customer", "agent")]


def expected(results: Sequence[TurnResult], said: Sequence[str]) -> list[tuple[str, str]]:
    return [
        pair
        for text, result in zip(said, results, strict=True)
        for pair in (("customer", text), ("agent", result.reply.text if result.reply else ""))
    ]


async def test_words_calls_and_articles_come_out_of_a_service_as_they_went_in(tmp_path: Path) -> None:
    async with shop(tmp_path) as settings:
        environment = {**variables(settings), "recorded_days": "1"}
        results: list[TurnResult] = []
        with CarelineProcess(tmp_path, environment) as service:
            client = httpx.AsyncClient(base_url=service.url, timeout=30)
            for text in TALK:
                body = {"message": text, "customer_id": ANNA, "channel": "web", "locale": "en"}
                if results:
                    body["conversation_id"] = results[-1].conversation_id
                answer = await client.post("/v1/chat", json=body)
                results.append(msgspec.json.decode(answer.content, type=TurnResult))
            await client.aclose()
            assert service.terminate() == 0
    run_careline("export", "--out", "log.jsonl", "--plain", folder=tmp_path, settings=environment)

    (conversation,) = read_log(tmp_path / "log.jsonl")

    assert said_in(conversation) == expected(results, TALK)
    assert (conversation.id, conversation.customer) == (results[0].conversation_id, ANNA)
    assert (conversation.locale, conversation.channel) == ("en", "web")
    called = [(action.tool, action.status.value) for result in results for action in result.actions]
    assert [(each.tool, each.status) for each in tools_of(conversation)] == called
    assert {tool for tool, _ in called} >= {"search_knowledge", "open_ticket", "customer_info"}
    cited = [each.article_id for result in results if result.reply for each in result.reply.citations]
    assert [article for each in conversation.messages for article in each.citations] == cited
    assert cited
    assert conversation.versions["careline"]
    assert conversation.versions["index"] == "1"


async def test_what_was_recorded_is_there_in_full(tmp_path: Path) -> None:
    async with shop(tmp_path, recorded_days=1, explained_days=0) as settings:
        results = await talk(settings, *TALK)
        (conversation,) = await export(settings)

    search, ticket, profile = (
        next(each for each in tools_of(conversation) if each.tool == tool)
        for tool in ("search_knowledge", "open_ticket", "customer_info")
    )
    assert search.args is not None
    assert search.args["query"] == RETURN
    assert "within 30 days" in search.result["passages"][0]["text"]
    assert search.result["passages"][0]["article_id"].endswith("returns")
    assert search.result["passages"][0]["lexical"] > 0
    assert ticket.args is not None
    assert "lid" in ticket.args["subject"] + ticket.args["description"]
    assert ticket.result["receipt"] == next(
        action.receipt for result in results for action in result.actions if action.receipt
    )
    assert ticket.text
    assert profile.result["profile"]["name"] == "Anna Alvarez"
    assert all(message.at for message in conversation.messages)


async def test_what_is_only_explained_has_its_calls_and_what_they_found(tmp_path: Path) -> None:
    async with shop(tmp_path) as settings:
        await talk(settings, *TALK)
        (conversation,) = await export(settings)

    search = next(each for each in tools_of(conversation) if each.tool == "search_knowledge")

    assert search.args is not None
    assert search.args["query"] == RETURN
    assert search.result["passages"][0]["article_id"].endswith("returns")
    assert "text" not in search.result["passages"][0]
    assert conversation.versions == {}


async def test_where_nothing_was_kept_calls_are_there_by_name(tmp_path: Path) -> None:
    async with shop(tmp_path, explained_days=0) as settings:
        results = await talk(settings, *TALK)
        (conversation,) = await export(settings)

    called = [(action.tool, action.status.value) for result in results for action in result.actions]
    assert [(each.tool, each.status) for each in tools_of(conversation)] == called
    assert all(each.args is None and each.result is None for each in tools_of(conversation))


async def test_nothing_personal_leaves_unless_it_is_wanted(tmp_path: Path) -> None:
    async with shop(tmp_path, recorded_days=1) as settings:
        await talk(settings, *TALK)
        await talk(settings, "Hello", customer=ANNA)
        await talk(settings, "Hello", customer="cust_berta")
    environment = variables(settings)
    run_careline("export", "--out", "safe.jsonl", folder=tmp_path, settings=environment)
    run_careline("export", "--out", "sealed.jsonl", "--tokens", "key", folder=tmp_path, settings=environment)
    run_careline("export", "--out", "plain.jsonl", "--plain", folder=tmp_path, settings=environment)
    run_careline("reveal", "sealed.jsonl", "--tokens", "key", "--out", "open.jsonl", folder=tmp_path)

    texts = {
        name: (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8")
        for name in ("safe", "sealed", "plain", "open")
    }

    personal = ("1234567", EMAIL, "Anna", "Alvarez", "600 111 222", ANNA)
    assert all(each in texts["plain"] for each in personal)
    assert [each for each in personal if each in texts["safe"] or each in texts["sealed"]] == []
    assert texts["open"] == texts["plain"]
    for name in ("safe", "sealed"):
        customers = [each.customer for each in read_log(tmp_path / f"{name}.jsonl")]
        assert len(customers) == 3
        assert len(set(customers)) == 2
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


async def test_conversations_are_chosen_by_whose_and_when(tmp_path: Path) -> None:
    async with shop(tmp_path) as settings:
        (first,) = await talk(settings, "Hello")
        (other,) = await talk(settings, "Hello", customer="cust_berta")
        both = {first.conversation_id, other.conversation_id}
        now = datetime.now(UTC)
        hour = timedelta(hours=1)

        async def ids(**wanted: Any) -> set[str]:
            return {each.id for each in await export(settings, Wanted(**wanted))}

        assert await ids() == await ids(tenant="default") == both
        assert await ids(customer_id=ANNA) == {first.conversation_id}
        assert await ids(conversation_id=other.conversation_id) == {other.conversation_id}
        assert await ids(since=now - hour, until=now + hour) == both
        assert (
            await ids(since=now + hour) == await ids(until=now - hour) == await ids(tenant="other") == set()
        )


async def test_pages_follow_each_other_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.sql.history._CONVERSATIONS", 2)
    monkeypatch.setattr("state.sql.history._MESSAGES", 3)
    async with shop(tmp_path) as settings:
        results = [await talk(settings, "Hello", "Thanks", "Bye", customer=f"c{n}") for n in range(5)]
        conversations = await export(settings)

    assert {each.id for each in conversations} == {turns[0].conversation_id for turns in results}
    assert len(conversations) == 5
    assert {tuple(text for role, text in said_in(each) if role == "customer") for each in conversations} == {
        ("Hello", "Thanks", "Bye")
    }


async def test_calls_of_a_model_are_recorded_with_what_it_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel(
        calls(("search_knowledge", '{"query": "return a kettle"}')),
        says("A kettle can be returned within 30 days if it was never filled. [1]"),
    )

    async def scripted(*_: Any, **__: Any) -> ScriptedModel:
        return model

    monkeypatch.setattr("agent.bootstrap.brain._open_models", scripted)
    async with shop(
        tmp_path, recorded_days=1, model_url="http://127.0.0.1:9/v1", model="scripted"
    ) as settings:
        await talk(settings, RETURN)
        (conversation,) = await export(settings)

    first, *_, last = [message for message in conversation.messages if message.role == "model"]
    assert first.completion is not None
    assert [call["name"] for call in first.completion["tool_calls"]] == ["search_knowledge"]
    assert first.prompt[0]["role"] == "system"
    assert RETURN in first.prompt[-1]["content"] or any(RETURN in each["content"] for each in first.prompt)
    assert last.completion is not None
    assert last.completion["text"].startswith("A kettle can be returned")
    assert len(last.prompt) > len(first.prompt)
    assert conversation.versions["model"] == "scripted"


def test_a_model_is_not_wrapped_unless_it_is_wanted(tmp_path: Path) -> None:
    assert settings_for(tmp_path).recorded_days == 0
    assert RecordingModel(ScriptedModel(says("x"), name="m")).name == "m"


def variables(settings: Settings) -> dict[str, str]:
    return {"database_url": settings.database_url, "data_dir": str(settings.data_dir)}
