"""A whole service with a vendor's help desk: tickets reach it, wait for it, and go out by e-mail when it refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.api.wire import view_of_message
from agent.bootstrap import Careline, keep_articles, open_careline, replay_shard
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.plan import ReplayPlan, Shard
from agent.turn.inputs import ChatRequest, Finished
from core.identity import Caller, CallerKind
from core.ids import new_id
from core.messages import Action, ActionStatus, MessageRole
from core.settings import Settings
from tests.service.degraded.talk import eventually
from tests.smtp_server import MailServer
from tests.vendors.server import Answer
from tests.vendors.zendesk import KEY, USER, Zendesk

CALLER = Caller(kind=CallerKind.LOCAL, customer_id="cust_anna", email="anna@alvarez.example")


@dataclass(slots=True)
class Talk:
    careline: Careline
    conversation_id: str | None = None

    async def say(self, text: str) -> tuple[Action, ...]:
        request = ChatRequest(
            caller=CALLER,
            message=text,
            conversation_id=self.conversation_id,
            client_message_id=new_id("cm"),
            locale="en",
            channel="terminal",
        )
        submission = await self.careline.turns.submit(request)
        self.conversation_id = submission.conversation_id
        async for _, event in self.careline.turns.events(CALLER.tenant, submission.turn_id):
            if isinstance(event, Finished) and event.result is not None and event.result.reply is not None:
                return tuple(event.result.actions)
        raise AssertionError("no reply")

    async def opens_a_ticket(self) -> Action:
        for text in ("Please open a ticket", "Lamp is broken"):
            await self.say(text)
        (action,) = await self.say("It flickers for a minute, then it goes out for good.")
        assert action.tool == "open_ticket"
        return action

    async def notes(self) -> list[str]:
        said = await self.careline.records.conversations.messages(
            CALLER.tenant, self.conversation_id or "", after=0, limit=100
        )
        return [message.text for message in said if message.role is MessageRole.SYSTEM]


@asynccontextmanager
async def service(folder: Path, desk: Zendesk, **more: Any) -> AsyncIterator[Talk]:
    settings = Settings(
        data_dir=folder / "knowledge",
        database_url=f"sqlite+aiosqlite:///{folder / 'shop.db'}",
        ticket_desk="zendesk",
        ticket_desk_url=desk.url,
        ticket_desk_user=USER,
        ticket_desk_key=KEY,
        **more,
    )
    async with open_careline(settings) as careline:
        yield Talk(careline)


@pytest.fixture
async def desk() -> AsyncIterator[Zendesk]:
    async with Zendesk() as opened:
        yield opened
        assert opened.refused == []
        assert opened.mistakes == []


async def test_a_ticket_reaches_the_desk_and_has_its_number(desk: Zendesk, tmp_path: Path) -> None:
    async with service(tmp_path, desk) as talk:
        action = await talk.opens_a_ticket()

        assert (action.status, action.reference) == (ActionStatus.SUCCEEDED, "#1")
        (ticket,) = desk.tickets
        assert action.receipt is not None
        assert action.receipt in ticket["description"]
        assert await talk.careline.records.tickets.find_tickets("default", "cust_anna", limit=5) == ()


async def test_a_ticket_says_where_to_answer_the_customer(desk: Zendesk, tmp_path: Path) -> None:
    async with service(tmp_path, desk) as talk:
        await talk.opens_a_ticket()
        conversation = await talk.careline.records.conversations.messages(
            CALLER.tenant, talk.conversation_id or "", after=0, limit=100
        )

        (ticket,) = desk.tickets
        assert "Answer to: anna@alvarez.example" in ticket["description"]
        assert str(CALLER.email) not in repr([view_of_message(message) for message in conversation])


async def test_a_desk_that_is_away_gets_the_ticket_when_it_is_back_once(
    desk: Zendesk, tmp_path: Path
) -> None:
    async with service(tmp_path, desk, check_seconds=0.2) as talk:
        await desk.__aexit__(None, None, None)
        action = await talk.opens_a_ticket()
        await desk.__aenter__()
        notes = await eventually(talk.notes)

        assert action.status is ActionStatus.QUEUED
        assert notes == [f"Your request {action.receipt} is now ticket #1."]
        assert len(desk.tickets) == 1


async def test_a_key_that_ran_out_costs_no_wish_once_it_is_mended(desk: Zendesk, tmp_path: Path) -> None:
    async with service(tmp_path, desk) as talk:
        desk.fails_with.extend([Answer(401, {"error": "Couldn't authenticate you"})] * 1000)
        action = await talk.opens_a_ticket()
        desk.fails_with.clear()
        notes = await eventually(talk.notes)

        assert (action.status, action.reason) == (ActionStatus.QUEUED, "kept_for_a_person")
        assert notes == [f"Your request {action.receipt} is now ticket #1."]
        assert len(desk.tickets) == 1


async def test_what_the_desk_does_not_want_waits_for_a_person_with_its_words(
    desk: Zendesk, tmp_path: Path
) -> None:
    async with service(tmp_path, desk) as talk:
        needed = {"error": "RecordInvalid", "details": {"base": [{"description": "Order number: needed"}]}}
        desk.fails_with.extend([Answer(422, needed)] * 10)
        action = await talk.opens_a_ticket()

        (row,) = await talk.careline.records.outbox.entries()
        assert (action.status, action.reason) == (ActionStatus.QUEUED, "kept_for_a_person")
        assert (row.status, row.item.payload["receipt"]) == ("dead", action.receipt)
        assert "Order number: needed" in str(row.error)
        assert desk.tickets == []
        desk.fails_with.clear()


async def test_a_desk_that_lets_us_in_no_more_is_replaced_by_a_letter(desk: Zendesk, tmp_path: Path) -> None:
    async with MailServer() as mail:
        more = {
            "smtp_url": f"smtp://127.0.0.1:{mail.port}",
            "ticket_fallback_email": "team@shop.example",
        }
        async with service(tmp_path, desk, **more) as talk:
            desk.fails_with.extend([Answer(401, {"error": "Couldn't authenticate you"})] * 1000)
            action = await talk.opens_a_ticket()
            await eventually(talk.notes)

            assert action.status is ActionStatus.QUEUED
            assert len(mail.messages) == 1
            assert desk.tickets == []
            assert (action.receipt or "-").encode() in mail.messages[0]
            assert b"To: team@shop.example" in mail.messages[0]


async def test_a_replay_opens_no_ticket_at_the_desk(desk: Zendesk, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "knowledge",
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}",
        ticket_desk="zendesk",
        ticket_desk_url=desk.url,
        ticket_desk_user=USER,
        ticket_desk_key=KEY,
    )
    async with open_careline(settings):
        pass
    desk.asked.clear()

    articles = tmp_path / "articles"
    now = datetime(2026, 1, 5, tzinfo=UTC)
    await keep_articles(settings, articles, uses_vectors=False, at=now)
    said = ("Please open a ticket: the lid is broken.", "It fell off as I opened it.", "kim@example.org")
    talk = RecordedConversation("a", tuple(RecordedMessage(role="customer", text=text) for text in said))
    plan = ReplayPlan(mode="live", clock=now.isoformat(), uses_vectors=False)
    done = await asyncio.to_thread(replay_shard, settings, articles, plan, None, Shard(0, 0, (talk,)))

    assert [tool.status for tool in done.rows[-1].tools] == ["succeeded"]
    assert desk.asked == []
